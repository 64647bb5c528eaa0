"""`gradjax.compare`: optimizers on problems, tuned and compared under equal budgets."""

from gradjax.comparing.call import compare

__all__ = ["compare"]
