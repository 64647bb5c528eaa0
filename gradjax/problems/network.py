"""Makes a model from an expression such as `"gru(width=128)"`."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.problems.arguments import choice, number, truth, whole
from gradjax.types import Call

Made = TypeVar("Made")  # a Model, or another NamedTuple of functions

_MOST = {
    "width": 2**13,
    "hidden": 2**15,
    "depth": 64,
    "heads": 64,
    "widths": 2**13,
    "channels": 2**11,
    "groups": 2**11,
    "latent": 2**11,
    "patch": 2**8,
    "rank": 2**12,
    "dropout": 0.95,
    "input_dropout": 0.95,
    "l2": 1e6,
    "l2_bias": 1e6,
    "scale": 1e3,
}
_LEAST = {"hidden": 0}  # 0: no hidden layer
_CHOICES = {"norm": ("batch", "group", "layer")}  # of arguments that are words
_MOST_LAYERS = 32  # the largest length of a tuple


def network(
    expression: str,
    registry: dict[str, Callable[..., Made]],
    *given: Any,
    own: Any = None,
    form: tuple[Any, Any] | None = None,
    precision: str = "float32",
) -> Made:
    """Makes the registered model that an expression names, or one of the user.

    Args:
      expression: a name, or a call with literal keyword arguments; or an import path
        `package.module:name`, see `models.own.make`.
      registry: name -> factory(*given, **arguments with defaults).
      given: arguments that the data determine: number of tokens or classes, shape of
        the images, catalogue.
      own: what the import path names; None: it is imported.
      form: (inputs, shape of the outputs) of a Model, as in `models.own.Form`; None: a
        network that is no Model.
      precision: "float32", or "bfloat16" to compute in it; parameters stay float32.

    Raises:
      Refusal: the name or an argument is unknown (the line gives the nearest name), or
        a value is out of range.
    """
    from gradjax.models import precision as precisions

    choice("precision", precision, precisions.PRECISIONS)
    call = expressions.parse(expression)
    if ":" in call.name:
        from gradjax.models import own as owns

        found = expressions.load(call.name) if own is None else own
        made = owns.make(found, call, given, form and owns.Form(*form))
        return precisions.in_precision(made, precision)
    if own is not None:
        raise Refusal(f"model={own!r}: {call.name} is a network of gradjax")
    factory = expressions.lookup(call.name, registry, "model")
    own = list(inspect.signature(factory).parameters.values())[len(given) :]
    defaults = {parameter.name: parameter.default for parameter in own}
    if call.args:
        known = ", ".join(defaults) or "none"
        raise Refusal(f"{expression}: arguments go by name; {call.name} has {known}")
    for name, _ in call.kwargs:
        if name not in defaults:
            kind = f"argument of {call.name}:"
            raise Refusal(expressions.unknown(name, defaults, kind))
    checked = {
        name: _check(call, name, value, defaults[name]) for name, value in call.kwargs
    }
    return precisions.in_precision(factory(*given, **checked), precision)


def _check(call: Call, name: str, value: Any, default: Any) -> Any:
    """Returns the value if it has the type of the default and is in range."""
    said = f"{call.name}: {name}"
    if isinstance(default, str):
        is_bare = isinstance(value, Call) and not value.args and not value.kwargs
        return choice(said, value.name if is_bare else value, _CHOICES[name])
    if isinstance(value, Call):
        raise Refusal(f"{said}={expressions.unparse(value)}: expected a number")
    if isinstance(default, bool):
        return truth(said, value)
    if isinstance(default, tuple):
        return _wholes(said, name, value)
    if isinstance(default, int):
        return whole(said, value, _LEAST.get(name, 1), _MOST[name])
    return number(said, value, 0.0, _MOST[name])


def _wholes(said: str, name: str, value: Any) -> tuple[int, ...]:
    """Returns the value if it is a tuple of whole numbers in range, one per layer."""
    if not isinstance(value, tuple) or len(value) > _MOST_LAYERS:
        expected = f"expected at most {_MOST_LAYERS} numbers, as in (128,) or (128, 64)"
        raise Refusal(f"{said}={value!r}: {expected}")
    return tuple(whole(said, one, _LEAST.get(name, 1), _MOST[name]) for one in value)
