"""What the numbers of a sweep say: scores, the best, who goes on at a rung."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradjax.sweeps.points import Trial, digest
from gradjax.training.blocks import num_blocks
from gradjax.trials.batches import Going
from gradjax.types import Plan, Point, Target, Trials


class Row(NamedTuple):
    """A trial, and what it came to."""

    trial: Trial
    value: float  # the target's metric at the end, on validation; NaN if it has none
    score: float  # the same with less the better, inf if it diverged or was stopped
    diverged_step: int  # 0 where it did not
    stopped_step: int  # where successive halving ended it, or 0
    evaluation: dict[str, dict[str, float]]  # split -> metric -> value, at the end


class Done(NamedTuple):
    """A group of a round, run."""

    trials: list[Trial]
    found: Trials
    rows: list[Row]  # one a trial


class Scored(NamedTuple):
    """A setting, and how its seeds did."""

    point: Point
    optimizer: str
    rows: tuple[Row, ...]  # one a seed
    score: float  # the mean over its seeds; inf if one of them has none


def rows(group: list[Trial], found: Trials, target: Target) -> list[Row]:
    """What each trial came to."""
    split, name = _measured(found, target)
    values = np.asarray(found.evaluation[split][name], np.float64)
    sign = -1.0 if target.mode == "max" and name == target.metric else 1.0
    losses = np.asarray(found.evaluation[split].get("loss", values))
    # An accuracy is finite even where all outputs are NaN.
    is_finite = np.isfinite(values) & np.isfinite(losses)
    scores = np.where(is_finite, sign * values, np.inf)
    return [
        Row(
            one,
            float(values[k]),
            float(scores[k]),
            int(found.diverged_step[k]),
            int(found.stopped_step[k]),
            {
                split: {name: float(x[k]) for name, x in means.items()}
                for split, means in found.evaluation.items()
            },
        )
        for k, one in enumerate(group)
    ]


def scored(rows: list[Row]) -> list[Scored]:
    """The settings, in the order in which they came; the seeds of one together."""
    own: dict[str, list[Row]] = {}
    for row in rows:
        own.setdefault(_setting(row.trial), []).append(row)
    return [
        Scored(
            of[0].trial.point,
            of[0].trial.optimizer,
            tuple(of),
            float(np.mean([row.score for row in of])),
        )
        for of in own.values()
    ]


def by_optimizer(settings: list[Scored]) -> dict[str, list[Scored]]:
    """The settings of each optimizer that was compared, by its expression."""
    own: dict[str, list[Scored]] = {}
    for one in settings:
        own.setdefault(str(one.point.get("optimizer", one.optimizer)), []).append(one)
    return own


def best(settings: list[Scored]) -> Scored | None:
    """The one with the least score; None if every one diverged."""
    finite = [one for one in settings if np.isfinite(one.score)]
    return min(finite, key=lambda one: one.score) if finite else None


def rungs(plan: Plan, eta: int) -> tuple[int, ...]:
    """Blocks after which a part of the trials is stopped: the run over eta, eta^2, ...

    Each is moved up to the next evaluation. Successive halving, Jamieson and Talwalkar
    2016.
    """
    total, stops, budget = num_blocks(plan), set(), plan.num_steps // eta
    per_evaluation = plan.eval_every // plan.block_steps
    while budget >= plan.eval_every:
        evaluations = -(-budget // plan.eval_every)
        stops.add(evaluations * per_evaluation)
        budget //= eta
    return tuple(sorted(stop for stop in stops if stop < total))


def halving(
    plan: Plan, eta: int, target: Target, group: list[Trial]
) -> Callable[[Going, tuple[int, int]], None]:
    """Stops all but the best 1 / eta of the settings that live at each rung.

    A setting is ranked by the mean of the validation metric just seen over its seeds,
    and stays or goes with all of them; one of which a seed diverged has no mean.

    Args:
      plan: of the run.
      eta: one in so many stays.
      target: whose metric ranks.
      group: all trials of the program, as `going` has them.
    """
    stops = set(rungs(plan, eta))
    setting = np.unique([_setting(one) for one in group], return_inverse=True)[1]

    def halve(going: Going, stretch: tuple[int, int]) -> None:
        block, book = sum(stretch), going.book
        alive = going.alive[book.diverged_step[going.alive] == 0]
        if block not in stops or not len(alive):
            return
        is_known = target.metric in book.validation
        name = target.metric if is_known else "loss"
        metric = book.validation[name][:, block - 1]
        sign = -1.0 if target.mode == "max" and is_known else 1.0
        losses = book.validation.get("loss", book.validation[name])[:, block - 1]
        is_bad = ~np.isfinite(metric + losses) | (book.diverged_step > 0)
        scores = np.where(is_bad, np.inf, sign * metric.astype(np.float64))
        living = list(dict.fromkeys(setting[alive]))  # in the order of the trials
        means = [scores[setting == one].mean() for one in living]
        order = np.argsort(means, kind="stable")
        gone = np.asarray(living)[order[max(1, len(living) // eta) :]]
        book.stopped_step[alive[np.isin(setting[alive], gone)]] = (
            block * plan.block_steps
        )

    return halve


def warnings(settings: list[Scored]) -> list[str]:
    """What a reader must know before believing the best of one optimizer."""
    winner = best(settings)
    if winner is None:
        return ["every trial diverged"]
    said = []
    for name, value in winner.point.items():
        tried = sorted(
            {one.point[name] for one in settings if _is_number(one.point[name])}
        )
        if len(tried) > 1 and value in (tried[0], tried[-1]):
            end = "lower" if value == tried[0] else "upper"
            said.append(f"the best {name} lies at the {end} end of what was tried")
    rivals = [one for one in settings if one is not winner and np.isfinite(one.score)]
    second = min(rivals, key=lambda one: one.score, default=None)
    if second is not None and len(winner.rows) > 1 and _overlap(winner, second):
        said.append("the seeds of the two best settings overlap")
    return said


def _setting(trial: Trial) -> str:
    """The same for all seeds of one point."""
    return digest([trial.group, sorted(trial.numbers.items())])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _overlap(winner: Scored, second: Scored) -> bool:
    worst = max(row.score for row in winner.rows)
    return worst >= min(row.score for row in second.rows)


def _measured(found: Trials, target: Target) -> tuple[str, str]:
    """(split, metric) that ranks: the target's on validation, else the loss."""
    for split in ("validation", "train"):
        means = found.evaluation.get(split, {})
        for name in (target.metric, "loss"):
            if name in means:
                return split, name
    raise ValueError("a run without any evaluation")
