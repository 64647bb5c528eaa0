"""Construction of an optax transformation whose update takes extras by name."""

from collections.abc import Callable
from typing import Any

import optax

from gradjax.errors import Refusal

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


def pair(returned: Any) -> tuple[Any, Any]:
    """Returns what a rule's update has returned: (updates, state).

    Raises:
        Refusal: it is no pair.
    """
    if isinstance(returned, tuple) and len(returned) == 2:
        return returned
    count = len(returned) if isinstance(returned, tuple) else 1
    found = None if returned is None else f"{count} value{'s' * (count > 1)}"
    raise Refusal(
        f"the optimizer's update returns {found}; expected two, the updates and the"
        " new state"
    )
