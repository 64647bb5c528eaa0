"""Random search: independent points, uniform in the unit cube."""

import numpy as np

from gradjax.search.sequence import sequence
from gradjax.types import Search


def uniform() -> Search:
    """Makes a search over random points, uniform in the scale of each hyperparameter.

    Source:
      Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13,
      2012.
    """
    return sequence(draw)


def draw(num_dimensions: int, seed: int, start: int, count: int) -> np.ndarray:
    """Returns points `start`, ... of the seed's stream: f64[count, num_dimensions]."""
    # Each coordinate takes one number of the stream, so earlier points can be skipped.
    stream = np.random.PCG64(seed).advance(start * num_dimensions)
    return np.random.Generator(stream).random((count, num_dimensions))
