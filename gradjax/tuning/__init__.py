"""`gradjax.tune`: the sweep of a command as a call from Python; `gradjax.replay`."""

from gradjax.tuning.call import tune
from gradjax.tuning.window import replay

__all__ = ["replay", "tune"]
