"""gradjax with the sharpness of a batch every 20 steps, otherwise as `gradjax_run`."""

import numpy as np

from scripts.baselines import Rival, Settings, gradjax_run

DIAGNOSTICS = "sharpness(every=20, num_products=6)"


def make(settings: Settings, inputs: np.ndarray, targets: np.ndarray) -> Rival:
    """Compiles what `gradjax_run` compiles, with a diagnostic."""
    return gradjax_run.make(settings, inputs, targets, diagnostics=DIAGNOSTICS)


def predicted(
    settings: Settings, inputs: np.ndarray, targets: np.ndarray, num_threads: int
) -> tuple[float, float]:
    """Returns the predicted time of the diagnostic; see `gradjax_run.predicted`."""
    arguments = settings, inputs, targets, num_threads
    return gradjax_run.predicted(*arguments, DIAGNOSTICS)
