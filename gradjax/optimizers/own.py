"""Optimizers of the user: what the training step needs to know about them.

It is read from the signature of the function that makes the optimizer and from that of
its update. The decorator `optimizer` states the rest.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import optax

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.optimizers import extras
from gradjax.optimizers.transformation import transformation
from gradjax.types import Entry

RATE = "learning_rate"
DEFAULT_RATE = 1e-3
STATIC_KINDS = (int, bool, str)

_Make = TypeVar("_Make", bound=Callable[..., Any])
_ATTRIBUTE = "gradjax_entry"  # of a function that `optimizer` has decorated


class Finished(NamedTuple):
    """A factory without arguments that returns a given transformation."""

    transformation: Any
    name: str  # that a message gives

    def __call__(self) -> optax.GradientTransformation:
        """Returns the transformation."""
        return self.transformation


class AtOwnState(NamedTuple):
    """A function (opt_state, params) -> params that takes the state of its own rule."""

    function: Callable[[Any, Any], Any]


def optimizer(
    *,
    rate: tuple[str, float] | None | Literal["signature"] = "signature",
    static: tuple[str, ...] = (),
    needs: tuple[str, ...] | None = None,
    num_gradients: int = 1,
    eval_params: Callable[[Any, Any], Any] | None = None,
    step_size: Callable[..., Any] | None = None,
    gradient: str = "batch",
    key: str | None = None,
    space: Mapping[str, Any] | None = None,
) -> Callable[[_Make], _Make]:
    """Decorates a function that makes an optimizer with what its signature cannot say.

        @gradjax.optimizer(static=("rank",), num_gradients=2)
        def my_rule(learning_rate, rank=4): ...

    The function itself stays as it is. It can be given to `gradjax.program` and
    `gradjax.sweep`, and by its import path to `--optimizer`.

    Args:
      rate: the name of the argument that is the learning rate, and its default; None:
        there is no rate. If it is not given, it is the argument `learning_rate`, with
        its own default or 1e-3.
      static: arguments that are never traced, because they change the program. An
        argument that is annotated `int`, `bool` or `str` is static anyway.
      needs: the extra arguments of its update. None: those that the update names.
      num_gradients: the gradients that it computes in a step, the unit of a budget.
      eval_params: (opt_state, params) -> the parameters to evaluate, where `opt_state`
        is the state of this optimizer. None: the parameters themselves.
      step_size: (updates, grads, params, opt_state, **arguments) -> f32[], the step
        size that the optimizer has found. It is stored as a curve.
      gradient: "batch", or "per_example" if it takes the gradient of each example, with
        leaves [batch, ...].
      key: the argument that takes a random key, derived from the seed of the trial.
      space: argument -> the range in which `gradjax.compare` tunes it, such as
        `{"learning_rate": "log(1e-3, 1)", "momentum": "linear(0.5, 0.99)"}`, or a list.

    Returns:
      A decorator that returns the same function.

    Raises:
        Refusal: a name that is no argument, or an extra that does not exist.
    """

    def decorated(make: _Make) -> _Make:
        entry = _entry_of_signature(make)
        rates = [rate[0]] if isinstance(rate, tuple) else []
        declared = {str(name): str(text) for name, text in (space or {}).items()}
        _check_names(make, [*static, *([key] if key else []), *rates, *declared])
        extras.check(_name(make), needs or ())
        given = entry._replace(
            static=(*dict.fromkeys((*static, *entry.static)),),
            needs=needs,
            num_gradients=num_gradients,
            eval_params=eval_params and AtOwnState(eval_params),
            step_size=step_size,
            gradient=gradient,
            key=key,
            space=tuple(declared.items()),
        )
        given = given if rate == "signature" else given._replace(rate=rate)
        setattr(make, _ATTRIBUTE, given)
        return make

    return decorated


def entry_of_function(make: Callable[..., Any]) -> Entry:
    """Returns the entry of a function of the user that makes an optimizer.

    It is the one that the decorator has stored, or is read from the signature.

    Raises:
        Refusal: an object without a signature.
    """
    stored = getattr(make, _ATTRIBUTE, None)
    return stored if isinstance(stored, Entry) else _entry_of_signature(make)


def entry_of_finished(transformation: Any, name: str = "the optimizer") -> Entry:
    """Returns the entry of a finished transformation, which has no numbers to vary."""
    made = Finished(as_transformation(transformation, name), name)
    return Entry(made, rate=None, needs=None, is_own=True)


def is_finished(value: Any) -> bool:
    """Returns whether a value is a transformation, not a function that makes one."""
    is_pair = hasattr(value, "init") and hasattr(value, "update")
    return is_pair and not callable(value)


def as_transformation(made: Any, name: str) -> optax.GradientTransformation:
    """Returns what a factory has made as a transformation.

    Raises:
        Refusal: it is not an optax transformation.
    """
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise Refusal(
            f"{name} gives {_described(made)}, not an optax.GradientTransformation"
        )
    is_transformation = isinstance(made, optax.GradientTransformation)
    return made if is_transformation else transformation(made.init, made.update)


def _entry_of_signature(make: Callable[..., Any]) -> Entry:
    try:
        parameters = inspect.signature(make).parameters
    except (TypeError, ValueError) as error:
        raise Refusal(f"{_name(make)} is not an optimizer: {error}") from None
    rate = None
    if RATE in parameters:
        default = parameters[RATE].default
        is_number = isinstance(default, float | int)
        rate = (RATE, float(default) if is_number else DEFAULT_RATE)
    return Entry(
        make,
        rate=rate,
        static=tuple(n for n in parameters if n != RATE and is_static(kind(make, n))),
        needs=None,
        is_own=True,
    )


def kind(make: Callable[..., Any], name: str) -> Any:
    """Returns the annotation of an argument, without `| None`; None if it has none.

    Args:
      make: a function; annotations that are texts are evaluated where it is defined.
      name: the name of the argument.
    """
    annotation = _annotations(make).get(name)
    parts = [one for one in typing.get_args(annotation) if one is not type(None)]
    return parts[0] if _is_union(annotation) and len(parts) == 1 else annotation


def is_static(annotation: Any) -> bool:
    """Returns whether an annotation is `int`, `bool`, `str`, or a choice of them."""
    if typing.get_origin(annotation) is Literal:
        return True
    if _is_union(annotation):
        parts = [one for one in typing.get_args(annotation) if one is not type(None)]
        return all(map(is_static, parts))
    return annotation in STATIC_KINDS


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


@functools.lru_cache(maxsize=1_000)
def _annotations(make: Callable[..., Any]) -> dict[str, Any]:
    function = make if inspect.isroutine(make) else type(make).__call__
    function = make.__init__ if inspect.isclass(make) else function
    try:
        return typing.get_type_hints(function)
    except Exception:  # an annotation may name anything
        texts = {"int": int, "bool": bool, "str": str, "float": float}
        found = getattr(function, "__annotations__", {})
        return {name: texts.get(str(one), one) for name, one in found.items()}


def _check_names(make: Callable[..., Any], names: list[str]) -> None:
    parameters = inspect.signature(make).parameters
    for name in names:
        if name not in parameters:
            what = f"argument of {_name(make)}:"
            raise Refusal(expressions.unknown(name, parameters, what))


def _name(make: Any) -> str:
    return getattr(make, "__name__", type(make).__name__)


def _described(value: Any) -> str:
    return f"a {type(value).__name__}" if value is not None else "None"
