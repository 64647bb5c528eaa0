"""The figures of a run, and the table that shows them."""

from typing import Any

import numpy as np

from gradjax.analysis.statistics import student_interval
from gradjax.report.terminal import number
from gradjax.types import Problem, Report, Result, Target


def summarize(
    results: list[Result],
    problem: Problem,
    about: dict[str, Any],
    batch_size: int | None,
    epoch_steps: int | None,
    reports: list[Report],
) -> dict[str, Any]:
    """The figures of a run; over several seeds, the means of those that finished.

    Args:
      results: one a trial.
      problem: its target says which validation metric chooses the best evaluation; its
        minimum, where it is known, how far above it the training loss ended: `gap`.
      about: what the summary starts with: problem, dataset, seeds.
      batch_size: examples a step; None: the problem has no data.
      epoch_steps: steps of one pass over the training split; None: as above.
      reports: what the problem says of each trial.

    Returns:
      A JSON-ready dictionary: status ("finished", or "diverged" if every trial did),
      `<split>_<metric>`, best_epoch, `reported` (names of the reports' figures), their
      texts of the first trial, times in seconds, `trials` with the same figures
      one by one, and, over several seeds, `intervals`: mean, standard deviation and
      Student's 95 % interval of each figure.
    """
    trials = [
        _figures(one, problem, batch_size, epoch_steps) | report.figures
        for one, report in zip(results, reports, strict=True)
    ]
    finished = [trial for trial in trials if trial["status"] == "finished"]
    shown = finished or trials
    names = [name for name in shown[0] if isinstance(shown[0][name], float)]
    columns = {name: np.array([one[name] for one in shown]) for name in names}
    return {
        "status": "finished" if finished else "diverged",
        **about,
        "num_diverged": len(trials) - len(finished),
        "steps": trials[0]["steps"],
        **{name: float(values.mean()) for name, values in columns.items()},
        "compile_s": results[0].compile_s,
        "reported": sorted({name for report in reports for name in report.figures}),
        "texts": next((one.texts for one in reports if one.texts), {}),
        "intervals": {name: _spread(values) for name, values in columns.items()}
        if len(results) > 1
        else {},
        "trials": trials,
    }


def table_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of each line of the closing table."""
    rows = []
    for split in ("train", "validation", "test"):
        measured = [name for name in summary if name.startswith(f"{split}_")]
        for name in sorted(measured, key=lambda name: not name.endswith("_loss")):
            rows.append((name.replace("_", " "), _with_interval(summary, name)))
    for name in summary["reported"]:
        rows.append((name.replace("_", " "), _with_interval(summary, name)))
    if "gap" in summary:
        rows.append(("above the minimum", _with_interval(summary, "gap")))
    if summary.get("best_epoch") is not None:
        metric = next(k for k in summary if k.startswith("best_validation_"))
        best = f"{summary['best_epoch']:.4g} ({summary[metric]:.4f} {_spoken(metric)})"
        rows.append(("best epoch", best))
    rows.append(("steps", f"{summary['steps']:,}"))
    rows.append(("compile time", f"{summary['compile_s']:.2f} s"))
    rows.append(("run time", f"{summary['run_s']:.2f} s"))
    rows.append(("evaluation time", f"{summary['eval_s']:.2f} s"))
    for name in ("examples", "steps"):
        if f"{name}_per_s" in summary:
            rows.append((f"{name}/s", f"{summary[f'{name}_per_s']:,.0f}"))
    return rows


def _figures(
    result: Result, problem: Problem, batch_size: int | None, epoch_steps: int | None
) -> dict[str, Any]:
    held_out = {
        f"{split}_{name}": float(mean)
        for split, means in result.evaluation.items()
        for name, mean in means.items()
    }
    return {
        "status": result.status,
        "diverged_step": result.diverged_step,
        "steps": result.num_steps,
        "num_gradients": result.num_gradients,
        **held_out,
        **_gap(held_out, problem),
        **_best(result, problem.target, epoch_steps),
        "run_s": result.run_s,
        "eval_s": result.eval_s,
        **_speed(result, batch_size),
    }


def _gap(held_out: dict[str, float], problem: Problem) -> dict[str, float]:
    """How far the loss at the end is above its minimum; a float32's error below 0."""
    if problem.minimum is None:
        return {}
    return {"gap": held_out["train_loss"] - problem.minimum.loss}


def _speed(result: Result, batch_size: int | None) -> dict[str, float]:
    rate = result.num_steps / result.run_s
    if batch_size is None:
        return {"steps_per_s": rate}
    return {"examples_per_s": rate * batch_size}


def _best(result: Result, target: Target, epoch_steps: int | None) -> dict[str, float]:
    """The evaluation that the target's metric likes best; the first among equals.

    NaN, which never ranks best, where no evaluation was finite.
    """
    series = result.trace.get(f"validation_{target.metric}")
    if series is None or epoch_steps is None:
        return {}
    sign = 1.0 if target.mode == "max" else -1.0
    scores = np.where(np.isfinite(series.values), sign * series.values, -np.inf)
    best = int(np.argmax(scores))
    is_finite = bool(np.isfinite(scores[best]))
    return {
        "best_epoch": series.steps[best] / epoch_steps if is_finite else float("nan"),
        f"best_validation_{target.metric}": float(series.values[best]),
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    """Over the trials in which the figure is finite; NaN where too few are."""
    seen = values[np.isfinite(values)]
    if not seen.size:
        return dict.fromkeys(("mean", "std", "low", "high"), float("nan"))
    mean, low, high = student_interval(seen)
    std = float(seen.std(ddof=1)) if seen.size > 1 else float("nan")
    return {"mean": mean, "std": std, "low": low, "high": high}


def _with_interval(summary: dict[str, Any], name: str) -> str:
    value, spread = summary[name], summary["intervals"].get(name)
    if value is None or not np.isfinite(value):
        return "not finite"
    if not spread or spread["low"] is None or not np.isfinite(spread["low"]):
        return number(value)
    low, high, std = (number(spread[name]) for name in ("low", "high", "std"))
    return f"{number(value)}  (std {std}, 95 % interval {low} to {high})"


def _spoken(name: str) -> str:
    return name.removeprefix("best_").replace("_", " ")
