"""Makes trials from points of a space: their program, traced numbers and id.

A name of a setting (`optimizer`, `schedule`, `batch_size`, a flag of the experiment) is
static, and so is `model.<argument>`: trials that differ in it have different programs.
`learning_rate` and every other dotted name are traced numbers: trials that differ only
in them share one program. `sweeps.names` lists the names.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gradjax import expressions, optimizers, schedules
from gradjax.errors import Refusal
from gradjax.sweeps import names
from gradjax.types import Hparams, Point, Program, Settings

_LATER = ("diagnostics", "init_from", "accumulate", "remat")


class Trial(NamedTuple):
    """One trial of a run or a sweep."""

    id: str  # a digest of the rest: the same content has the same id in every sweep
    group: str  # a digest of the static part
    settings: Settings  # the static part; its seed and learning rate have no meaning
    numbers: Hparams  # traced numbers that replace the program's defaults
    point: Point  # as the search returned it
    seed: int
    optimizer: str  # the expression as it was given, with its numbers


def trial(base: Settings, point: Point, seed: int) -> Trial:
    """Makes the trial of a point and a seed.

    Args:
      base: the settings of the command; the point replaces parts of them.
      point: name -> value.
      seed: determines the initial parameters, the batch order and dropout.

    Raises:
        Refusal: a name that is neither a setting nor a number of the optimizer or the
            schedule.
    """
    known = {*names.STATIC, *dict(base.own)}
    static = {name: value for name, value in point.items() if name in names.STATIC}
    asked_for = str(point.get("optimizer", base.optimizer))
    numbers = dict(
        names.number_of(name, value, asked_for)
        for name, value in point.items()
        if name not in known
    )
    own = {name: point.get(name, value) for name, value in base.own}
    settings = base._replace(**static, seed=0, seeds=1, own=tuple(own.items()))
    if names.RATE not in numbers and base.learning_rate is not None:
        numbers[names.RATE] = base.learning_rate
    settings = settings._replace(learning_rate=None)
    for name in list(numbers):
        try:
            settings, is_static = _with_argument(settings, name, numbers[name])
        except Refusal as error:
            raise Refusal(_with_hint(str(error), point, name)) from None
        if is_static:
            del numbers[name]
    group = digest(deciding(settings))
    return Trial(
        digest([group, sorted(numbers.items()), seed]),
        group,
        settings,
        numbers,
        point,
        seed,
        asked_for,
    )


def _with_hint(line: str, point: Point, name: str) -> str:
    """Adds how a range of one optimizer alone is named, where there are several."""
    if "optimizer" not in point or name not in point:
        return line
    rest = name.partition(".")[2]
    return f"{line}; the range of one optimizer alone begins with its name: adam.{rest}"


def deciding(settings: Settings) -> dict[str, Any]:
    """Returns the settings that decide a trial, by name.

    Settings that were added later are left out where they are not given. So trials
    without them have the ids that they had before. What only bounds a cache decides
    nothing.
    """
    found = settings._asdict()
    found["own"] = tuple(one for one in settings.own if one[0] != "cache_bytes")
    return {
        name: value
        for name, value in found.items()
        if name not in _LATER or value != Settings._field_defaults[name]
    }


def digest(value: Any) -> str:
    """Returns 16 hex digits of the sha256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def group(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Returns the trials by the program that they share, in their order."""
    groups: dict[str, list[Trial]] = {}
    for one in trials:
        groups.setdefault(one.group, []).append(one)
    return groups


def check_common(
    one: Trial, groups: Iterable[list[Trial]], program: Callable[[Settings], Program]
) -> None:
    """Refuses a number for all optimizers that the one of a trial does not have.

    Raises:
        Refusal: another optimizer has the number; the line gives the name of its range.
    """
    known = program(one.settings).hparams
    for name in one.numbers.keys() - known.keys():
        for other in (group[0] for group in groups):
            if name in program(other.settings).hparams:
                word = expressions.parse(other.optimizer).name.rpartition(":")[2]
                exact = f"{word}.{name.removeprefix('optimizer.')}"
                raise Refusal(
                    f"{name} is for all optimizers, and {one.optimizer} has no such"
                    f" hyperparameter; {exact} is that of {other.optimizer} alone"
                )


def forget() -> None:
    """Forgets what was read from signatures of functions, which a user may replace."""
    for function in (
        _placed,
        _numbers_of_schedule,
        names.has_rate,
        names.follows_schedule,
    ):
        function.cache_clear()


def _with_argument(settings: Settings, name: str, value: Any) -> tuple[Settings, bool]:
    """Writes an argument such as `optimizer.b2` into the expression of the settings.

    A traced number is written as a placeholder, and a static argument as its value.

    Returns:
      The settings, and whether they contain the value itself.
    """
    field, _, argument = name.partition(".")
    if field == "model":
        return _with_model(settings, argument, value), True
    if field == "schedule" and argument:
        return _with_schedule(settings, argument, value)
    if field != "optimizer" or not argument:
        return settings, False
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = _placed(settings.optimizer, name) if is_number else None
    if text is not None:
        return settings._replace(optimizer=text), False
    is_call = isinstance(value, str) and "(" in value  # a list keeps calls as text
    literal = expressions.parse(f"choice({value})").args[0] if is_call else value
    text = optimizers.write(settings.optimizer, name, literal)
    return settings._replace(optimizer=text), True


def _with_schedule(
    settings: Settings, argument: str, value: Any
) -> tuple[Settings, bool]:
    """Writes a whole number of a schedule; its other numbers are always traced."""
    if f"schedule.{argument}" in _numbers_of_schedule(settings.schedule):
        return settings, False
    call = expressions.parse(settings.schedule)
    others = [pair for pair in call.kwargs if pair[0] != argument]
    written = call._replace(kwargs=(*others, (argument, value)))
    return settings._replace(schedule=expressions.unparse(written)), True


def _with_model(settings: Settings, argument: str, value: Any) -> Settings:
    """Writes an argument into the expression of the model."""
    own = dict(settings.own)
    if not own.get("model"):
        raise Refusal(f"--sweep: model.{argument}: {settings.experiment} has no model")
    call = expressions.parse(own["model"])
    others = [pair for pair in call.kwargs if pair[0] != argument]
    is_text = isinstance(value, str)  # a list keeps tuples and calls as text
    literal = expressions.parse(f"choice({value})").args[0] if is_text else value
    own["model"] = expressions.unparse(
        call._replace(kwargs=(*others, (argument, literal)))
    )
    return settings._replace(own=tuple(own.items()))


@functools.lru_cache(maxsize=1_000)
def _placed(optimizer: str, name: str) -> str | None:
    """Returns the optimizer with a traced number of this name; None if it is static."""
    return optimizers.place(optimizer, name)


@functools.lru_cache(maxsize=1_000)
def _numbers_of_schedule(schedule: str) -> frozenset[str]:
    """Returns the names of the traced numbers of a schedule."""
    return frozenset(schedules.split(schedule, 2**31 - 1)[1])
