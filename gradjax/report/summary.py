"""The summary of a run or a sweep, as figures that are ready for JSON."""

from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.overfitting import rise
from gradjax.analysis.statistics import student_interval
from gradjax.report.terminal import number
from gradjax.sweeps import choose
from gradjax.sweeps.choose import GroupResult, SettingScore
from gradjax.sweeps.points import Trial
from gradjax.types import Problem, Report, Series

_NO_REPORT = Report({})


class Setup(NamedTuple):
    """The inputs of a summary besides the results."""

    problem: Problem
    about: dict[str, Any]  # the first figures of the summary: problem, dataset, ...
    keep: str  # "last" or "best"
    patience: int | None
    batch_size: int | None  # None: the problem has no data
    epoch_steps: int | None  # steps of one pass over the train split; None: no data


class Winner(NamedTuple):
    """The trials that a summary reports in full."""

    setting: SettingScore
    rows: list[tuple[GroupResult, int]]  # for each seed, (a group, a row of the group)


def winner(done: list[GroupResult], fresh: list[GroupResult]) -> Winner:
    """Returns the setting with the best score in the search, and its trials.

    If the setting was trained again with fresh seeds, only these trials are returned.
    The best setting is chosen over all optimizers. If every setting diverged, the first
    one is returned.

    Args:
      done: the groups of the search, or of a run.
      fresh: the groups of the fresh seeds.
    """
    settings = choose.setting_scores([one for of in done for one in of.scores])
    chosen = choose.best(settings) or settings[0]
    ours = chosen.trials[0].trial
    again = choose.setting_scores([one for of in fresh for one in of.scores])
    same = [s for s in again if choose.setting_id(s.trials[0].trial) == _key(ours)]
    shown = same[0] if same else chosen
    ids = {one.trial.id for one in shown.trials}
    rows = [
        (of, k)
        for of in (fresh if same else done)
        for k, one in enumerate(of.trials)
        if one.id in ids
    ]
    return Winner(shown, rows)


def summarize(
    setup: Setup,
    done: list[GroupResult],
    fresh: list[GroupResult],
    reports: dict[str, Report],
) -> dict[str, Any]:
    """Computes the figures of a run or a sweep.

    Args:
      setup: the problem, and how parameters are kept.
      done: the groups of the search, or of a run.
      fresh: the groups of the fresh seeds.
      reports: trial id -> the report of the problem, for the trials of the winner.

    Returns:
      A dictionary for JSON. It holds the status ("finished", or "diverged" if every
      trial diverged), counts and times of all trials, `optimizers` with the best
      setting and the warnings of each, and the figures of the winner:
      `<split>_<metric>` at its kept parameters, its best and its last evaluation,
      `intervals` over its seeds, and `trials` with the figures of each trial.
    """
    target = setup.problem.target
    settings = choose.setting_scores([one for of in done for one in of.scores])
    again = choose.setting_scores([one for of in fresh for one in of.scores])
    fresh_of, everything = choose.by_optimizer(again), [*done, *fresh]
    status = np.concatenate([of.found.status for of in done])
    split, metric, _ = choose.ranking_metric(done[0].found.evaluation, target)
    return {
        "status": "finished"
        if np.isin(status, ("finished", "stopped early")).any()
        else "diverged",
        **setup.about,
        "metric": f"{split}_{metric}",
        "keep": setup.keep,
        "patience": setup.patience,
        "num_trials": len(status),
        **{
            f"num_{name.replace(' ', '_')}": int((status == name).sum())
            for name in ("diverged", "stopped early", "stopped")
        },
        "num_set_aside": sum(
            int((of.found.status == "set aside").sum()) for of in everything
        ),
        "num_examples": _num_examples(setup.problem),
        "num_programs": len({one.group for of in done for one in of.trials}),
        "compile_s": sum({of.found.compile_s for of in done}),
        "run_s": sum(of.found.run_s for of in everything),
        **_speed(setup, everything),
        "optimizers": {
            name: _optimizer(own, fresh_of.get(name, []))
            for name, own in choose.by_optimizer(settings).items()
        },
        **_of_winner(setup, winner(done, fresh), reports),
    }


def _num_examples(problem: Problem) -> dict[str, int]:
    """Returns split -> its number of examples; nothing if the problem has no data."""
    if problem.data is None:
        return {}
    parts = zip(problem.data._fields, problem.data, strict=True)
    return {split: part.num_examples for split, part in parts if part is not None}


def trial_figures(setup: Setup, of: GroupResult, k: int) -> dict[str, Any]:
    """Returns the figures of one trial, row `k` of a group."""
    found = of.found
    measured = {
        f"{split}_{name}": float(values[k])
        for split, means in found.evaluation.items()
        for name, values in means.items()
    }
    gap, minimum = {}, setup.problem.minimum
    if minimum is not None and "train_loss" in measured:
        # It may be negative because of the rounding error of float32.
        gap = {"gap": measured["train_loss"] - minimum.loss}
    return {
        "trial": of.trials[k].id,
        "seed": of.trials[k].seed,
        "status": str(found.status[k]),
        "steps": int(found.num_steps[k]),
        "diverged_step": int(found.diverged_step[k]) or None,
        "num_gradients": int(found.num_gradients[k]),
        **measured,
        **gap,
        "kept_step": int(found.kept_step[k]),
        **_evaluations(setup, found, k),
    }


def warnings_of_trial(setup: Setup, of: GroupResult, k: int) -> list[str]:
    """Returns the warnings about one trial.

    They say that nothing was learned, or that the validation loss has risen.
    """
    if nothing_learned := of.scores[k].nothing_learned:
        return [nothing_learned]
    series = of.found.trace.get("validation_loss")
    rising = series and rise(series.steps, series.values[k])
    if not rising:
        return []
    advice = "--keep=best keeps the best parameters" if setup.keep == "last" else ""
    advice = advice or ("" if setup.patience else "--patience=N would stop the run")
    said = (
        f"the validation loss has been rising since step {rising.step:,}, from"
        f" {number(rising.minimum)} to {number(rising.last)}"
    )
    return [f"{said}: {advice}" if advice else said]


def _of_winner(setup: Setup, won: Winner, reports: dict[str, Report]) -> dict[str, Any]:
    """Returns the figures of the winner: means over the trials that reached the end."""
    trials = [trial_figures(setup, of, k) for of, k in won.rows]
    said = [reports.get(one["trial"], _NO_REPORT) for one in trials]
    trials = [one | of.figures for one, of in zip(trials, said, strict=True)]
    ended = [one for one in trials if one["status"] in ("finished", "stopped early")]
    shown = ended or trials
    names = [name for name in shown[0] if isinstance(shown[0][name], float)]
    columns = {name: np.array([one[name] for one in shown]) for name in names}
    of, k = won.rows[0]
    return {
        "point": won.setting.point,
        "seeds": [one["seed"] for one in trials],
        "steps": shown[0]["steps"],
        **{name: float(values.mean()) for name, values in columns.items()},
        "intervals": {name: _spread(values) for name, values in columns.items()}
        if len(trials) > 1
        else {},
        "reported": sorted({name for one in said for name in one.figures}),
        "texts": next((one.texts for one in said if one.texts), {}),
        "warnings": warnings_of_trial(setup, of, k),
        "trials": trials,
    }


def _evaluations(setup: Setup, found: Any, k: int) -> dict[str, Any]:
    """Returns the best and the last evaluation on validation, by the target's metric.

    If no evaluation was finite, the figures are NaN, which never ranks best.
    """
    name = f"validation_{setup.problem.target.metric}"
    series: Series | None = found.trace.get(name)
    if series is None:
        return {}
    values = np.asarray(series.values[k])
    seen = np.flatnonzero(np.isfinite(values))
    last = int(seen[-1]) if seen.size else None
    figures: dict[str, Any] = {
        f"best_{name}": float(found.best[k]),
        f"last_{name}": float("nan") if last is None else float(values[last]),
        "best_step": int(found.best_step[k]),
        "last_step": 0 if last is None else int(series.steps[last]),
    }
    if setup.epoch_steps is not None:
        step = figures["best_step"]
        figures["best_epoch"] = step / setup.epoch_steps if step else float("nan")
    return figures


def _speed(setup: Setup, everything: list[GroupResult]) -> dict[str, float]:
    """Returns the steps or examples per second of all trials together."""
    seconds = sum(of.found.run_s for of in everything)
    steps = sum(int(of.found.num_steps.sum()) for of in everything)
    if not seconds:
        return {}
    if setup.batch_size is None:
        return {"steps_per_s": steps / seconds}
    return {"examples_per_s": steps / seconds * setup.batch_size}


def _optimizer(own: list[SettingScore], fresh: list[SettingScore]) -> dict[str, Any]:
    """Returns the best setting of an optimizer, its figures, and the warnings."""
    chosen = choose.best(own)
    found: dict[str, Any] = {"settings": len(own), "warnings": choose.warnings(own)}
    if chosen is None:
        return found | {"best": None}
    found |= {"best": chosen.point, "searched": _figures(chosen)}
    return found | ({"fresh": _figures(fresh[0])} if fresh else {})


def _figures(one: SettingScore) -> dict[str, Any]:
    """Returns `<split>_<metric>` -> mean, interval and values over the seeds."""
    figures: dict[str, Any] = {"seeds": [of.trial.seed for of in one.trials]}
    for split, means in one.trials[0].evaluation.items():
        for name in means:
            values = np.asarray([of.evaluation[split][name] for of in one.trials])
            is_known = np.isfinite(values).all()
            spread = _spread(values) if is_known else _spread(values[:0])
            figures[f"{split}_{name}"] = {**spread, "values": values.tolist()}
    return figures


def _spread(values: np.ndarray) -> dict[str, float]:
    """Returns mean, std and Student's interval of the finite values; NaN of too few."""
    seen = values[np.isfinite(values)]
    if not seen.size:
        return dict.fromkeys(("mean", "std", "low", "high"), float("nan"))
    mean, low, high = student_interval(seen)
    std = float(seen.std(ddof=1)) if seen.size > 1 else float("nan")
    return {"mean": mean, "std": std, "low": low, "high": high}


def _key(trial: Trial) -> str:
    return choose.setting_id(trial)
