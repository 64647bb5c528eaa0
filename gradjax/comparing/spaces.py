"""The space in which a comparison tunes each optimizer."""

from collections.abc import Mapping
from typing import Any

from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.sweeps import names, space
from gradjax.types import Dimension, Space


def spaces_of(
    texts: tuple[str, ...], given: Mapping[str, Any] | None
) -> dict[str, Space]:
    """Returns the space of each optimizer: its declared ranges and the given ones.

    Args:
      texts: the expressions of the optimizers.
      given: name -> a range as text or a list, as `gradjax.tune` takes it. A given
        range replaces the declared one of the same number.

    Returns:
      Optimizer -> its space, whose names are `learning_rate`, `optimizer.<path>` and
      `schedule.<path>`. So the space of an optimizer does not depend on the others.

    Raises:
        Refusal: an unknown name, a range that cannot be read, or a part of the budget.
    """
    asked = space.from_mapping(given or {})
    for one in asked.dimensions:
        if one.name in names.STATIC or one.name.startswith("model."):
            raise Refusal(f"space: {one.name} is the same for all optimizers")
    listed = Dimension("optimizer", "choice", values=texts)
    varied = names.checked(Space((listed, *asked.dimensions)), texts[0])
    each = names.of_each(varied)
    own = each if len(each) == len(texts) else each * len(texts)
    return {text: _joined(text, one) for text, one in zip(texts, own, strict=True)}


def _joined(text: str, given: Space) -> Space:
    """Returns the declared space of an optimizer with the given ranges."""
    declared = space.from_mapping(optimizers.space_of(text)).dimensions
    found = {one.name: one for one in declared}
    for one in given.dimensions:
        path, probe = names.number_of(one.name, 0.0, text)
        is_common = not one.optimizers
        if one.name == "optimizer" or (is_common and _lacks(text, path)):
            continue
        if path.startswith("optimizer."):
            optimizers.place(text, path)  # refuses an unknown argument
        is_complement = probe != 0.0  # "one_minus_beta1" varies 1 - b1
        name = one.name if is_complement else path
        found[path] = one._replace(name=name, optimizers=())
    return Space(tuple(found.values()))


def _lacks(text: str, path: str) -> bool:
    """Returns whether an optimizer has no such number, where one of all is varied.

    One without a learning rate has neither a rate nor a schedule.
    """
    if path.startswith("schedule."):
        return not names.follows_schedule(text)
    return path == names.RATE and not names.has_rate(text)


def shown(one: Space) -> str:
    """Returns a space as a person writes it."""
    named = [(of.name.removeprefix("optimizer."), of) for of in one.dimensions]
    return ", ".join(f"{name}={_range(of)}" for name, of in named)


def _range(one: Dimension) -> str:
    if one.kind == "choice":
        return f"[{', '.join(map(str, one.values))}]"
    return f"{one.kind}({one.low:g}, {one.high:g})"
