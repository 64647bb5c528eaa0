"""The figures of a run, and the table that shows them."""

from typing import Any

import numpy as np

from gradjax.analysis.statistics import student_interval
from gradjax.types import Result, Target


def summarize(
    results: list[Result],
    target: Target,
    about: dict[str, Any],
    batch_size: int,
    epoch_steps: int,
) -> dict[str, Any]:
    """The figures of a run; over several seeds, the means of those that finished.

    Args:
      results: one a trial.
      target: which validation metric chooses the best evaluation.
      about: what the summary starts with: problem, dataset, seeds.
      batch_size: examples a step.
      epoch_steps: steps of one pass over the training split.

    Returns:
      A JSON-ready dictionary: status ("finished", or "diverged" if every trial did),
      `<split>_<metric>`, best_epoch, times in seconds, `trials` with the same figures
      one by one, and, over several seeds, `intervals`: mean, standard deviation and
      Student's 95 % interval of each figure.
    """
    trials = [_figures(result, target, batch_size, epoch_steps) for result in results]
    finished = [trial for trial in trials if trial["status"] == "finished"]
    names = [name for name in trials[0] if isinstance(trials[0][name], float)]
    columns = {name: np.array([t[name] for t in finished or trials]) for name in names}
    return {
        "status": "finished" if finished else "diverged",
        **about,
        "num_diverged": len(trials) - len(finished),
        "steps": trials[0]["steps"],
        **{name: float(values.mean()) for name, values in columns.items()},
        "compile_s": results[0].compile_s,
        "intervals": {name: _spread(values) for name, values in columns.items()}
        if len(results) > 1
        else {},
        "trials": trials,
    }


def table_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of each line of the closing table."""
    rows = []
    for split in ("train", "validation", "test"):
        if f"{split}_loss" not in summary:
            continue
        for metric in ("loss", "accuracy"):
            name = f"{split}_{metric}"
            if name in summary:
                rows.append((name.replace("_", " "), _with_interval(summary, name)))
    if summary.get("best_epoch") is not None:
        metric = next(k for k in summary if k.startswith("best_validation_"))
        best = f"{summary['best_epoch']:.4g} ({summary[metric]:.4f} {_spoken(metric)})"
        rows.append(("best epoch", best))
    rows.append(("steps", f"{summary['steps']:,}"))
    rows.append(("compile time", f"{summary['compile_s']:.2f} s"))
    rows.append(("run time", f"{summary['run_s']:.2f} s"))
    rows.append(("evaluation time", f"{summary['eval_s']:.2f} s"))
    rows.append(("examples/s", f"{summary['examples_per_s']:,.0f}"))
    return rows


def _figures(
    result: Result, target: Target, batch_size: int, epoch_steps: int
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
        **_best(result, target, epoch_steps),
        "run_s": result.run_s,
        "eval_s": result.eval_s,
        "examples_per_s": result.num_steps * batch_size / result.run_s,
    }


def _best(result: Result, target: Target, epoch_steps: int) -> dict[str, float]:
    """The evaluation that the target's metric likes best; the first among equals.

    NaN, which never ranks best, where no evaluation was finite.
    """
    series = result.trace.get(f"validation_{target.metric}")
    if series is None:
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
        return f"{value:.4f}"
    low, high, std = spread["low"], spread["high"], spread["std"]
    return f"{value:.4f}  (std {std:.4f}, 95 % interval {low:.4f} to {high:.4f})"


def _spoken(name: str) -> str:
    return name.removeprefix("best_").replace("_", " ")
