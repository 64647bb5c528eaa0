"""Optimizers by name: those of optax, those defined here, and the user's own.

To add an optimizer, write a file in this folder and add one line to OPTIMIZERS.
"""

from typing import Any

from gradjax.optimizers import from_optax, kron, paths, soap, transforms, wrappers
from gradjax.optimizers import rate_factors as _rate_factors
from gradjax.optimizers import resolve as _resolve
from gradjax.optimizers import spaces as _spaces
from gradjax.optimizers import split as _split
from gradjax.optimizers.arguments import numbered
from gradjax.optimizers.build import (
    build,
    eval_params,
    figures,
    gradient,
    has_eval_params,
    needs,
    num_gradients,
)
from gradjax.optimizers.default_spaces import with_space
from gradjax.optimizers.defined import check_numbers, check_problem
from gradjax.optimizers.differences import DIFFERENCES
from gradjax.optimizers.masks import MASKS
from gradjax.optimizers.own import is_finished
from gradjax.optimizers.queries import steps_per_update, tolerates
from gradjax.optimizers.resolve import STATIC_HINT
from gradjax.optimizers.split import RATE
from gradjax.types import Entry, Hparams, OptimizerSpec, Problem

__all__ = [
    "MASKS",
    "OPTIMIZERS",
    "RATE",
    "STATIC_HINT",
    "TRANSFORMS",
    "WRAPPERS",
    "build",
    "check_numbers",
    "check_problem",
    "eval_params",
    "figures",
    "gradient",
    "has_eval_params",
    "is_finished",
    "needs",
    "num_gradients",
    "numbered",
    "place",
    "resolve",
    "space_of",
    "split",
    "steps_per_update",
    "tolerates",
    "with_rate_factors",
    "write",
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
for _name, _differs in DIFFERENCES.items():
    OPTIMIZERS[_name] = OPTIMIZERS[_name]._replace(differs=_differs)
TRANSFORMS: dict[str, Entry] = transforms.TRANSFORMS
WRAPPERS: dict[str, Entry] = {**wrappers.WRAPPERS}
for _entries in (OPTIMIZERS, WRAPPERS):
    for _name, _entry in _entries.items():
        _entries[_name] = with_space(_name, _entry)


def split(optimizer: Any, **kwargs: Any) -> tuple[OptimizerSpec, Hparams]:
    """Splits an optimizer into (its static spec, its traced numbers).

    Args, Returns and Raises: see `gradjax.optimizers.split.split`.
    """
    return _split.split(optimizer, _registry(), **kwargs)


def resolve(
    optimizer: OptimizerSpec, numbers: Hparams, problem: Problem
) -> OptimizerSpec:
    """Completes the entries of the user's own optimizers inside a spec.

    Args, Returns and Raises: see `gradjax.optimizers.resolve.resolve`.
    """
    return _resolve.resolve(optimizer, numbers, problem, TRANSFORMS)


def with_rate_factors(optimizer: OptimizerSpec, problem: Problem) -> OptimizerSpec:
    """Applies the factors of the learning rate that the problem has, if it has some.

    Args, Returns and Raises: see `gradjax.optimizers.rate_factors.with_rate_factors`.
    """
    entries = {**OPTIMIZERS, **TRANSFORMS, **WRAPPERS}
    return _rate_factors.with_rate_factors(optimizer, problem.rate_factors, entries)


def place(optimizer: Any, path: str) -> Any | None:
    """Returns the optimizer with a traced number at a path; None if it is static.

    Args, Returns and Raises: see `gradjax.optimizers.paths.place`.
    """
    return paths.place(optimizer, path, _registry())


def write(optimizer: Any, path: str, value: Any) -> Any:
    """Returns the optimizer with a value of the argument of a path.

    Args, Returns and Raises: see `gradjax.optimizers.paths.write`.
    """
    return paths.write(optimizer, path, value, _registry())


def space_of(optimizer: Any) -> dict[str, str]:
    """Returns path -> range of the numbers that a comparison tunes.

    Args, Returns and Raises: see `gradjax.optimizers.spaces.space_of`.
    """
    return _spaces.space_of(optimizer, _registry())


def _registry() -> _split.Registry:
    return _split.Registry(OPTIMIZERS, TRANSFORMS, WRAPPERS)
