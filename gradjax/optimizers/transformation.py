"""A pair of functions as an optax transformation that takes extras by name."""

from collections.abc import Callable
from typing import Any

import optax

Transformation = optax.GradientTransformationExtraArgs


def transformation(
    init: Callable[..., Any], update: Callable[..., tuple[Any, Any]]
) -> Transformation:
    """The transformation of (params) -> state and (grads, state, params, *, extras).

    The update names those extras that the entry's `needs` lists, such as `step`; optax
    declares an update that names none, which is why this is not its constructor.
    """
    loosely: Any = (init, update)
    return Transformation(*loosely)
