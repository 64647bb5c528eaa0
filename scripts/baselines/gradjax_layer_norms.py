"""gradjax with norms of each layer every 10 steps, otherwise as `gradjax_run`."""

import numpy as np

from scripts.baselines import Rival, Settings, gradjax_run

DIAGNOSTICS = "layer_norms(every=10)"


def make(settings: Settings, inputs: np.ndarray, targets: np.ndarray) -> Rival:
    """Compiles what `gradjax_run` compiles, with a diagnostic."""
    return gradjax_run.make(settings, inputs, targets, diagnostics=DIAGNOSTICS)


def predicted(
    settings: Settings, inputs: np.ndarray, targets: np.ndarray, num_threads: int
) -> tuple[float, float]:
    """Returns the predicted time of the diagnostic; see `gradjax_run.predicted`."""
    arguments = settings, inputs, targets, num_threads
    return gradjax_run.predicted(*arguments, DIAGNOSTICS)
