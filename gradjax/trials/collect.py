"""Collects the results of finished trials."""

from typing import Any

import jax
import numpy as np

from gradjax.training.blocks import num_blocks
from gradjax.training.segment import TrialInputs
from gradjax.training.traces import window_ends, window_starts
from gradjax.trials.results import Results, has_ended, measured_steps, steps_taken
from gradjax.types import Result, Series, Target, Trials


def collect(results: Results, own: TrialInputs, times: tuple[float, float]) -> Trials:
    """Collects the results of finished trials.

    What a lane computed for a trial after the step at which the trial ended is removed,
    because it depends on the length of the segment.

    Args:
      results: of trials that have all ended.
      own: hyperparameters and seeds, [trials] each.
      times: (compile, run) in seconds.
    """
    plan = results.plan
    is_own = results.params is not None
    last = results.state.train
    params = results.params if is_own else last.params
    model_state = results.model_state if is_own else last.model_state
    diverged_step = np.where(
        _is_finite((params, model_state)) | has_ended(results),
        results.diverged_step,
        plan.num_steps,
    )
    num_steps, status = _ends(results, diverged_step)
    for row in np.flatnonzero(status != "finished"):
        _forget(results, int(row), int(num_steps[row]), str(status[row]))
    points = window_ends(plan, results.every, 0, num_blocks(plan)).astype(np.int32)
    trace = {name: Series(points, rows) for name, rows in results.trace.items()}
    taken = steps_taken(plan)
    is_due = (taken % plan.eval_every == 0) | (taken == plan.num_steps)
    for name, rows in results.validation.items():
        due = taken[is_due].astype(np.int32)
        trace[f"validation_{name}"] = Series(due, rows[:, is_due])
    for k, curves in enumerate(results.measured):
        steps = measured_steps(plan, k).astype(np.int32)
        trace |= {name: Series(steps, rows) for name, rows in curves.items()}
    return Trials(
        own.hparams,
        own.seed,
        params,
        results.state.train,
        trace,
        _evaluation(results, status),
        status,
        num_steps,
        diverged_step,
        results.kept_step,
        results.num_gradients,
        *best_evaluations(trace, plan.problem.target, len(status)),
        *times,
        model_state,
        results.has_learned,
    )


def best_evaluations(
    trace: dict[str, Series], target: Target, num_trials: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds the best value of the target's metric, and the first step at the target.

    The metric is that of the evaluations on validation. Without a validation split it
    is the training curve, each point of which was computed before the step's update.

    Returns:
      f32[trials], NaN where no evaluation was finite; i64[trials] and i64[trials], 0
      where there is no such step.
    """
    zero = np.zeros(num_trials, np.int64)
    prefix = "validation_" if any(map(_is_validation, trace)) else ""
    series = trace.get(f"{prefix}{target.metric}")
    if series is None:
        return np.full(num_trials, np.nan, np.float32), zero, zero
    sign = 1.0 if target.mode == "max" else -1.0
    losses = trace.get(f"{prefix}loss", series)  # accuracies of NaN are finite
    is_finite = np.isfinite(series.values) & np.isfinite(losses.values)
    scores = np.where(is_finite, sign * series.values, -np.inf)
    at = scores.argmax(axis=1)
    best = np.take_along_axis(series.values, at[:, None], axis=1)[:, 0]
    is_known = np.isfinite(scores).any(axis=1)
    best = np.where(is_known, best, np.nan)
    step = np.where(is_known, series.steps[at], 0).astype(np.int64)
    if target.value is None:
        return best, step, zero
    is_met = scores >= sign * scores.dtype.type(target.value)
    met = np.where(is_met.any(axis=1), series.steps[is_met.argmax(axis=1)], 0)
    return best, step, met.astype(np.int64)


def _is_validation(name: str) -> bool:
    return name.startswith("validation_")


def kept_validation(results: Results) -> dict[str, np.ndarray]:
    """Returns the validation metrics of the kept parameters: metric -> f32[trials]."""
    taken = steps_taken(results.plan)
    block = np.clip(np.searchsorted(taken, results.kept_step), 0, len(taken) - 1)
    rows = np.arange(len(block))
    seen = {name: v[rows, block] for name, v in results.validation.items()}
    is_known = results.kept_step > 0
    return {name: np.where(is_known, v, np.nan) for name, v in seen.items()}


def _evaluation(
    results: Results, status: np.ndarray
) -> dict[str, dict[str, np.ndarray]]:
    """Returns the metrics of the kept parameters.

    They are NaN for trials that diverged, were stopped by halving or were set aside.
    """
    has_end = np.isin(status, ("finished", "stopped early"))
    found = dict(results.final)
    if results.validation:
        validation = kept_validation(results)
        found = {"validation": validation, **found}
        order = [split for split in ("train", "validation", "test") if split in found]
        found = {split: found[split] for split in order}
    return {
        split: {name: np.where(has_end, v, np.nan) for name, v in means.items()}
        for split, means in found.items()
    }


def _ends(results: Results, diverged_step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the steps until each trial ended, i64[trials], and its status."""
    causes = (
        ("set aside", results.is_set_aside, np.zeros_like(diverged_step)),
        ("diverged", diverged_step > 0, diverged_step),
        ("stopped early", results.early_step > 0, results.early_step),
        ("stopped", results.stopped_step > 0, results.stopped_step),
    )
    status = np.full(len(diverged_step), "finished", dtype="<U16")
    num_steps = np.full(len(diverged_step), results.plan.num_steps, np.int64)
    for name, holds, step in reversed(causes):
        status = np.where(holds, name, status)
        num_steps = np.where(holds, step, num_steps)
    return num_steps, status


def _forget(results: Results, row: int, step: int, status: str) -> None:
    """Removes what a lane computed for a trial after its end."""
    every = window_starts(results.plan, results.every, 0, num_blocks(results.plan))
    taken = steps_taken(results.plan)
    # An evaluation at the step of divergence is of parameters before the divergence.
    is_after = taken > step if status != "diverged" else taken >= step
    for rows in results.trace.values():
        rows[row, every >= step] = np.nan
    for rows in results.validation.values():
        rows[row, is_after] = np.nan
    for k, curves in enumerate(results.measured):
        for rows in curves.values():
            rows[row, measured_steps(results.plan, k) > step] = np.nan


def _is_finite(params: Any) -> np.ndarray:
    """Returns which trials have only finite parameters: bool[trials]."""
    leaves = jax.tree.leaves(params)
    finite = np.ones(len(leaves[0]), bool)
    for leaf in leaves:
        finite &= np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
    return finite


def row(trials: Trials, k: int) -> Result:
    """Returns one trial as a Result."""

    def taken(tree: Any) -> Any:
        return jax.tree.map(lambda x: x[k], tree)

    step = int(trials.diverged_step[k])
    return Result(
        taken(trials.params),
        taken(trials.state),
        {name: Series(s.steps, s.values[k]) for name, s in trials.trace.items()},
        {
            split: {name: float(values[k]) for name, values in means.items()}
            for split, means in trials.evaluation.items()
        },
        str(trials.status[k]),
        int(trials.num_steps[k]),
        step or None,
        int(trials.kept_step[k]),
        int(trials.num_gradients[k]),
        trials.compile_s,
        trials.run_s,
        taken(trials.model_state),
        taken(trials.hparams),
        int(trials.seeds[k]),
        bool(trials.has_learned[k]),
    )
