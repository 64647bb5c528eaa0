"""Short texts of things that hold arrays: their sizes in place of their numbers."""

from typing import Any

import jax
import numpy as np


def of(thing: Any, **fields: Any) -> str:
    """Returns `Name(field=value, ...)` of a NamedTuple; text is shown as it is."""
    shown = [
        f"{name}={one if isinstance(one, str) else repr(one)}"
        for name, one in fields.items()
    ]
    return f"{type(thing).__name__}({', '.join(shown)})"


def sizes(tree: Any) -> str:
    """Returns how many numbers and arrays a pytree has."""
    leaves = jax.tree.leaves(tree)
    count = sum(int(np.size(leaf)) for leaf in leaves)
    arrays = "1 array" if len(leaves) == 1 else f"{len(leaves)} arrays"
    return f"<{count:,} numbers in {arrays}>" if leaves else "<no arrays>"


def numbers(values: Any) -> str:
    """Returns numbers in nested dictionaries for a person to read; arrays by size."""
    if isinstance(values, dict):
        parts = [f"{name}: {numbers(value)}" for name, value in values.items()]
        return f"{{{', '.join(parts)}}}"
    is_number = isinstance(values, int | float | np.number) or not np.ndim(values)
    return f"{float(values):g}" if is_number else sizes(values)
