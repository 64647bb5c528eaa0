"""Conversion of an expression to (OptimizerSpec, Hparams).

`split` takes the numbers out of an optimizer once, on the host. The rest is static and
hashable. `build` puts the numbers back inside the traced step.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from gradjax import expressions, schedules
from gradjax.errors import Refusal
from gradjax.optimizers import arguments, bounds, build, defined, masks, own
from gradjax.types import (
    Call,
    Entry,
    Hparams,
    OptimizerSpec,
    ScheduleSpec,
    TracedNumber,
)

RATE = "learning_rate"  # the key in Hparams of a rate that the expression does not give
_ANY_LENGTH = 2**31 - 1  # the number of steps of a run whose length is not known yet


class Registry(NamedTuple):
    """The known names of optimizers, transforms and wrappers."""

    optimizers: dict[str, Entry]
    transforms: dict[str, Entry]  # allowed only inside a wrapper
    wrappers: dict[str, Entry]


def split(
    optimizer: Any, registry: Registry, num_steps: int = _ANY_LENGTH
) -> tuple[OptimizerSpec, Hparams]:
    """Splits an optimizer into its static spec and its traced numbers.

    Args:
      optimizer: an expression (`"adamw(b2=0.95)"`, a name, an import path), a function
        `(learning_rate, ...) -> optax.GradientTransformation` such as `optax.adamw`, a
        `functools.partial` of one, or a finished transformation.
      registry: the known names.
      num_steps: the number of steps of the run, which converts the steps in a schedule
        of a number to fractions.

    Returns:
      The static OptimizerSpec and its numbers: `learning_rate`,
      `optimizer.<argument>` for each number that the expression gives, and
      `optimizer.<argument>.<number>` for the numbers of a schedule of an argument.

    Raises:
        Refusal: an unknown name or argument, a missing argument, a number out of
            bounds, or an optimizer that does not descend.
    """
    context = _Context(registry, num_steps, {}, {})
    call, entry = opened(optimizer, registry)
    node = _node(call, entry, "optimizer", context)
    if not defined.descends(node, registry.transforms):
        raise Refusal(
            f"{expressions.unparse(call)} holds no optimizer, so it does not descend"
        )
    defined.check_composition(node)
    scheduled = tuple(context.scheduled.items())
    return node._replace(scheduled=scheduled), context.hparams


class _Context(NamedTuple):
    """The inputs of one call of `split`, and the dictionaries that it fills."""

    registry: Registry
    num_steps: int
    hparams: Hparams  # filled
    scheduled: dict[str, ScheduleSpec]  # filled


def opened(optimizer: Any, registry: Registry) -> tuple[Call, Entry]:
    """Returns the call of an optimizer, as `split` takes it, and its entry.

    Raises:
        Refusal: an unknown name, or neither an expression nor a function.
    """
    if own.is_finished(optimizer):
        entry = own.entry_of_finished(optimizer)
        return Call(build.name_of(OptimizerSpec(entry))), entry
    if callable(optimizer):
        return _from_function(optimizer, registry)
    call = expressions.parse(optimizer) if isinstance(optimizer, str) else optimizer
    if not isinstance(call, Call):
        raise Refusal(f"optimizer {call!r}: expected an expression or a function")
    return call, find(call.name, registry, is_inside=False)


def find(name: str, registry: Registry, is_inside: bool) -> Entry:
    """Returns the entry of a name; `is_inside` of another optimizer."""
    if ":" in name:
        made = expressions.load(name)
        if isinstance(made, Entry):
            return made
        if own.is_finished(made):
            return own.entry_of_finished(made, name)
        if not callable(made):
            raise Refusal(f"{name!r} is not a function that makes an optimizer")
        return _with_arguments(made, _from_function(made, registry)[1])
    known = {**registry.optimizers, **registry.wrappers}
    if name in registry.transforms and not is_inside:
        raise Refusal(
            f"{name!r} changes gradients but does not descend; put it before an"
            f" optimizer: chain({name}(...), sgd)"
        )
    return expressions.lookup(
        name, {**known, **registry.transforms} if is_inside else known, "optimizer"
    )


def _from_function(make: Callable[..., Any], registry: Registry) -> tuple[Call, Entry]:
    """Returns the call and the Entry of a function or of a `functools.partial`.

    The Entry is the registered one, if the function is registered; otherwise it is
    that of the decorator, or derived from the signature.
    """
    is_partial = isinstance(make, partial)
    args, kwargs = (make.args, tuple(make.keywords.items())) if is_partial else ((), ())
    function = make.func if is_partial else make
    call = Call(getattr(function, "__name__", type(function).__name__), args, kwargs)
    for entries in registry:
        for entry in entries.values():
            if function is entry.make or function is inspect.unwrap(entry.make):
                return call, entry  # it also has `needs` and `eval_params`
    return call, own.entry_of_function(function)


def _with_arguments(make: Any, entry: Entry) -> Entry:
    """Returns the entry of a `functools.partial`, which keeps its arguments."""
    if not isinstance(make, partial):
        return entry
    kept, rate = partial(entry.make, *make.args, **make.keywords), entry.rate
    kept.__name__ = getattr(make.func, "__name__", "partial")  # type: ignore
    if rate and rate[0] not in inspect.signature(make).parameters:
        rate = None
    elif rate and rate[0] in make.keywords:
        rate = (rate[0], make.keywords[rate[0]])
    return entry._replace(make=kept, rate=rate)


def _node(call: Call, entry: Entry, path: str, context: _Context) -> OptimizerSpec:
    """Returns the spec of one call and adds its numbers to `context` under `path`."""
    args, kwargs = arguments.bind(call, entry)
    inside = arguments.children(args, kwargs, entry)
    rates: list[str] = []

    def without_numbers(name: str, value: Any, key: Any = None) -> Any:
        where = f"{call.name}: {name}"
        if isinstance(value, Call) and key not in inside:
            value = _bare_name(value, entry, name)
        if isinstance(value, Call):
            if key in inside:
                of_child = find(value.name, context.registry, is_inside=True)
                child = _node(value, of_child, f"{path}.{inside[key]}", context)
                rates.extend(child.rates)
                return child
            path_of_value = f"{path}.{name}"
            return _argument_of_call(value, entry, name, path_of_value, where, context)
        if name in masks.ARGUMENTS and isinstance(value, str):
            return expressions.lookup(value, masks.MASKS, "mask")
        if name in masks.ARGUMENTS and value is not None and not callable(value):
            known = ", ".join(map(repr, masks.MASKS))
            raise Refusal(f"{where}={value!r}: expected a mask by name: {known}")
        arguments.check_kind(value, entry, name, where)
        if isinstance(value, tuple):
            items = enumerate(value)
            return tuple(without_numbers(f"{name}.{k}", item) for k, item in items)
        if value is None or isinstance(value, bool | str) or callable(value):
            return value
        number = bounds.check(name, value, where)
        if name in entry.static:
            return value
        leaf = f"{path}.{name}"
        context.hparams[leaf] = number
        if entry.rate and name == entry.rate[0]:
            rates.append(leaf)
        return TracedNumber(leaf)

    new_args = tuple(without_numbers(str(k), x, k) for k, x in enumerate(args))
    new_kwargs = {name: without_numbers(name, x, name) for name, x in kwargs.items()}
    if entry.rate and entry.rate[0] not in new_kwargs:
        # A wrapper that takes a rate uses the rate of the optimizer inside it.
        leaf = rates[0] if rates else RATE
        if leaf == RATE:
            context.hparams.setdefault(RATE, entry.rate[1])
        new_kwargs[entry.rate[0]] = TracedNumber(leaf)
        rates.append(leaf)
    distinct = tuple(dict.fromkeys(rates))
    node = OptimizerSpec(entry, new_args, tuple(new_kwargs.items()), distinct)
    defined.check_held(call.name, node, context.registry.transforms)
    return node


def _bare_name(call: Call, entry: Entry, name: str) -> Any:
    """Returns `bfloat16` in `mu_dtype=bfloat16` as the text that it stands for.

    It does for an argument that is a mask, a dtype or a text; another call is returned
    as it is.
    """
    is_bare = not (call.args or call.kwargs or ":" in call.name)
    takes_text = name in masks.ARGUMENTS or name.endswith("dtype")
    if is_bare and (takes_text or arguments.takes_text(entry, name)):
        return call.name
    return call


def _argument_of_call(
    call: Call, entry: Entry, name: str, path: str, where: str, context: _Context
) -> Any:
    """Returns the value of an argument that is given as a call.

    A schedule becomes a traced number; an import path becomes the imported object.
    """
    peaks = [value for key, value in call.kwargs if key == "peak"]
    if not peaks and call.name not in schedules.SCHEDULES:
        if ":" in call.name and not call.args and not call.kwargs:
            return expressions.load(call.name)
        raise Refusal(f"{where}={expressions.unparse(call)}: expected a number")
    if entry.rate and name == entry.rate[0]:
        raise Refusal(
            f"{where}={expressions.unparse(call)}: the rate's schedule is --schedule;"
            " expected a number"
        )
    if name in entry.static or not peaks:
        reason = "it is static" if name in entry.static else "it needs peak=..."
        raise Refusal(
            f"{where}={expressions.unparse(call)} cannot follow a schedule: {reason}"
        )
    arguments.check_kind(peaks[0], entry, name, where)
    context.hparams[f"{path}.peak"] = bounds.check(name, peaks[0], f"{where} peak")
    shape = call._replace(kwargs=tuple(kv for kv in call.kwargs if kv[0] != "peak"))
    schedule, numbers = schedules.split(shape, context.num_steps, prefix=path)
    context.hparams.update(numbers)
    context.scheduled[path] = schedule
    return TracedNumber(path)
