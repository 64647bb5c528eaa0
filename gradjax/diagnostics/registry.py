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
from gradjax.diagnostics.critical import critical_sharpness
from gradjax.diagnostics.curved_noise import (
    curved_noise_scale,
    curved_noise_scale_memory,
    takeuchi,
)
from gradjax.diagnostics.directional import batch_sharpness
from gradjax.diagnostics.gauge import gauge_memory, stability_gauge
from gradjax.diagnostics.generalised import generalised_of_run
from gradjax.diagnostics.gradient_tests import gradient_tests
from gradjax.diagnostics.histograms import log_histograms
from gradjax.diagnostics.layers import layer_sharpness
from gradjax.diagnostics.losses import per_example_loss
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
from gradjax.diagnostics.trace import hutchpp_trace, trace
from gradjax.diagnostics.warm import (
    adam_sharpness,
    directions,
    sharpness_memory,
    sharpness_of_run,
    smallest_of_run,
)
from gradjax.types import Diagnostic

DIAGNOSTICS: dict[str, Diagnostic] = {
    "adam_sharpness": Diagnostic(adam_sharpness, sharpness_memory, every=50),
    "activations": Diagnostic(activations, every=50),
    "alpha": Diagnostic(alpha, every=50, per_example=True),
    "angles": Diagnostic(angles, angles_memory),
    "batch_sharpness": Diagnostic(batch_sharpness, every=50),
    "cabs": Diagnostic(cabs, every=50, per_example=True),
    "critical_sharpness": Diagnostic(critical_sharpness, every=50),
    "curved_noise_scale": Diagnostic(
        curved_noise_scale, curved_noise_scale_memory, every=50, per_example=True
    ),
    "directional_sharpness": Diagnostic(directions, every=50),
    "distances": Diagnostic(distances, distances_memory),
    "effective_rates": Diagnostic(effective_rates),
    "generalised_sharpness": Diagnostic(generalised_of_run, every=100),
    "gradient_tests": Diagnostic(gradient_tests, every=50, per_example=True),
    "largest": Diagnostic(largest),
    "hutchpp_trace": Diagnostic(hutchpp_trace, every=100),
    "layer_norms": Diagnostic(layer_norms),
    "layer_sharpness": Diagnostic(layer_sharpness, every=100),
    "log_histograms": Diagnostic(log_histograms, every=100),
    "noise_scale": Diagnostic(
        noise_scale, noise_scale_memory, every=50, per_example=True
    ),
    "noise_scale_parts": Diagnostic(
        noise_scale_parts, noise_scale_parts_memory, every=50
    ),
    "per_example_loss": Diagnostic(per_example_loss, every=50, per_example=True),
    "sharpness": Diagnostic(sharpness_of_run, sharpness_memory, every=50),
    "signal_to_noise": Diagnostic(signal_to_noise, every=50, per_example=True),
    "smallest_eigenvalue": Diagnostic(smallest_of_run, sharpness_memory, every=100),
    "spectral_norms": Diagnostic(spectral_norms, every=50),
    "stability_gauge": Diagnostic(stability_gauge, gauge_memory, every=100),
    "step_quality": Diagnostic(step_quality, every=50),
    "takeuchi": Diagnostic(takeuchi, every=100, per_example=True),
    "trace": Diagnostic(trace, every=100),
}


def read(
    given: Any, num_steps: int, every: int | None = None
) -> tuple[Diagnostic, ...]:
    """Reads the diagnostics of a run; see `expression.read`."""
    return expression.read(given, DIAGNOSTICS, num_steps, every)
