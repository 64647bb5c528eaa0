"""Joins and scores trials and settings, and chooses the best setting."""

from typing import NamedTuple, TypeGuard

import jax
import numpy as np

from gradjax.sweeps import names
from gradjax.sweeps.points import Trial, digest
from gradjax.training import selection
from gradjax.trials import learning
from gradjax.trials.results import Results
from gradjax.types import Point, Series, Target, Trials


class TrialScore(NamedTuple):
    """The score of a trial, and the evaluation behind it."""

    trial: Trial
    score: float  # of the kept parameters on validation; smaller is better; inf for a
    # trial that diverged, was stopped by halving or was set aside
    status: str
    evaluation: dict[str, dict[str, float]]  # split -> metric -> value
    nothing_learned: str | None = None  # a line that says so


class GroupResult(NamedTuple):
    """The trials of a group of one round, and their results."""

    trials: list[Trial]
    found: Trials
    scores: list[TrialScore]  # one for each trial


class SettingScore(NamedTuple):
    """The score of a setting, from its seeds."""

    point: Point
    optimizer: str
    trials: tuple[TrialScore, ...]  # one for each seed
    score: float  # the mean over the seeds; inf if the score of one of them is inf


def join(parts: list[Trials]) -> Trials:
    """Joins the results of cohorts, without parameters and states: they are large."""
    bare = [
        part._replace(
            params={}, state={}, model_state={}, trace={}, compile_s=0, run_s=0
        )
        for part in parts
    ]
    joined = jax.tree.map(
        lambda *xs: np.concatenate(xs) if np.ndim(xs[0]) else xs[0], *bare
    )
    trace = {
        name: Series(
            series.steps, np.concatenate([part.trace[name].values for part in parts])
        )
        for name, series in parts[0].trace.items()
    }
    return joined._replace(
        trace=trace,
        compile_s=max(part.compile_s for part in parts),
        run_s=sum(part.run_s for part in parts),
    )


def trial_scores(group: list[Trial], found: Trials, target: Target) -> list[TrialScore]:
    """Scores each trial by the metric of the target at the kept parameters."""
    split, name, sign = ranking_metric(found.evaluation, target)
    values = np.asarray(found.evaluation[split][name], np.float64)
    losses = np.asarray(found.evaluation[split].get("loss", values))
    # An accuracy is finite even where all outputs are NaN.
    is_finite = np.isfinite(values) & np.isfinite(losses)
    scores = np.where(is_finite, -sign * values, np.inf)
    notes = learning.notes(found)
    return [
        TrialScore(
            one,
            float(scores[k]),
            str(found.status[k]),
            {
                split: {name: float(x[k]) for name, x in means.items()}
                for split, means in found.evaluation.items()
            },
            notes[k],
        )
        for k, one in enumerate(group)
    ]


def setting_scores(scores: list[TrialScore]) -> list[SettingScore]:
    """Scores each setting, in the order of the trials."""
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
    """Returns a dictionary from each optimizer expression to its settings, in order."""
    own: dict[str, list[SettingScore]] = {}
    for one in settings:
        own.setdefault(str(one.point.get("optimizer", one.optimizer)), []).append(one)
    return own


def best(settings: list[SettingScore]) -> SettingScore | None:
    """Returns the setting with the smallest score; None if no score is finite."""
    finite = [one for one in settings if np.isfinite(one.score)]
    return min(finite, key=lambda one: one.score) if finite else None


def warnings(settings: list[SettingScore]) -> list[str]:
    """Returns warnings about the best setting of an optimizer, a line each."""
    winner = best(settings)
    if winner is None:
        return ["every trial diverged"]
    notes = [one.nothing_learned for one in winner.trials]
    if notes[0] is not None and all(notes):
        return [notes[0]]
    said = []
    for name, value in winner.point.items():
        tried = sorted(
            {one.point[name] for one in settings if is_number(one.point[name])}
        )
        if len(tried) > 1 and value in (tried[0], tried[-1]):
            end = "lower" if value == tried[0] else "upper"
            said.append(
                f"the best {names.words(name)} is at the {end} end of the values tried"
            )
    others = [one for one in settings if one is not winner]
    alike = sum(_overlap(winner, one) for one in others)
    if len(winner.trials) > 1 and alike > 1:
        said.append(
            f"the seeds of {alike} of the {len(others)} other settings overlap with"
            " those of the best"
        )
    return said


def is_number(value: object) -> TypeGuard[float]:
    """Returns whether a value of a point is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def setting_id(trial: Trial) -> str:
    """Returns an id of the setting, which all seeds of one point share."""
    return digest([trial.group, sorted(trial.numbers.items())])


def request(groups: list[GroupResult]) -> str:
    """Returns a digest of the trials of all groups, in their order."""
    return digest([one.id for of in groups for one in of.trials])


def ranking_metric(
    evaluation: dict[str, dict], target: Target
) -> tuple[str, str, float]:
    """Returns (split, metric, sign) for ranking; the split is validation if it exists.

    The sign is 1 if a larger value is better, and -1 if a smaller value is better.
    """
    for split in ("validation", "train"):
        means = evaluation.get(split, {})
        name, sign = selection.criterion(target, means)
        if name in means:
            return split, name, sign
    raise ValueError("a run without any evaluation")


def ranking_curve(results: Results) -> tuple[str, float]:
    """Returns (name, sign) of the curve that ranks trials before their end.

    It is the metric of the target on validation; without that split it is the metric of
    the batches in training.
    """
    target = results.plan.problem.target
    name, sign = selection.criterion(target, results.validation or results.trace)
    return f"validation_{name}" if results.validation else name, sign


def _overlap(winner: SettingScore, other: SettingScore) -> bool:
    """Returns whether a seed of another setting is as good as one of the best."""
    worst = max(one.score for one in winner.trials)
    return worst >= min(one.score for one in other.trials)
