"""`gradjax.tune`: the sweep of a command as a call from Python."""

from gradjax.tuning.call import tune

__all__ = ["tune"]
