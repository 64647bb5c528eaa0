"""Many hyperparameters, many seeds, one program."""

from gradjax.sweeps.arrays import sweep

__all__ = ["sweep"]
