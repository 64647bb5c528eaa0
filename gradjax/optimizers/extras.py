"""The extra arguments of an update: which ones a step has, and which ones a rule takes.

An update takes (updates, state, params) and extras by name. The names are read from its
signature.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import optax

from gradjax.errors import Refusal

Update = Callable[..., Any]  # (updates, state, params, **extras) -> (updates, state)
# Every extra argument that an update may take by name.
EXTRAS = (
    "value",  # f32[], the loss at params
    "grad",  # the gradient at params, before a chain has changed it
    "value_fn",  # params -> f32[], the loss of the same batch
    "obj_fn",  # the name that Sophia uses for it
    "grad_fn",  # params -> gradient of the same batch
    "value_and_grad_fn",  # params -> (f32[], gradient)
    "step",  # u32[], the number of the step, from 0
    "key",  # the random key of the step
)
# The extras with which a rule evaluates the loss again.
OF_THE_LOSS = ("grad", "value_fn", "obj_fn", "grad_fn", "value_and_grad_fn")
_NUM_POSITIONAL = 3  # updates, state, params


def extras_of(rule: optax.GradientTransformation, name: str) -> tuple[str, ...]:
    """Returns the names of the extras that the update of a rule takes.

    An update that takes `**extras`, such as that of `optax.chain`, passes them on to
    the transformations that it holds, so their updates are read, too.

    Raises:
        Refusal: an argument without a default that is not one of EXTRAS.
    """
    own = _named(rule.update)
    check(name, [one.name for one in own if one.default is one.empty])
    updates = _held_updates(rule.update, set())
    asked = {one.name for update in updates for one in _named(update)}
    return tuple(extra for extra in EXTRAS if extra in asked)


def check(name: str, asked: Iterable[str]) -> None:
    """Refuses an extra that a step does not have.

    Raises:
        Refusal: the line lists the extras of a step.
    """
    for extra in asked:
        if extra not in EXTRAS:
            known = ", ".join(EXTRAS)
            raise Refusal(
                f"{name}: its update takes {extra!r}, which a step does not have; the"
                f" extras of a step: {known}"
            )


def _named(update: Update) -> list[inspect.Parameter]:
    """Returns the parameters of an update after updates, state and params."""
    try:
        parameters = list(inspect.signature(update).parameters.values())
    except (TypeError, ValueError):
        return []
    named = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
    both = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    return [*both[_NUM_POSITIONAL:], *named]


def _held_updates(update: Update, seen: set[int]) -> Iterator[Update]:
    """Yields an update, and those of the transformations that it holds."""
    if id(update) in seen:
        return
    seen.add(id(update))
    yield update
    try:
        parameters = inspect.signature(update).parameters.values()
    except (TypeError, ValueError):
        return
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        for held in _held(update):
            yield from _held_updates(held, seen)


def _held(update: Update) -> Iterator[Update]:
    """Yields the updates in the closure of a function, or in the object of a method."""
    if isinstance(update, functools.partial):
        values = [update.func, *update.args, *update.keywords.values()]
    elif inspect.ismethod(update):
        values = list(vars(update.__self__).values())
    else:
        cells = getattr(update, "__closure__", None) or ()
        values = [cell.cell_contents for cell in cells if _is_filled(cell)]
    for value in values:
        yield from _updates_in(value)


def _updates_in(value: Any) -> Iterator[Update]:
    if isinstance(value, optax.GradientTransformation):
        yield value.update
    elif isinstance(value, dict):
        for one in value.values():
            yield from _updates_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _updates_in(one)
    elif callable(value) and _is_update(value):
        yield value


def _is_update(function: Update) -> bool:
    """Returns whether the second argument of a function is a state."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return False
    return len(names) > 1 and "state" in names[1]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a name that is not assigned yet
        return False
