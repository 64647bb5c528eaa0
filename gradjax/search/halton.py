"""The scrambled Halton sequence: a prime base for each hyperparameter."""

import numpy as np

from gradjax.search.sequence import sequence
from gradjax.types import Search


def halton() -> Search:
    """Makes a search over evenly spread points, of any number, scrambled by the seed.

    Sources:
      Halton, "On the efficiency of certain quasi-random sequences of points",
      Numerische Mathematik 2, 1960; Owen, "A randomized Halton algorithm in R", 2017,
      for the scrambling, as in SciPy. AlgoPerf also tunes with a Halton sequence.
    """
    return sequence(draw)


def draw(num_dimensions: int, seed: int, start: int, count: int) -> np.ndarray:
    """Returns points `start`, ... of the sequence: f64[count, num_dimensions]."""
    from scipy.stats import qmc

    if count == 0:
        return np.empty((0, num_dimensions))
    sampler = qmc.Halton(num_dimensions, scramble=True, rng=np.random.default_rng(seed))
    return sampler.fast_forward(start).random(count)
