"""gradjax with `--precision=bfloat16`, otherwise as `gradjax_run`."""

import numpy as np

from scripts.baselines import Rival, Settings, gradjax_run


def make(settings: Settings, inputs: np.ndarray, targets: np.ndarray) -> Rival:
    """Compiles what `gradjax_run` compiles; the network computes in bfloat16."""
    return gradjax_run.make(settings, inputs, targets, "bfloat16")
