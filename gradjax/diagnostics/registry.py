"""The bundled diagnostics: a line each, under the name that expressions use."""

from typing import Any

from gradjax.diagnostics import expression
from gradjax.diagnostics.activations import activations
from gradjax.diagnostics.alpha import alpha, step_quality
from gradjax.diagnostics.angles import (
    angles,
    angles_memory,
    distances,
    distances_memory,
)
from gradjax.diagnostics.curved_noise import (
    curved_noise_scale,
    curved_noise_scale_memory,
    takeuchi,
)
from gradjax.diagnostics.gradient_tests import gradient_tests
from gradjax.diagnostics.histograms import log_histograms
from gradjax.diagnostics.noise import (
    noise_scale,
    noise_scale_memory,
    noise_scale_parts,
    noise_scale_parts_memory,
)
from gradjax.diagnostics.norms import (
    effective_rates,
    largest,
    layer_norms,
    spectral_norms,
)
from gradjax.diagnostics.signal import cabs, signal_to_noise
from gradjax.types import Diagnostic

DIAGNOSTICS: dict[str, Diagnostic] = {
    "activations": Diagnostic(activations, every=50),
    "alpha": Diagnostic(alpha, every=50, per_example=True),
    "angles": Diagnostic(angles, angles_memory),
    "cabs": Diagnostic(cabs, every=50, per_example=True),
    "curved_noise_scale": Diagnostic(
        curved_noise_scale, curved_noise_scale_memory, every=50, per_example=True
    ),
    "distances": Diagnostic(distances, distances_memory),
    "effective_rates": Diagnostic(effective_rates),
    "gradient_tests": Diagnostic(gradient_tests, every=50, per_example=True),
    "largest": Diagnostic(largest),
    "layer_norms": Diagnostic(layer_norms),
    "log_histograms": Diagnostic(log_histograms, every=100),
    "noise_scale": Diagnostic(
        noise_scale, noise_scale_memory, every=50, per_example=True
    ),
    "noise_scale_parts": Diagnostic(
        noise_scale_parts, noise_scale_parts_memory, every=50
    ),
    "signal_to_noise": Diagnostic(signal_to_noise, every=50, per_example=True),
    "spectral_norms": Diagnostic(spectral_norms, every=50),
    "step_quality": Diagnostic(step_quality, every=50),
    "takeuchi": Diagnostic(takeuchi, every=100, per_example=True),
}


def read(given: Any, num_steps: int) -> tuple[Diagnostic, ...]:
    """Reads the diagnostics of a run; see `expression.read`."""
    return expression.read(given, DIAGNOSTICS, num_steps)
