"""Inspects the signature of a function of the user."""

import inspect
from collections.abc import Callable
from typing import Any


def arity(loss: Callable[..., Any], most: int = 3) -> tuple[int, float]:
    """Returns the smallest and the largest number of positional arguments.

    The largest one is `most` for a function that takes any number.
    """
    try:
        parameters = inspect.signature(loss).parameters.values()
    except ValueError:  # a builtin without a signature
        return 1, most
    positional = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    needed = sum(p.default is p.empty for p in positional)
    is_open = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return needed, most if is_open else len(positional)
