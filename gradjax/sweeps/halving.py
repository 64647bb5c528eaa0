"""Successive halving: at each rung only the best 1 / eta of the settings continue.

Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization", 2016.
"""

from collections.abc import Callable

import numpy as np

from gradjax.sweeps.choose import ranking_curve, setting_id
from gradjax.sweeps.points import Trial
from gradjax.training import selection
from gradjax.training.blocks import num_blocks
from gradjax.training.traces import window_ends, window_starts
from gradjax.trials.batches import Active
from gradjax.trials.collect import kept_validation
from gradjax.trials.results import BlockRange, Results
from gradjax.types import Plan


def rungs(plan: Plan, eta: int) -> tuple[int, ...]:
    """Returns the blocks after which settings stop: at 1/eta, 1/eta^2, ... of a run.

    Each rung is moved up to the next evaluation.
    """
    total, stops, budget = num_blocks(plan), set(), plan.num_steps // eta
    per_evaluation = plan.eval_every // plan.block_steps
    while budget >= plan.eval_every:
        evaluations = -(-budget // plan.eval_every)
        stops.add(evaluations * per_evaluation)
        budget //= eta
    return tuple(sorted(stop for stop in stops if stop < total))


def halve(
    plan: Plan, eta: int, group: list[Trial]
) -> Callable[[Active, BlockRange], None]:
    """Returns a function that stops all but the best 1 / eta of the settings at a rung.

    A setting is ranked by the mean over its seeds of the validation metric of the
    parameters kept so far: the last ones, or the best ones. Without a validation split
    it is the mean of the training curve, of the target's metric or else the loss, over
    the steps since the evaluation before; the trials of a seed have the same batches in
    these steps. All seeds of a setting continue or stop together. A setting with a seed
    that has diverged is ranked last.

    Args:
      plan: the static part of the run.
      eta: one setting in `eta` continues.
      group: all trials of the program.
    """
    stops = set(rungs(plan, eta))
    setting = np.unique([setting_id(one) for one in group], return_inverse=True)[1]

    def stop(active: Active, blocks: BlockRange) -> None:
        block, results, rows = sum(blocks), active.results, active.rows
        if block not in stops or not len(rows):
            return
        scores = _scores(results, block * plan.block_steps)
        living = list(dict.fromkeys(setting[rows]))  # in the order of the trials
        means = [scores[setting == one].mean() for one in living]
        order = np.argsort(means, kind="stable")
        stopped = np.asarray(living)[order[max(1, len(living) // eta) :]]
        is_stopped = np.isin(setting[rows], stopped)
        results.stopped_step[rows[is_stopped]] = block * plan.block_steps

    return stop


def _scores(results: Results, step: int) -> np.ndarray:
    """Returns the score of each trial after a step, f64[trials]; smaller is better."""
    kept = kept_validation(results)
    if kept:
        name, sign = selection.criterion(results.plan.problem.target, kept)
        values = kept[name].astype(np.float64)
        is_finite = np.isfinite(values + kept.get("loss", values))
    else:
        name, sign = ranking_curve(results)
        values = _recent_mean(results, name, step)
        is_finite = np.isfinite(values)
    is_bad = ~is_finite | (results.diverged_step > 0)
    return np.where(is_bad, np.inf, -sign * values)


def _recent_mean(results: Results, name: str, step: int) -> np.ndarray:
    """Returns the mean of a training curve over one interval of evaluations.

    Steps without a finite value, which an optimizer may tolerate, are left out.

    Args:
      results: of all trials of a program.
      name: of the curve.
      step: the end of the interval, at which an evaluation is due.

    Returns:
      f64[trials]; NaN where no value is finite.
    """
    plan = results.plan
    starts, ends = (
        of(plan, results.every, 0, num_blocks(plan))
        for of in (window_starts, window_ends)
    )
    is_recent = (starts >= step - plan.eval_every) & (ends <= step)
    values = results.trace[name][:, is_recent].astype(np.float64)
    is_finite = np.isfinite(values)
    counts = np.where(is_finite, (ends - starts)[is_recent], 0)
    sums = (np.where(is_finite, values, 0.0) * counts).sum(axis=1)
    total = counts.sum(axis=1)
    return np.where(total > 0, sums / np.maximum(total, 1), np.nan)
