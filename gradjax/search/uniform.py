"""Random search: independent, uniform in the unit cube."""

import numpy as np

from gradjax.search.sequence import sequence
from gradjax.types import Search


def uniform() -> Search:
    """Independent points, uniform in each hyperparameter's own scale.

    Source:
      Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13,
      2012.
    """
    return sequence(draw)


def draw(num_dimensions: int, seed: int, start: int, count: int) -> np.ndarray:
    """The points start, ... of the seed's stream: f64[count, num_dimensions]."""
    # One number of the stream a coordinate, so what was drawn before is skipped.
    stream = np.random.PCG64(seed).advance(start * num_dimensions)
    return np.random.Generator(stream).random((count, num_dimensions))
