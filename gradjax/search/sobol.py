"""The scrambled Sobol sequence, spread best if the number of points is a power of 2."""

import numpy as np

from gradjax.errors import Refusal
from gradjax.search.sequence import sequence
from gradjax.types import Search


def sobol() -> Search:
    """Makes a search over evenly spread points, exactly balanced at each power of two.

    Sources:
      Sobol, "On the distribution of points in a cube", USSR Computational Mathematics
      7, 1967, with the directions of Joe and Kuo, 2008; Matousek, "On the
      L2-discrepancy for anchored boxes", Journal of Complexity 14, 1998, for the
      scrambling, as in SciPy.
    """
    return sequence(draw)


def draw(num_dimensions: int, seed: int, start: int, count: int) -> np.ndarray:
    """Returns points `start`, ... of the sequence: f64[count, num_dimensions].

    Raises:
        Refusal: more dimensions than SciPy has direction numbers for.
    """
    from scipy.stats import qmc

    if num_dimensions > qmc.Sobol.MAXDIM:
        raise Refusal(
            f"{num_dimensions:,} hyperparameters: sobol takes at most"
            f" {qmc.Sobol.MAXDIM:,}; halton takes any number"
        )
    stop = start + count
    if stop == 0:
        return np.empty((0, num_dimensions))
    sampler = qmc.Sobol(num_dimensions, scramble=True, rng=np.random.default_rng(seed))
    # A power of two of points is drawn, because SciPy warns about other numbers.
    return sampler.random_base2((stop - 1).bit_length())[start:stop]
