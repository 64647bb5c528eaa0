"""Optimizers by name: those of optax, those defined here, and the user's own.

To add an optimizer, write a file in this folder and add one line to OPTIMIZERS.
"""

from typing import Any

from gradjax.optimizers import from_optax, kron, soap, transforms, wrappers
from gradjax.optimizers import split as _split
from gradjax.optimizers.build import (
    build,
    eval_params,
    figures,
    gradient,
    has_eval_params,
    needs,
    num_gradients,
)
from gradjax.optimizers.defined import check_numbers, check_problem
from gradjax.optimizers.masks import MASKS
from gradjax.optimizers.split import RATE
from gradjax.types import Entry, Hparams, OptimizerSpec

__all__ = [
    "MASKS",
    "OPTIMIZERS",
    "RATE",
    "TRANSFORMS",
    "WRAPPERS",
    "build",
    "check_numbers",
    "check_problem",
    "eval_params",
    "figures",
    "gradient",
    "has_eval_params",
    "needs",
    "num_gradients",
    "split",
]

OPTIMIZERS: dict[str, Entry] = {
    **from_optax.OPTIMIZERS,
    "kron": Entry(
        kron.kron,
        static=("max_dim", "update_interval"),
        needs=("key", "step"),
        paper="Li 2015; Pooladzandi and Li 2024",
    ),
    "soap": Entry(
        soap.soap,
        rate=("learning_rate", 3e-3),
        static=("max_dim", "update_interval"),
        needs=("step",),
        paper="Vyas et al. 2024",
    ),
}
TRANSFORMS: dict[str, Entry] = transforms.TRANSFORMS
WRAPPERS: dict[str, Entry] = wrappers.WRAPPERS


def split(optimizer: Any, **kwargs: Any) -> tuple[OptimizerSpec, Hparams]:
    """Splits an optimizer into (its static spec, its traced numbers).

    Args, Returns and Raises: see `gradjax.optimizers.split.split`.
    """
    registry = _split.Registry(OPTIMIZERS, TRANSFORMS, WRAPPERS)
    return _split.split(optimizer, registry, **kwargs)
