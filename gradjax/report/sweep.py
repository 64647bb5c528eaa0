"""A sweep as a person reads it: how far it is, what was best, and what to doubt."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.analysis.statistics import student_interval
from gradjax.files import named_disk_errors, write_bytes, write_json
from gradjax.plots.sensitivity import Points, sensitivity
from gradjax.plots.trials import trials as draw_trials
from gradjax.report import terminal
from gradjax.report.terminal import number
from gradjax.sweeps import choose
from gradjax.sweeps.choose import Done, Scored
from gradjax.trials.batches import Going
from gradjax.types import Target

_SAY_EVERY_S = 2.0


class _Sofar(NamedTuple):
    """What a round came to before the cohort that is on its way."""

    trials: int = 0
    diverged: int = 0
    stopped: int = 0
    best: float | None = None


def progress(
    label: str, num_trials: int, target: Target
) -> Callable[[int, int, Going], None]:
    """Says after each stretch: trials done, diverged, best so far, time left.

    Args:
      label: the round.
      num_trials: of all groups and cohorts of it.
      target: what ranks.

    Returns:
      Called with (steps done, steps of a run, the trials of a cohort).
    """
    first, before, said_at = [], [_Sofar()], [-math.inf]

    def on_stretch(taken: int, num_steps: int, going: Going) -> None:
        now, is_over = time.monotonic(), taken == num_steps or not len(going.alive)
        size, so_far = len(going.seeds), _with(before[0], going, target)
        done = before[0].trials + (size if is_over else size * taken / num_steps)
        first.extend([] if first else [(now, done)])
        started, was = first[0]
        is_known = done > was
        pace = (now - started) / (done - was) if is_known else 0.0
        left = f"  {pace * (num_trials - done):,.0f} s left" if is_known else ""
        if is_over:
            before[0] = so_far
        if is_over or now - said_at[0] > _SAY_EVERY_S:
            said_at[0] = now
            ended = int(done) if is_over else before[0].trials
            step = "" if is_over else f", {size} more at step {taken:,}/{num_steps:,}"
            said = f"{label}  {ended:,}/{num_trials:,} trials{step}"
            terminal.say(f"{said}{_counts(so_far, target)}{left}")

    return on_stretch


def _with(before: _Sofar, going: Going, target: Target) -> _Sofar:
    """The same, with the cohort that is on its way."""
    seen = [before.best, _best_so_far(going, target)]
    known = [value for value in seen if value is not None]
    best = (max if target.mode == "max" else min)(known) if known else None
    return _Sofar(
        before.trials + len(going.seeds),
        before.diverged + int((going.book.diverged_step > 0).sum()),
        before.stopped + int((going.book.stopped_step > 0).sum()),
        best,
    )


def _counts(so_far: _Sofar, target: Target) -> str:
    said = f", {so_far.diverged:,} diverged" if so_far.diverged else ""
    said += f", {so_far.stopped:,} stopped" if so_far.stopped else ""
    if so_far.best is None:
        return said
    return f"{said}  best {target.metric} {number(so_far.best)}"


def show(
    folder: Path,
    done: list[Done],
    fresh: list[Done],
    target: Target,
    num_changes: int,
    plot: bool,
) -> dict[str, Any]:
    """Keeps and prints the summary, draws the pictures.

    Args:
      folder: of the sweep.
      done: the groups of the search.
      fresh: the groups of the fresh seeds.
      target: what ranks.
      num_changes: of the environment, which were accepted on the way.
      plot: draw sensitivity.png and curves.png.

    Returns:
      The summary, as in summary.json.
    """
    summary = summarize(done, fresh, target) | {"num_changes": num_changes}
    with named_disk_errors(folder):
        if plot:
            for name, picture in _pictures(done).items():
                write_bytes(folder / name, picture)
        write_json(folder / "summary.json", summary)
    table(summary)
    terminal.say(f"{folder} keeps this sweep")
    return summary


def summarize(done: list[Done], fresh: list[Done], target: Target) -> dict[str, Any]:
    """What a sweep came to, ready for JSON: for each optimizer its best, and doubts."""
    settings = choose.scored([row for one in done for row in one.rows])
    again = choose.by_optimizer(choose.scored([r for one in fresh for r in one.rows]))
    rows = [row for one in done for row in one.rows]
    return {
        "status": "finished"
        if any(np.isfinite(s.score) for s in settings)
        else "diverged",
        "metric": target.metric,
        "num_trials": len(rows),
        "num_diverged": sum(row.diverged_step > 0 for row in rows),
        "num_stopped": sum(row.stopped_step > 0 for row in rows),
        "num_set_aside": sum(
            int(one.found.is_set_aside.sum()) for one in [*done, *fresh]
        ),
        "num_programs": len({row.trial.group for row in rows}),
        "run_s": sum(one.found.run_s for one in [*done, *fresh]),
        "compile_s": sum({one.found.compile_s for one in done}),
        "optimizers": {
            name: _optimizer(own, again.get(name, []))
            for name, own in choose.by_optimizer(settings).items()
        },
    }


def _optimizer(own: list[Scored], fresh: list[Scored]) -> dict[str, Any]:
    winner = choose.best(own)
    found: dict[str, Any] = {"warnings": choose.warnings(own), "settings": len(own)}
    if winner is None:
        return found | {"best": None}
    found |= {"best": winner.point, "searched": _figures(winner)}
    if fresh:
        found |= {"fresh": _figures(fresh[0])}
    return found


def _figures(one: Scored) -> dict[str, Any]:
    """`<split>_<metric>` -> mean, interval and values over the seeds."""
    figures: dict[str, Any] = {"seeds": [row.trial.seed for row in one.rows]}
    for split, means in one.rows[0].evaluation.items():
        for name in means:
            values = np.asarray([row.evaluation[split][name] for row in one.rows])
            figures[f"{split}_{name}"] = _interval(values)
    return figures


def _interval(values: np.ndarray) -> dict[str, Any]:
    if not np.isfinite(values).all():
        return {"mean": None, "low": None, "high": None, "values": values.tolist()}
    if len(values) == 1:
        return {"mean": values[0], "low": None, "high": None, "values": values.tolist()}
    mean, low, high = student_interval(values)
    return {"mean": mean, "low": low, "high": high, "values": values.tolist()}


def table(summary: dict[str, Any]) -> None:
    """Prints what a sweep came to, from its summary."""
    rows = [("trials", f"{summary['num_trials']:,}")]
    for name in ("diverged", "stopped", "set_aside"):
        if summary[f"num_{name}"]:
            rows.append((name.replace("_", " "), f"{summary[f'num_{name}']:,}"))
    if summary["num_changes"]:
        said = "not all in one environment: `environment` of gradjax.frames says which"
        rows.append(("beware", said))
    rows.append(("compile time", f"{summary['compile_s']:.1f} s"))
    rows.append(("run time", f"{summary['run_s']:.1f} s"))
    terminal.table(f"sweep: {summary['status']}", rows)
    for name, found in summary["optimizers"].items():
        terminal.table(
            f"{name}, best of {found['settings']} settings:",
            _lines(found, summary["metric"]),
        )


def _lines(found: dict[str, Any], metric: str) -> list[tuple[str, str]]:
    doubts = [("beware", line) for line in found["warnings"]]
    if found["best"] is None:
        return doubts
    point = {k: v for k, v in found["best"].items() if k != "optimizer"}
    at = ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in point.items()
    )
    lines = [("at", at or "its defaults")]
    for kind, said in (("searched", "to choose it"), ("fresh", "fresh seeds")):
        for name, spread in found.get(kind, {}).items():
            if name in (f"validation_{metric}", f"test_{metric}"):
                if kind == "searched" and name.startswith("test_"):
                    continue  # looked at on fresh seeds only
                title = f"{name.replace('_', ' ')}, {said}"
                lines.append((title, _spread(spread)))
    return [*lines, *doubts]


def _spread(spread: dict[str, Any]) -> str:
    if spread["mean"] is None:
        return "not finite"
    said = number(spread["mean"])
    if spread["low"] is not None:
        said += f" (95 % interval {number(spread['low'])} to {number(spread['high'])})"
    return f"{said}, {len(spread['values'])} seeds"


def _best_so_far(going: Going, target: Target) -> float | None:
    rows = going.book.validation.get(target.metric)
    if rows is None:
        return None
    seen = rows[np.isfinite(rows + going.book.validation.get("loss", rows))]
    if not seen.size:
        return None
    return float(seen.max() if target.mode == "max" else seen.min())


def _pictures(done: list[Done]) -> dict[str, bytes]:
    pictures = {"curves.png": draw_trials(*_curves(done))}
    settings = choose.scored([row for one in done for row in one.rows])
    name = _swept_number(settings)
    if name is not None:
        sweeps = {
            optimizer: points
            for optimizer, own in choose.by_optimizer(settings).items()
            if (points := _sensitivity_points(own, name)) is not None
        }
        title = f"{sum(len(s.rows) for s in settings):,} trials"
        pictures["sensitivity.png"] = sensitivity(
            title, sweeps, name, "validation loss"
        )
    return pictures


def _swept_number(settings: list[Scored]) -> str | None:
    """The first number above 0 that takes several values."""
    for name in settings[0].point:
        seen = {s.point[name] for s in settings if isinstance(s.point[name], float)}
        if len(seen) > 1 and min(seen) > 0.0:
            return name
    return None


def _sensitivity_points(own: list[Scored], name: str) -> Points | None:
    """Of each value the best setting: f[seeds, points]."""
    best: dict[float, Scored] = {}
    for one in own:
        value = float(one.point[name])
        if value not in best or one.score < best[value].score:
            best[value] = one
    values = sorted(best)
    seeds = min(len(one.rows) for one in best.values())
    losses = np.asarray(
        [[_loss(row) for row in best[value].rows[:seeds]] for value in values]
    )
    return Points(np.asarray(values), losses.T) if len(values) > 1 else None


def _loss(row: choose.Row) -> float:
    split = "validation" if "validation" in row.evaluation else "train"
    value = row.evaluation[split].get("loss", np.nan)
    return value if np.isfinite(value) else np.inf


def _curves(done: list[Done]) -> tuple[Any, ...]:
    """(steps, loss f[trials, points], rates f[trials], name) of all groups together."""
    name = "validation_loss" if "validation_loss" in done[0].found.trace else "loss"
    shortest = min(len(one.found.trace[name].steps) for one in done)
    steps = done[0].found.trace[name].steps[:shortest]
    losses = np.concatenate(
        [one.found.trace[name].values[:, :shortest] for one in done]
    )
    rates = [
        float(one.numbers.get("learning_rate", np.nan))
        for d in done
        for one in d.trials
    ]
    return steps, losses, np.asarray(rates), name.replace("_", " ")
