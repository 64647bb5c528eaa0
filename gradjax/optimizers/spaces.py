"""The numbers of an optimizer that a comparison tunes, and their ranges."""

from typing import Any

from gradjax.optimizers import arguments
from gradjax.optimizers.default_spaces import OWN_RATE
from gradjax.optimizers.split import RATE, Registry, find, opened, split
from gradjax.types import Call, Entry


def space_of(optimizer: Any, registry: Registry) -> dict[str, str]:
    """Returns the declared space of an optimizer and of the optimizers inside of it.

    Args:
      optimizer: as `split` takes it. A number that it gives is not tuned.
      registry: the known names.

    Returns:
      Path -> range as text, the rate first: `{"learning_rate": "log(1e-4, 1)",
      "optimizer.weight_decay": "log(1e-4, 1)"}`; empty if nothing is to be tuned. A
      rate without a declared range, as that of an optimizer of the user, has the range
      `log(1e-4, 10)`.

    Raises:
        Refusal: what `split` refuses.
    """
    numbers = split(optimizer, registry)[1]
    found = _ranges(*opened(optimizer, registry), "optimizer", registry)
    rate = {RATE: found.pop(RATE, OWN_RATE)} if RATE in numbers else {}
    found.pop(RATE, None)
    return {**rate, **found}


def _ranges(call: Call, entry: Entry, path: str, registry: Registry) -> dict[str, str]:
    """Returns the ranges of one call; the outermost range of the rate comes first."""
    args, kwargs = arguments.bind(call, entry)
    rates = () if entry.rate is None else (RATE, entry.rate[0])
    given = {RATE if name in rates else name for name in kwargs}
    declared = [(RATE if name in rates else name, text) for name, text in entry.space]
    found = {
        RATE if name == RATE else f"{path}.{name}": text
        for name, text in declared
        if name not in given
    }
    for key, name in arguments.children(args, kwargs, entry).items():
        inner = args[key] if isinstance(key, int) else kwargs[key]
        of_inner = find(inner.name, registry, is_inside=True)
        found = _ranges(inner, of_inner, f"{path}.{name}", registry) | found
    return found
