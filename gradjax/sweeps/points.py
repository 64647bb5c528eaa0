"""From a point of the space to a trial: what compiles, what is traced, and its id.

A name that is a setting (`optimizer`, `schedule`, `batch_size`, ...) is static, and so
is `model.<argument>`: trials that differ in it are of different programs.
`learning_rate` and every other dotted name are numbers: trials that differ in them
share one program.
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
# What the tuning spaces of AlgoPerf (Dahl et al. 2023) call them, and whether the file
# has 1 minus the number.
_ALGOPERF = {
    "beta1": ("optimizer.b1", False),
    "beta2": ("optimizer.b2", False),
    "epsilon": ("optimizer.eps", False),
    "one_minus_beta1": ("optimizer.b1", True),
    "one_minus_beta2": ("optimizer.b2", True),
    "warmup_factor": ("schedule.warmup", False),
    "weight_decay": ("optimizer.weight_decay", False),
}
_DOTTED = ("optimizer", "schedule", "model")  # what takes arguments
_STATIC = ("optimizer", "schedule", "batch_size", "model", "steps", "epochs")


class Trial(NamedTuple):
    """One run of a sweep."""

    id: str  # of all below: the same content, the same id, in every sweep
    group: str  # id of the static part
    settings: Settings  # the static part; its seed and learning rate say nothing
    numbers: Hparams  # what is traced, beside the program's defaults
    point: Point  # as the search gave it
    seed: int
    optimizer: str  # as it was asked for, before its numbers were taken out


def trial(base: Settings, point: Point, seed: int) -> Trial:
    """The trial of a point and a seed.

    Args:
      base: of the command; the point replaces parts of it.
      point: name -> value.
      seed: of the initial parameters, the batch order and dropout.

    Raises:
        Refusal: a name that is neither a setting nor a number of the optimizer or the
            schedule.
    """
    known = {*_STATIC, *dict(base.own)}
    static = {name: value for name, value in point.items() if name in _STATIC}
    numbers = dict(
        _renamed(name, value) for name, value in point.items() if name not in known
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
    """Refuses names that nothing could stand for, before anything is made.

    Args:
      space: what varies.
      own: settings that the experiment alone has.

    Raises:
        Refusal: the line says what there is.
    """
    for one in space.dimensions:
        name, _ = _renamed(one.name, 0.0)
        head = name.partition(".")[0]
        is_dotted = "." in name and head in _DOTTED
        if one.name not in (*_STATIC, *own, RATE) and not is_dotted:
            known = [*_STATIC, *own, RATE, *(f"{name}.<argument>" for name in _DOTTED)]
            raise Refusal(f"--sweep: {expressions.unknown(one.name, known, 'name')}")
        is_static = head == "model" or one.name in (*_STATIC, *own)
        if is_static and one.kind in ("log", "linear"):
            raise Refusal(
                f"--sweep: {one.name} is a part of the program: give a list, as in"
                f" {one.name}=[a, b]"
            )


def _renamed(name: str, value: Any) -> tuple[str, Any]:
    """A number as gradjax calls it."""
    ours, is_complement = _ALGOPERF.get(name, (name, False))
    return ours, 1.0 - value if is_complement else value


def digest(value: Any) -> str:
    """16 hex digits of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def grouped(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Trials by the program that they share, in the order in which they come."""
    groups: dict[str, list[Trial]] = {}
    for one in trials:
        groups.setdefault(one.group, []).append(one)
    return groups


def _with_argument(settings: Settings, name: str, value: Any) -> tuple[Settings, bool]:
    """Writes `optimizer.b2` into `adamw`: a number to replace, or a static part.

    Returns:
      The settings, and whether the value itself is in them now.
    """
    field, _, argument = name.partition(".")
    if not argument or "." in argument:
        return settings, False  # a path into nested calls has to be there already
    call = expressions.parse(getattr(settings, field) or "")
    if field == "model":
        others = [pair for pair in call.kwargs if pair[0] != argument]
        is_text = isinstance(value, str)  # as a list keeps tuples and calls
        literal = expressions.parse(f"choice({value})").args[0] if is_text else value
        itself = call._replace(kwargs=(*others, (argument, literal)))
        return settings._replace(model=expressions.unparse(itself)), True
    if call.args or any(key == argument for key, _ in call.kwargs):
        return settings, False

    def written(value: Any) -> Settings:
        kwargs = (*call.kwargs, (argument, value))
        return settings._replace(
            **{field: expressions.unparse(Call(call.name, (), kwargs))}
        )

    # Any legal number will do: each trial has its own in its place.
    placed = written(_PLACEHOLDER)
    if field == "optimizer" and name not in _numbers(
        placed.optimizer if type(value) is float else written(value).optimizer
    ):
        return written(value), True
    return placed, False


@functools.lru_cache(maxsize=1_000)
def _numbers(optimizer: str) -> frozenset[str]:
    """The names of the numbers that are traced."""
    _, numbers = optimizers.split(optimizer)
    return frozenset(numbers)
