"""Checks of the arguments of `tune`."""

import re
from collections.abc import Mapping
from typing import Any

from gradjax.counts import as_whole
from gradjax.errors import Refusal
from gradjax.records.initial import Initial, of_trees
from gradjax.sweeps import space as spaces
from gradjax.types import Dimension, ModelState, Params, Space

_NAMES = {
    "accept_changes": "accept_changes=True",
    "fresh_seeds": "num_fresh_seeds",
    "overwrite": "overwrite=True",
    "seeds": "num_seeds",
    "steps": "num_steps",
    "sweep": "space",
    "trials": "num_trials",
}  # of a flag -> of the argument


def listed(optimizers: Any) -> list[Any]:
    """Returns the optimizers as a list; a transformation is a tuple, and is one."""
    is_list = type(optimizers) in (list, tuple)
    listed = list(optimizers) if is_list else [optimizers]
    if not listed:
        raise Refusal("optimizers is empty: give at least one")
    return listed


def space_of(space: Any, texts: list[str]) -> Space:
    """Returns the space, with the optimizers as its first dimension if there are two.

    Raises:
        Refusal: it is empty, or varies what is an argument of its own.
    """
    if not isinstance(space, Mapping):
        kind = type(space).__name__
        raise Refusal(f"space is a {kind}: expected a dictionary {{name: a range}}")
    for name, instead in (("optimizer", "optimizers"), ("epochs", "steps")):
        if name in space:
            raise Refusal(f"space: {name} is given by {instead}=[...]")
    found = spaces.from_mapping(space)
    if len(texts) == 1 and not found.dimensions:
        raise Refusal("space is empty: gradjax.run trains one setting")
    if len(texts) == 1:
        return found
    if len(set(texts)) < len(texts):
        twice = next(one for one in texts if texts.count(one) > 1)
        raise Refusal(f"optimizers: {twice} is given twice")
    first = Dimension("optimizer", "choice", values=tuple(texts))
    return Space((first, *found.dimensions))


def initial(params: Params, model_state: ModelState) -> Initial | None:
    """Returns the parameters at which the trials start, if there are any."""
    if params is not None:
        return of_trees(params, model_state)
    if model_state is not None:
        raise Refusal("model_state without params: give both")
    return None


def count(name: str, value: Any, *default: None, low: int = 1) -> Any:
    """Returns a count as an `int`; None where None is allowed.

    Raises:
        Refusal: it is no whole number, or too small or too large.
    """
    if default and value is None:
        return None
    count = as_whole(value)
    if count is None or not low <= count < 2**31:
        raise Refusal(f"{name}={value!r}: must be a whole number, at least {low}")
    return count


def as_call(line: str) -> str:
    """Returns a message with the names of arguments in place of those of flags."""
    line = re.sub(r"--init_from=(\S+)", r"params=gradjax.load('\1').params", line)
    return re.sub(r"--([a-z_]+)", lambda flag: _NAMES.get(flag[1], flag[1]), line)
