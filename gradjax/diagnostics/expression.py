"""Reads diagnostics: from expressions, functions, and diagnostics made by hand.

    [sharpness(every=50), layer_norms, my_module:my_function(every=10, on=1000)]

The arguments `every`, `on` and `name` are of every diagnostic; the others are those of
its function.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gradjax import expressions
from gradjax.counts import as_whole
from gradjax.diagnostics import context
from gradjax.errors import Refusal
from gradjax.types import Call, Diagnostic

Registry = Mapping[str, Diagnostic]
_SPLITS = ("train", "validation", "test")
_SHARED = ("every", "on", "name")


def read(
    given: Any, registry: Registry, num_steps: int, every: int | None = None
) -> tuple[Diagnostic, ...]:
    """Reads the diagnostics of a run.

    An interval that was not given and is longer than the run is shortened to it.

    Args:
      given: None; an expression such as `"[sharpness(every=50), layer_norms]"`; or a
        list of expressions, functions and Diagnostics.
      registry: name -> the bundled diagnostic.
      num_steps: the number of steps of the run.
      every: the interval of those without one; None: their usual interval.

    Raises:
        Refusal: a name or an argument is unknown, an interval is impossible or longer
            than the run, the examples are impossible, two diagnostics have one name,
            or a function takes what a step does not have.
    """
    found = tuple(_one(one, registry, num_steps, every) for one in _listed(given))
    counts = Counter(one.name for one in found)
    for name, count in counts.items():
        if count > 1:
            raise Refusal(
                f"{count} diagnostics have the name {name!r}; give them different"
                f" ones: {name}(name='...')"
            )
    return found


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, str):
        is_list = isinstance(given, list | tuple) and not isinstance(given, Diagnostic)
        return list(given) if is_list else [given]
    if not given.strip():
        return []
    if not given.lstrip().startswith("["):
        return [expressions.parse(given)]
    (found,) = expressions.parse(f"list({given})").args
    return list(found)


def _one(
    given: Any, registry: Registry, num_steps: int, every: int | None
) -> Diagnostic:
    """Returns one diagnostic, checked and with its name."""
    if isinstance(given, str):
        given = expressions.parse(given)
    if isinstance(given, Call):
        one, is_usual = _of_call(given, registry)
    else:
        one = _of_object(given)
        is_usual = one.every == Diagnostic._field_defaults["every"]
    one = _checked(one, f"diagnostic {one.name}")
    if one.every > num_steps and not is_usual:
        raise Refusal(
            f"diagnostic {one.name}: every={one.every} is more than the {num_steps}"
            " steps of the run"
        )
    usual = one.every if every is None else every
    return one._replace(every=min(usual if is_usual else one.every, num_steps))


def _of_object(given: Any) -> Diagnostic:
    """Returns the diagnostic of a Diagnostic or of a function, with its name."""
    if isinstance(given, Diagnostic):
        return given._replace(name=given.name or _name_of(given.measure))
    if not callable(given):
        raise Refusal(
            f"a diagnostic of {type(given).__name__}: expected an expression such as"
            " 'sharpness(every=50)', a function, or a gradjax.diagnostics.Diagnostic"
        )
    return Diagnostic(given, name=_name_of(given))


def _of_call(call: Call, registry: Registry) -> tuple[Diagnostic, bool]:
    """Returns the diagnostic of an expression, and whether its interval is usual."""
    said = f"diagnostic {call.name}"
    if call.args:
        raise Refusal(f"{said}: name the arguments, as in {call.name}(every=50)")
    base = _find(call.name, registry)
    known = context.names(base.init is not None)
    options = [
        one.name
        for one in context.parameters(said, base.measure)
        if one.name not in known
    ]
    given = {name: _literal(said, name, value) for name, value in call.kwargs}
    for name in given:
        if name not in (*_SHARED, *options):
            line = expressions.unknown(name, [*_SHARED, *options], "argument")
            raise Refusal(f"{said}: {line}")
    shared = {name: given[name] for name in _SHARED if name in given}
    own = tuple((name, given[name]) for name in given if name not in _SHARED)
    made = base._replace(**shared, options=(*base.options, *own))
    return made, "every" not in shared


def _literal(said: str, name: str, value: Any) -> Any:
    """Returns the value of an argument; a text may be written without quotes."""
    if not isinstance(value, Call):
        return value
    if value.args or value.kwargs:
        raise Refusal(
            f"{said}: {name}={expressions.unparse(value)} is no number or name"
        )
    return value.name


def _find(name: str, registry: Registry) -> Diagnostic:
    if ":" not in name:
        return expressions.lookup(name, dict(registry), "diagnostic")._replace(
            name=name
        )
    loaded = expressions.load(name)
    own = name.rpartition(":")[2]
    if isinstance(loaded, Diagnostic):
        return loaded._replace(name=loaded.name or own)
    return Diagnostic(loaded, name=own)


def _checked(one: Diagnostic, said: str) -> Diagnostic:
    """Returns a diagnostic whose parts have been checked."""
    every = as_whole(one.every)
    if every is None or not 1 <= every < 2**31:
        line = "must be a positive whole number of steps"
        raise Refusal(f"{said}: every={one.every!r} {line}")
    on = one.on if isinstance(one.on, str) else as_whole(one.on)
    if on is None or on not in ("batch", *_SPLITS) and not isinstance(on, int):
        expected = f"batch, a number of examples, or {', '.join(_SPLITS)}"
        raise Refusal(f"{said}: on={one.on!r}: expected {expected}")
    if isinstance(on, int) and on < 1:
        raise Refusal(f"{said}: on={on}: must be a positive number of examples")
    if not isinstance(one.name, str) or not one.name:
        raise Refusal(f"{said}: name={one.name!r}: expected a text")
    context.check(said, one.measure, context.names(one.init is not None))
    if one.init is not None:
        context.check(f"{said}: its init", one.init, context.AT_START)
    return one._replace(every=every, on=on)


def _name_of(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    name = str(getattr(function, "__name__", type(function).__name__))
    if name == "<lambda>":
        raise Refusal(
            "a diagnostic without a name: give gradjax.diagnostics.Diagnostic(function,"
            " name='...')"
        )
    return name
