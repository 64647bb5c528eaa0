"""Rematerialisation: layers whose inner values are computed again for the gradient.

Of such a layer only its inputs are kept for the backward pass. The gradient then costs
about one more forward pass of these layers, and takes less memory: the inputs of all
layers, and the inner values of one.

Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import flax.linen as nn

_wrapped: ContextVar[list[str] | None] = ContextVar("_wrapped", default=None)


@contextlib.contextmanager
def rematerialised() -> Iterator[list[str]]:
    """A context in which the layers of networks are traced with rematerialisation.

    Yields:
      The names of these layers so far, which is empty for a network without them.
    """
    names: list[str] = []
    token = _wrapped.set(names)
    try:
        yield names
    finally:
        _wrapped.reset(token)


def layer(kind: Any, name: str, *static: int) -> Any:
    """Returns a class of modules, in the context with rematerialisation.

    Args:
      kind: a class of modules.
      name: of the module that will be made. It is given to the module explicitly,
        because the name of the wrapped class is another one.
      static: positions of the arguments of `__call__` that are not arrays; 1 is the
        first one after `self`.

    Returns:
      A function that makes a module from the fields of `kind`.
    """
    names = _wrapped.get()
    if names is None:
        return lambda *fields: kind(*fields, name=name)
    names.append(name)
    wrapped = nn.remat(kind, static_argnums=static)
    return lambda *fields: wrapped(*fields, name=name)
