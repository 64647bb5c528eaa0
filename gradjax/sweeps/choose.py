"""Scores of trials and settings, and which setting is the best."""

from typing import NamedTuple

import numpy as np

from gradjax.sweeps.points import Trial, digest
from gradjax.training import selection
from gradjax.types import Point, Target, Trials


class TrialScore(NamedTuple):
    """What a trial came to."""

    trial: Trial
    score: float  # of the kept parameters on validation; smaller is better; inf for a
    # trial that diverged, was stopped by halving or was set aside
    status: str
    evaluation: dict[str, dict[str, float]]  # split -> metric -> value


class GroupResult(NamedTuple):
    """The trials of a group of one round, and their results."""

    trials: list[Trial]
    found: Trials
    scores: list[TrialScore]  # one for each trial


class SettingScore(NamedTuple):
    """What the seeds of a setting came to."""

    point: Point
    optimizer: str
    trials: tuple[TrialScore, ...]  # one for each seed
    score: float  # the mean over the seeds; inf if one of them has none


def trial_scores(group: list[Trial], found: Trials, target: Target) -> list[TrialScore]:
    """The score of each trial: the target's metric of the kept parameters."""
    split, name, sign = measured(found.evaluation, target)
    values = np.asarray(found.evaluation[split][name], np.float64)
    losses = np.asarray(found.evaluation[split].get("loss", values))
    # An accuracy is finite even where all outputs are NaN.
    is_finite = np.isfinite(values) & np.isfinite(losses)
    scores = np.where(is_finite, -sign * values, np.inf)
    return [
        TrialScore(
            one,
            float(scores[k]),
            str(found.status[k]),
            {
                split: {name: float(x[k]) for name, x in means.items()}
                for split, means in found.evaluation.items()
            },
        )
        for k, one in enumerate(group)
    ]


def setting_scores(scores: list[TrialScore]) -> list[SettingScore]:
    """The score of each setting, in the order of the trials."""
    settings: dict[str, list[TrialScore]] = {}
    for one in scores:
        settings.setdefault(setting_id(one.trial), []).append(one)
    return [
        SettingScore(
            own[0].trial.point,
            own[0].trial.optimizer,
            tuple(own),
            float(np.mean([one.score for one in own])),
        )
        for own in settings.values()
    ]


def by_optimizer(settings: list[SettingScore]) -> dict[str, list[SettingScore]]:
    """The settings of each optimizer that was compared, by its expression."""
    own: dict[str, list[SettingScore]] = {}
    for one in settings:
        own.setdefault(str(one.point.get("optimizer", one.optimizer)), []).append(one)
    return own


def best(settings: list[SettingScore]) -> SettingScore | None:
    """The setting with the smallest score; None if none has a finite one."""
    finite = [one for one in settings if np.isfinite(one.score)]
    return min(finite, key=lambda one: one.score) if finite else None


def warnings(settings: list[SettingScore]) -> list[str]:
    """What a reader must know before believing the best setting of an optimizer."""
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
            said.append(f"the best {name} is at the {end} end of the values tried")
    rivals = [one for one in settings if one is not winner and np.isfinite(one.score)]
    second = min(rivals, key=lambda one: one.score, default=None)
    if second is not None and len(winner.trials) > 1 and _overlap(winner, second):
        said.append("the seeds of the two best settings overlap")
    return said


def setting_id(trial: Trial) -> str:
    """The same for all seeds of one point."""
    return digest([trial.group, sorted(trial.numbers.items())])


def measured(evaluation: dict[str, dict], target: Target) -> tuple[str, str, float]:
    """(split, metric, sign) that ranks: on validation, where there is such a split.

    The sign is 1 where a larger value is better, and -1 where a smaller one is.
    """
    for split in ("validation", "train"):
        means = evaluation.get(split, {})
        name, sign = selection.criterion(target, means)
        if name in means:
            return split, name, sign
    raise ValueError("a run without any evaluation")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _overlap(winner: SettingScore, second: SettingScore) -> bool:
    worst = max(one.score for one in winner.trials)
    return worst >= min(one.score for one in second.trials)
