"""Diagnostics: pure functions that measure a step of a run, or any loss.

`DIAGNOSTICS` has those that a run measures by name. The functions that are imported
here are library calls, such as `gradjax.diagnostics.sharpness(loss, params, batch)`.
"""

from gradjax.diagnostics.activations import activations
from gradjax.diagnostics.alpha import alpha, step_quality
from gradjax.diagnostics.context import Context
from gradjax.diagnostics.critical import critical_sharpness
from gradjax.diagnostics.curved_noise import curved_noise_scale, takeuchi
from gradjax.diagnostics.density import density_on_grid, moment, spectral_density
from gradjax.diagnostics.directional import batch_sharpness, directional_sharpness
from gradjax.diagnostics.eigenvalues import (
    sharpness,
    smallest_eigenvalue,
    top_eigenvalues,
)
from gradjax.diagnostics.gradient_tests import gradient_tests
from gradjax.diagnostics.landscape import barrier, between, line, plane
from gradjax.diagnostics.layers import layer_sharpness
from gradjax.diagnostics.losses import per_example_loss
from gradjax.diagnostics.noise import noise_scale, noise_scale_parts
from gradjax.diagnostics.norms import layer_norms, spectral_norms
from gradjax.diagnostics.preconditioned import (
    adam_preconditioner,
    preconditioned_sharpness,
)
from gradjax.diagnostics.products import (
    fisher_product,
    gauss_newton_product,
    hessian_product,
)
from gradjax.diagnostics.registry import DIAGNOSTICS
from gradjax.diagnostics.signal import signal_to_noise
from gradjax.diagnostics.trace import diagonal, hutchpp_trace, trace
from gradjax.types import Diagnostic

__all__ = [
    "DIAGNOSTICS",
    "Context",
    "Diagnostic",
    "activations",
    "adam_preconditioner",
    "alpha",
    "barrier",
    "batch_sharpness",
    "between",
    "critical_sharpness",
    "curved_noise_scale",
    "density_on_grid",
    "diagonal",
    "directional_sharpness",
    "fisher_product",
    "gauss_newton_product",
    "gradient_tests",
    "hessian_product",
    "hutchpp_trace",
    "layer_norms",
    "layer_sharpness",
    "line",
    "moment",
    "noise_scale",
    "noise_scale_parts",
    "per_example_loss",
    "plane",
    "preconditioned_sharpness",
    "sharpness",
    "signal_to_noise",
    "smallest_eigenvalue",
    "spectral_density",
    "spectral_norms",
    "step_quality",
    "takeuchi",
    "top_eigenvalues",
    "trace",
]
