"""From an expression to (OptimizerSpec, Hparams), and from those to a transformation.

`split` takes the numbers out, once, on the host: what is left is static and hashable.
`build` puts numbers in, inside the traced step, in every step, from that step's values.
A sweep over any number therefore compiles once. (`optax.inject_hyperparams` breaks
adafactor, lbfgs, adopt and galore and changes Adam's numerics; schedules as callables
are refused by optimistic_adam, rprop and sm3. Building in the step does neither.)
"""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import optax

from gradjax import spec
from gradjax.errors import Refusal
from gradjax.optimizers import bounds
from gradjax.types import Call, Entry, Hparams, Leaf, OptimizerSpec

RATE = "learning_rate"  # the key in Hparams of the rate that no expression gave


class Registry(NamedTuple):
    """The known names, by what they may stand for."""

    optimizers: dict[str, Entry]
    transforms: dict[str, Entry]  # inside a chain only
    wrappers: dict[str, Entry]


def split(optimizer: Any, registry: Registry) -> tuple[OptimizerSpec, Hparams]:
    """Takes the numbers out of an optimizer.

    Args:
      optimizer: an expression (`"adamw(b2=0.95)"`, a name, an import path), a function
        `(learning_rate, ...) -> optax.GradientTransformation` such as `optax.adamw`, a
        `functools.partial` of one, or a finished transformation.
      registry: the known names.

    Returns:
      The static OptimizerSpec and its numbers: `learning_rate`, and
      `optimizer.<argument>` for each number the expression gave.

    Raises:
        Refusal: an unknown name or argument, a missing one, a number out of bounds, or
            something that does not descend.
    """
    hparams: Hparams = {}
    if isinstance(optimizer, optax.GradientTransformation):
        return OptimizerSpec(Entry(_Constant(optimizer), rate=None)), hparams
    if callable(optimizer):
        call, entry = _from_function(optimizer, registry)
        return _node(call, entry, "optimizer", registry, hparams), hparams
    call = spec.parse(optimizer) if isinstance(optimizer, str) else optimizer
    entry = _find(call.name, registry, is_inside=False)
    node = _node(call, entry, "optimizer", registry, hparams)
    if not any(_descends(inner.entry, registry) for inner in nodes(node)):
        raise Refusal(
            f"{spec.unparse(call)} holds no optimizer, so it does not descend"
        )
    return node, hparams


def build(optimizer: OptimizerSpec, numbers: Hparams) -> optax.GradientTransformation:
    """The transformation with `numbers` in its place; called inside the trace."""

    def filled(value: Any) -> Any:
        if isinstance(value, Leaf):
            return numbers[value.path]
        if isinstance(value, OptimizerSpec):
            return build(value, numbers)
        return tuple(map(filled, value)) if isinstance(value, tuple) else value

    kwargs = {name: filled(value) for name, value in optimizer.kwargs}
    return optimizer.entry.make(*map(filled, optimizer.args), **kwargs)


def nodes(optimizer: OptimizerSpec) -> Iterator[OptimizerSpec]:
    """The spec and every spec inside it."""
    yield optimizer
    for value in (*optimizer.args, *(value for _, value in optimizer.kwargs)):
        if isinstance(value, OptimizerSpec):
            yield from nodes(value)


def needs(optimizer: OptimizerSpec) -> frozenset[str]:
    """The extra arguments that its update takes, exactly."""
    return frozenset(name for node in nodes(optimizer) for name in node.entry.needs)


def num_gradients(optimizer: OptimizerSpec) -> int:
    """Gradients spent by one step."""
    return math.prod(node.entry.num_gradients for node in nodes(optimizer))


def eval_params(optimizer: OptimizerSpec, opt_state: Any, params: Any) -> Any:
    """The parameters to evaluate: averaged ones, where the optimizer keeps them."""
    for node in nodes(optimizer):
        if node.entry.eval_params is not None:
            return node.entry.eval_params(opt_state, params)
    return params


class _Constant(NamedTuple):
    """A factory without arguments for a finished transformation."""

    transformation: Any

    def __call__(self) -> optax.GradientTransformation:
        return self.transformation


def _find(name: str, registry: Registry, is_inside: bool) -> Entry:
    if ":" in name:
        made = spec.load(name)
        if isinstance(made, Entry):
            return made
        if not callable(made):
            raise Refusal(f"{name!r} is not a function that makes an optimizer")
        return _from_function(made, registry)[1]
    known = {**registry.optimizers, **registry.wrappers}
    if name in registry.transforms and not is_inside:
        raise Refusal(
            f"{name!r} changes gradients but does not descend; put it before an"
            f" optimizer: chain({name}(...), sgd)"
        )
    return spec.lookup(
        name, {**known, **registry.transforms} if is_inside else known, "optimizer"
    )


def _from_function(make: Callable[..., Any], registry: Registry) -> tuple[Call, Entry]:
    """A function's Entry, known or read off its signature; a partial's arguments."""
    is_partial = isinstance(make, partial)
    args, kwargs = (make.args, tuple(make.keywords.items())) if is_partial else ((), ())
    function = make.func if is_partial else make
    call = Call(getattr(function, "__name__", type(function).__name__), args, kwargs)
    for entry in (*registry.optimizers.values(), *registry.wrappers.values()):
        if entry.make is function:  # with what it needs, and its eval_params
            return call, entry
    try:
        rate = inspect.signature(function).parameters.get(RATE)
    except ValueError as error:
        raise Refusal(f"{call.name} is not an optimizer: {error}") from None
    if rate is None:
        return call, Entry(function, rate=None)
    default = rate.default if isinstance(rate.default, float | int) else 1e-3
    return call, Entry(function, rate=(RATE, float(default)))


def _descends(entry: Entry, registry: Registry) -> bool:
    is_known = entry in (*registry.transforms.values(), *registry.wrappers.values())
    return not is_known


def _node(
    call: Call, entry: Entry, path: str, registry: Registry, hparams: Hparams
) -> OptimizerSpec:
    """The spec of one call; its numbers go into `hparams` under `path`."""
    args, kwargs = _arguments(call, entry)
    paths = _child_paths(path, (*args, *kwargs.values()))
    rates: list[str] = []

    def taken(name: str, value: Any) -> Any:
        where = f"{call.name}: {name}"
        if isinstance(value, Call):
            child = _child(value, entry, paths, where, registry, hparams)
            rates.extend(child.rates if isinstance(child, OptimizerSpec) else ())
            return child
        _check_kind(value, entry, name, where)
        if isinstance(value, tuple):
            return tuple(taken(f"{name}.{k}", item) for k, item in enumerate(value))
        if value is None or isinstance(value, bool | str) or callable(value):
            return value
        if name in entry.static:
            return value
        leaf = f"{path}.{name}"
        hparams[leaf] = bounds.check(name, value, where)
        if entry.rate and name == entry.rate[0]:
            rates.append(leaf)
        return Leaf(leaf)

    taken_args = tuple(taken(str(k), value) for k, value in enumerate(args))
    taken_kwargs = {name: taken(name, value) for name, value in kwargs.items()}
    if entry.rate and entry.rate[0] not in taken_kwargs:
        hparams.setdefault(RATE, entry.rate[1])
        taken_kwargs[entry.rate[0]] = Leaf(RATE)
        rates.append(RATE)
    distinct = tuple(dict.fromkeys(rates))
    return OptimizerSpec(entry, taken_args, tuple(taken_kwargs.items()), distinct)


def _arguments(call: Call, entry: Entry) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional (of a wrapper) and named arguments, checked against the signature."""
    signature = inspect.signature(entry.make)
    names = [name for name in signature.parameters if name not in ("args", "kwargs")]
    valid = ", ".join(names) or "none"
    try:
        bound = signature.bind_partial(*call.args, **dict(call.kwargs))
    except TypeError as error:
        raise Refusal(f"{call.name}: {error}; its arguments: {valid}") from None
    given = dict(bound.arguments)
    positional = given.pop("args", ())
    given |= given.pop("kwargs", {})
    rate = entry.rate[0] if entry.rate else None
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name not in given
        and name != rate
    ]
    if missing:
        raise Refusal(f"{call.name} needs {', '.join(missing)}: {call.name}(...)")
    if entry.inner and not positional and not given:
        raise Refusal(f"{call.name} is empty: {call.name}(adam)")
    for value in positional if entry.inner else ():
        if not isinstance(value, Call):
            raise Refusal(
                f"{call.name}: {value!r} is not an optimizer; expected a name"
            )
    return positional, given


def _child(
    call: Call,
    entry: Entry,
    paths: Iterator[str],
    where: str,
    registry: Registry,
    hparams: Hparams,
) -> Any:
    """An optimizer inside a wrapper, or whatever else an import path names."""
    if entry.inner:
        found = _find(call.name, registry, is_inside=True)
        return _node(call, found, next(paths), registry, hparams)
    if ":" in call.name and not call.args and not call.kwargs:
        return spec.load(call.name)
    raise Refusal(f"{where}={spec.unparse(call)}: expected a number")


def _child_paths(path: str, values: tuple[Any, ...]) -> Iterator[str]:
    """A path for each child in turn: its name, numbered where a name comes twice."""
    calls = [value for value in values if isinstance(value, Call)]
    count = Counter(call.name for call in calls)
    seen: Counter[str] = Counter()
    for call in calls:
        seen[call.name] += 1
        number = f"_{seen[call.name]}" if count[call.name] > 1 else ""
        yield f"{path}.{call.name}{number}"


def _check_kind(value: Any, entry: Entry, name: str, where: str) -> None:
    """Refuses a value that is not of its default's kind: the trace would fail later."""
    parameter = inspect.signature(entry.make).parameters.get(name)
    default = None if parameter is None else parameter.default
    if entry.rate and name == entry.rate[0]:
        default = entry.rate[1]
    is_number = isinstance(value, int | float | np.number) and type(value) is not bool
    if name in entry.static:
        if type(value) is not int or value < 0:
            raise Refusal(f"{where}={value!r}: expected a whole number, not negative")
    elif isinstance(default, bool):
        if is_number or isinstance(value, str):
            raise Refusal(f"{where}={value!r}: expected True or False")
    elif isinstance(default, int | float):
        if not is_number:
            raise Refusal(f"{where}={value!r}: expected a number")
    elif isinstance(default, str | tuple) and (is_number or isinstance(value, bool)):
        kind = type(default).__name__.replace("str", "string")
        raise Refusal(f"{where}={value!r}: expected a {kind} such as {default!r}")
