"""The names of the hyperparameters that a sweep varies, and the space of an optimizer.

    learning_rate, optimizer, schedule, batch_size, steps, epochs, a flag of the problem
    optimizer.<path>      a number of every optimizer, such as optimizer.b2
    schedule.<path>       a number of the schedule, such as schedule.warmup
    model.<argument>      an argument of the model
    <name>.<path>         a number of the optimizer of this name alone: adamw.b2
    <name>.learning_rate  its learning rate

The name of an optimizer is the word with which its expression begins; of an import path
it is what follows the colon. If several optimizers of a sweep have one name, `sgd`
means each of them, and `sgd_1`, `sgd_2`, ... one of them, in the order of the list. The
path leads to an argument at any depth, written out or not: in the sweep of
`chain(clip_by_global_norm(1.0), sgd)` it is `chain.sgd.momentum`.

The more exact name replaces the other one: beside `learning_rate` for all optimizers,
`sgd.learning_rate` is the range of sgd.
"""

import functools
from typing import Any

from gradjax import expressions, optimizers
from gradjax.errors import Refusal
from gradjax.types import Dimension, Space

RATE = optimizers.RATE
STATIC = ("optimizer", "schedule", "batch_size", "steps", "epochs")
DOTTED = ("optimizer", "schedule", "model")  # settings whose arguments have names
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


def number_of(name: str, value: Any, optimizer: str) -> tuple[str, Any]:
    """Returns the path of a number in a program, and the number for this path.

    Args:
      name: as a sweep has it.
      value: the value of the sweep.
      optimizer: the expression of the trial.
    """
    path, is_complement = _ALGOPERF.get(name, (name, False))
    head, _, rest = path.partition(".")
    if rest and head not in DOTTED:
        path = rest if rest == RATE and has_rate(optimizer) else f"optimizer.{rest}"
    return path, 1.0 - value if is_complement else value


def words(name: str) -> str:
    """Returns the words of a name, without the optimizer that it belongs to.

    "adamw.weight_decay" and "optimizer.weight_decay" are "weight decay"; "model.width"
    is "model width".
    """
    head, _, rest = name.partition(".")
    shown = f"{head} {rest}" if head in ("schedule", "model") and rest else rest or head
    return shown.replace("_", " ")


def checked(space: Space, optimizer: str, own: tuple[str, ...] = ()) -> Space:
    """Checks the names of a space, and finds the optimizers that each one is for.

    Args:
      space: the space of the sweep.
      optimizer: the optimizer of the command, if the sweep varies none.
      own: the names of the experiment's own settings.

    Returns:
      The space; `optimizers` of a dimension is set where it is not for all of them.

    Raises:
        Refusal: an unknown name; the line gives the known names, or the nearest ones.
    """
    named = _named(_expressions(space, optimizer))
    dimensions = [_checked(one, named, own) for one in space.dimensions]
    return Space(tuple(dimensions))


def of_each(space: Space) -> list[Space]:
    """Returns the space of each optimizer; the whole one if no range is of one alone.

    In the space of an optimizer its own ranges replace the common ones.

    Raises:
        Refusal: two ranges of one optimizer are of the same number.
    """
    if not any(one.optimizers for one in space.dimensions):
        return [space]
    varied = [one for one in space.dimensions if one.name == "optimizer"]
    if not varied:
        return [Space(_most_exact(space.dimensions, space.dimensions[0].optimizers))]
    found = []
    for value in varied[0].values:
        of_this = [
            one._replace(values=(value,)) if one is varied[0] else one
            for one in space.dimensions
            if not one.optimizers or value in one.optimizers
        ]
        found.append(Space(_most_exact(tuple(of_this), (value,))))
    return found


def record(space: Space) -> list[dict[str, Any]]:
    """Returns what the plan holds of a space."""
    listed = [one._asdict() for one in space.dimensions]
    return [{k: v for k, v in one.items() if k != "optimizers" or v} for one in listed]


def _expressions(space: Space, optimizer: str) -> tuple[str, ...]:
    """Returns the optimizers of a sweep."""
    for one in space.dimensions:
        if one.name == "optimizer":
            return tuple(map(str, one.values))
    return (optimizer,)


def _named(found: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Returns name -> the optimizers that have it."""
    words = [expressions.parse(one).name.rpartition(":")[2] for one in found]
    exact = optimizers.numbered(words)
    pairs = zip(exact, found, strict=True)
    named: dict[str, tuple[str, ...]] = {name: (one,) for name, one in pairs}
    for word in words:
        same = zip(found, words, strict=True)
        named[word] = tuple(one for one, other in same if other == word)
    return named


def _checked(
    one: Dimension, named: dict[str, tuple[str, ...]], own: tuple[str, ...]
) -> Dimension:
    head, _, rest = one.name.partition(".")
    path, _ = _ALGOPERF.get(one.name, (one.name, False))
    if one.name in (*STATIC, *own) or head == "model":
        if one.kind in ("log", "linear"):
            raise Refusal(
                f"--sweep: {one.name} is a part of the program: give a list, as in"
                f" {one.name}=[a, b]"
            )
        return one
    if path == RATE or (rest and head in DOTTED) or path != one.name:
        return one
    if rest and head in named:
        return one._replace(optimizers=named[head])
    known = [*STATIC, *own, RATE, *(f"{name}.<argument>" for name in DOTTED)]
    known += [f"{name}.<argument>" for name in named]
    name = f"{head}.<argument>" if rest else one.name
    raise Refusal(f"--sweep: {expressions.unknown(name, known, 'name')}")


def _most_exact(
    dimensions: tuple[Dimension, ...], optimizer: tuple[str, ...]
) -> tuple[Dimension, ...]:
    """Leaves out ranges that a range with a more exact name replaces."""
    kept: dict[str, Dimension] = {}
    for one in dimensions:
        path, _ = number_of(one.name, 0.0, str(optimizer[0]))
        before = kept.get(path)
        if before is not None and _exactness(before) == _exactness(one):
            raise Refusal(f"--sweep: {before.name} and {one.name} are the same number")
        if before is None or _exactness(one) > _exactness(before):
            kept[path] = one
    return tuple(one for one in dimensions if one in kept.values())


def _exactness(one: Dimension) -> float:
    """Returns more for a range of fewer optimizers; 0 for a range of all."""
    return 1.0 / len(one.optimizers) if one.optimizers else 0.0


@functools.lru_cache(maxsize=1_000)
def has_rate(optimizer: str) -> bool:
    """Returns whether the learning rate is not a part of the expression."""
    return RATE in optimizers.split(optimizer)[1]


@functools.lru_cache(maxsize=1_000)
def follows_schedule(optimizer: str) -> bool:
    """Returns whether an optimizer has a learning rate, which a schedule multiplies.

    The rate may be a part of the expression, as in `sgd(0.1)`.
    """
    return bool(optimizers.split(optimizer)[0].rates)


def schedule_for(optimizer: str, schedule: str) -> str:
    """Returns the schedule; "constant" for an optimizer that follows none."""
    return schedule if follows_schedule(optimizer) else "constant"
