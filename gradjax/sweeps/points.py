"""Makes trials from points of a space: their program, traced numbers and id.

A name of a setting (`optimizer`, `schedule`, `batch_size`, a flag of the experiment) is
static, and so is `model.<argument>`: trials that differ in it have different programs.
`learning_rate` and every other dotted name are traced numbers: trials that differ only
in them share one program.
"""

import functools
import hashlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from gradjax import expressions, optimizers
from gradjax.errors import Refusal
from gradjax.types import Call, Hparams, Point, Settings, Space

RATE = "learning_rate"
_PLACEHOLDER = 0.5
# Names in the tuning spaces of AlgoPerf (Dahl et al. 2023) -> the name here, and
# whether the file holds 1 minus the number.
_ALGOPERF = {
    "beta1": ("optimizer.b1", False),
    "beta2": ("optimizer.b2", False),
    "epsilon": ("optimizer.eps", False),
    "one_minus_beta1": ("optimizer.b1", True),
    "one_minus_beta2": ("optimizer.b2", True),
    "warmup_factor": ("schedule.warmup", False),
    "weight_decay": ("optimizer.weight_decay", False),
}
_DOTTED = ("optimizer", "schedule", "model")  # settings whose arguments have names
_STATIC = ("optimizer", "schedule", "batch_size", "steps", "epochs")


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
    known = {*_STATIC, *dict(base.own)}
    static = {name: value for name, value in point.items() if name in _STATIC}
    numbers = dict(
        _rename(name, value) for name, value in point.items() if name not in known
    )
    own = {name: point.get(name, value) for name, value in base.own}
    settings = base._replace(**static, seed=0, seeds=1, own=tuple(own.items()))
    if RATE not in numbers and base.learning_rate is not None:
        numbers[RATE] = base.learning_rate
    settings = settings._replace(learning_rate=None)
    asked_for = settings.optimizer
    for name in list(numbers):
        settings, is_static = _with_argument(settings, name, numbers[name])
        if is_static:
            del numbers[name]
    group = digest(settings._asdict())
    return Trial(
        digest([group, sorted(numbers.items()), seed]),
        group,
        settings,
        numbers,
        point,
        seed,
        asked_for,
    )


def check_names(space: Space, own: tuple[str, ...] = ()) -> None:
    """Refuses names that are not hyperparameters, before anything is made.

    Args:
      space: the space of the sweep.
      own: the names of the experiment's own settings.

    Raises:
        Refusal: the line lists the known names.
    """
    for one in space.dimensions:
        name, _ = _rename(one.name, 0.0)
        head = name.partition(".")[0]
        is_dotted = "." in name and head in _DOTTED
        if one.name not in (*_STATIC, *own, RATE) and not is_dotted:
            known = [*_STATIC, *own, RATE, *(f"{name}.<argument>" for name in _DOTTED)]
            line = expressions.unknown(one.name, known, "name")
            raise Refusal(f"--sweep: {line}")
        is_static = head == "model" or one.name in (*_STATIC, *own)
        if is_static and one.kind in ("log", "linear"):
            raise Refusal(
                f"--sweep: {one.name} is a part of the program: give a list, as in"
                f" {one.name}=[a, b]"
            )


def _rename(name: str, value: Any) -> tuple[str, Any]:
    """Returns gradjax's name of a number, and the number under this name."""
    ours, is_complement = _ALGOPERF.get(name, (name, False))
    return ours, 1.0 - value if is_complement else value


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


def _with_argument(settings: Settings, name: str, value: Any) -> tuple[Settings, bool]:
    """Writes an argument such as `optimizer.b2` into the expression of the settings.

    A traced number is written as a placeholder, and a static argument as its value.

    Returns:
      The settings, and whether they contain the value itself.
    """
    field, _, argument = name.partition(".")
    if not argument or "." in argument:
        return settings, False  # a path into nested calls must exist already
    if field == "model":
        return _with_model(settings, argument, value), True
    call = expressions.parse(getattr(settings, field))
    if call.args or any(key == argument for key, _ in call.kwargs):
        return settings, False

    def written(value: Any) -> Settings:
        kwargs = (*call.kwargs, (argument, value))
        text = expressions.unparse(Call(call.name, (), kwargs))
        return settings._replace(**{field: text})

    # Any legal number is right, because each trial replaces it with its own.
    placed = written(_PLACEHOLDER)
    if field == "optimizer" and name not in _numbers(
        placed.optimizer if type(value) is float else written(value).optimizer
    ):
        return written(value), True
    return placed, False


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
def _numbers(optimizer: str) -> frozenset[str]:
    """Returns the names of the traced numbers of an optimizer."""
    _, numbers = optimizers.split(optimizer)
    return frozenset(numbers)
