"""A network in a parametrization: `"standard"`, `"mup"` or `"mup(base=32)"`."""

import inspect
from collections.abc import Callable
from typing import Any

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.problems.arguments import choice, whole
from gradjax.problems.network import network
from gradjax.types import Call, Model

STANDARD = "standard"
HELP = (  # of the flag
    "standard, or mup, with which the best learning rate stays the same at every width:"
    " initial values and rates are those of the standard at the base width, 64, and are"
    " scaled from there; 'mup(base=32)' has another base, and a network of your own"
    " takes itself at the base width: \"mup(base='my_package.mine:Net(width=64)')\""
)
_BASE = 64
_FAMILIES = ("adam", "sgd")
_WIDTHS = ("width", "widths")  # arguments of a bundled network


def parametrized(
    parametrization: str,
    expression: str,
    registry: dict[str, Callable[..., Model]],
    *given: Any,
    **how: Any,
) -> Model:
    """Makes a network as `network` does, in a parametrization.

    Args:
      parametrization: "standard"; or "mup", the maximal update parametrization of
        Yang et al. 2022, with the arguments `base` (a whole number: the width at which
        it is the standard; for a network of the user its expression at the base width)
        and `family` ("adam" or "sgd", for an optimizer that gradjax does not know).
      expression: as in `network`. An argument `widths` is divided by its largest width
        and multiplied by the base.
      registry: as in `network`.
      given: as in `network`.
      how: as in `network`. A network of a record, which is given by `own`, computes the
        same in every parametrization.

    Raises:
      Refusal: what `network` refuses, of the network or at the base width; an unknown
        parametrization; a bundled network for which there is no muP.
    """
    call = expressions.parse(parametrization)
    name = choice("parametrization", call.name, (STANDARD, "mup"))
    options = _options(call)
    if name == STANDARD or how.get("own") is not None:
        return network(expression, registry, *given, **how)
    from gradjax import models
    from gradjax.models.parametrization import maximal_update

    base, family = options["base"], options["family"]
    asked = expressions.parse(expression)
    if ":" in asked.name:
        if not isinstance(base, str):
            raise Refusal(
                f"parametrization={parametrization}: give the network of the base"
                f" width: mup(base='{asked.name}(...)')"
            )
        model = network(expression, registry, *given, **how)
        small = network(base, registry, *given, **how)
        return maximal_update(model, small, family)
    factory = expressions.lookup(asked.name, registry, "model")
    if factory not in models.OF_BASE:
        known = [name for name, one in registry.items() if one in models.OF_BASE]
        raise Refusal(
            f"parametrization={parametrization}: {asked.name} has none; known for"
            f" {', '.join(known) or 'none here'}, and for networks of your own"
        )
    width = whole("parametrization: base", base, 1, 2**13)
    scaled = {**registry, asked.name: models.OF_BASE[factory](width)}
    model = network(expression, scaled, *given, **how)
    small = network(_at_width(asked, factory, width), registry, *given, **how)
    return maximal_update(model, small, family)


def _options(call: Call) -> dict[str, Any]:
    """Returns the base and the family of a parametrization."""
    known: dict[str, Any] = {} if call.name == STANDARD else {"base": _BASE}
    known |= {} if call.name == STANDARD else {"family": None}
    if call.args:
        raise Refusal(f"{expressions.unparse(call)}: its arguments go by name")
    for name, value in call.kwargs:
        if name not in known:
            raise Refusal(expressions.unknown(name, known, f"argument of {call.name}:"))
        is_bare = isinstance(value, Call) and not value.args and not value.kwargs
        known[name] = value.name if is_bare else value
        if name == "family":
            choice("parametrization: family", known[name], _FAMILIES)
        elif isinstance(value, Call):
            known[name] = expressions.unparse(value)
    return known


def at_width(expression: str, width: int) -> str:
    """Returns the expression of a network at another width.

    The text `{width}` in it is replaced, as in "my_module:Net(width={width})". Without
    it, the argument `width` or `widths` of a bundled network is: the largest of widths
    becomes `width`, and the others keep their ratios to it.

    Raises:
      Refusal: it has no such text, and is no bundled network with such an argument.
    """
    if "{width}" in expression:
        return expression.replace("{width}", str(width))
    from gradjax import models

    call = expressions.parse(expression)
    for registry in (models.MODELS, models.LANGUAGE_MODELS, models.TEXT_MODELS):
        if call.name in registry:
            found = inspect.signature(registry[call.name]).parameters
            if not found.keys().isdisjoint(_WIDTHS):
                return _at_width(call, registry[call.name], width)
    raise Refusal(
        f"model {expression}: its width is not known; write {{width}} in its place, as"
        " in my_module:Net(width={width})"
    )


def _at_width(call: Call, factory: Callable[..., Model], width: int) -> str:
    defaults = inspect.signature(factory).parameters
    name = next(name for name in _WIDTHS if name in defaults)
    arguments = dict(call.kwargs)
    asked = arguments.get(name, defaults[name].default)
    small: Any = width
    if isinstance(asked, tuple):
        largest = max(asked, default=width)
        small = tuple(max(1, round(one * width / largest)) for one in asked)
    kwargs = tuple({**arguments, name: small}.items())
    return expressions.unparse(call._replace(kwargs=kwargs))
