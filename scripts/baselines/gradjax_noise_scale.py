"""gradjax with the noise scale every 50 steps, otherwise as `gradjax_run`."""

import numpy as np

from scripts.baselines import Rival, Settings, gradjax_run

DIAGNOSTICS = "noise_scale(every=50)"


def make(settings: Settings, inputs: np.ndarray, targets: np.ndarray) -> Rival:
    """Compiles what `gradjax_run` compiles, with a diagnostic."""
    return gradjax_run.make(settings, inputs, targets, diagnostics=DIAGNOSTICS)
