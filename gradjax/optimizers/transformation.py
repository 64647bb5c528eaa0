"""Construction of an optax transformation whose update takes extras by name."""

from collections.abc import Callable
from typing import Any

import optax

Transformation = optax.GradientTransformationExtraArgs


def transformation(
    init: Callable[..., Any], update: Callable[..., tuple[Any, Any]]
) -> Transformation:
    """Builds a transformation from its two functions.

    This function exists because the type of optax's constructor does not allow an
    update that names the extras it takes.

    Args:
      init: (params) -> state.
      update: (grads, state, params, *, extras) -> (updates, state). It names the extras
        that `needs` of the entry lists, such as `step`.
    """
    functions: Any = (init, update)
    return Transformation(*functions)
