"""HOW a problem is minimised: every optimizer by name, and the user's own.

A new one is a file here and a line in OPTIMIZERS.
"""

from typing import Any

from gradjax.optimizers import from_optax
from gradjax.optimizers import split as _split
from gradjax.optimizers.split import RATE, build, eval_params, needs, num_gradients
from gradjax.types import Entry, Hparams, OptimizerSpec

__all__ = [
    "OPTIMIZERS",
    "RATE",
    "TRANSFORMS",
    "WRAPPERS",
    "build",
    "eval_params",
    "needs",
    "num_gradients",
    "split",
]

OPTIMIZERS: dict[str, Entry] = {**from_optax.OPTIMIZERS}
TRANSFORMS: dict[str, Entry] = {**from_optax.TRANSFORMS}
WRAPPERS: dict[str, Entry] = {**from_optax.WRAPPERS}


def split(optimizer: Any) -> tuple[OptimizerSpec, Hparams]:
    """Takes the numbers out of an optimizer: (what is static, what is traced).

    Args and Raises: see `gradjax.optimizers.split.split`.
    """
    return _split.split(optimizer, _split.Registry(OPTIMIZERS, TRANSFORMS, WRAPPERS))
