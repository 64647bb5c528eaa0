"""The outputs of the modules of a network, named so that they can be found."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

_MARK = "output of "  # before the path of a module, in the name of a marked array


def marked(apply: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a network whose module outputs have names in its jaxpr.

    The output of the `__call__` of each linen module becomes the operand of an equation
    `name` with the path of the module, such as "stack/Block_0"; the output of another
    public method has its name behind a dot, as in "Vocabulary_0.embed". The values do
    not change. This works for every
    function that applies linen modules, so the module itself is not needed. (Flax's
    `capture_intermediates` needs it, and an array that it stores inside of a nested
    `jit` or `scan` cannot leave there.)

    Args:
      apply: any function that applies linen modules. In a network of another library
        nothing has a name, and neither has a part that `jax.jit` has traced before.
    """

    def mark(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        outputs = call(*args, **kwargs)
        method = context.method_name
        if method != "__call__" and (method.startswith("_") or method == "setup"):
            return outputs
        name = _MARK + "/".join(context.module.path)
        name += "" if method == "__call__" else f".{method}"
        return jax.tree.map(lambda x: _named(x, name), outputs)

    def run(*args: Any, **kwargs: Any) -> Any:
        with nn.intercept_methods(mark):
            return apply(*args, **kwargs)

    return run


def path_of(name: str) -> str | None:
    """Returns the path of the module in the name of an array; None: of no module."""
    return name.removeprefix(_MARK) if name.startswith(_MARK) else None


def _named(x: Any, name: str) -> Any:
    is_float = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.floating)
    return checkpoint_name(x, name) if is_float else x
