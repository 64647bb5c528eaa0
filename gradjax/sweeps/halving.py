"""Successive halving: at each rung only the best 1 / eta of the settings continue.

Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization", 2016.
"""

from collections.abc import Callable

import numpy as np

from gradjax.sweeps.choose import setting_id
from gradjax.sweeps.points import Trial
from gradjax.training import selection
from gradjax.training.blocks import num_blocks
from gradjax.trials.batches import Active
from gradjax.trials.collect import kept_validation
from gradjax.trials.results import BlockRange
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
    parameters kept so far: the last ones, or the best ones. All seeds of a setting
    continue or stop together. A setting with a seed that has diverged is ranked last.

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
        kept = kept_validation(results)
        name, sign = selection.criterion(plan.problem.target, kept)
        is_finite = np.isfinite(kept[name] + kept.get("loss", kept[name]))
        is_bad = ~is_finite | (results.diverged_step > 0)
        scores = np.where(is_bad, np.inf, -sign * kept[name].astype(np.float64))
        living = list(dict.fromkeys(setting[rows]))  # in the order of the trials
        means = [scores[setting == one].mean() for one in living]
        order = np.argsort(means, kind="stable")
        stopped = np.asarray(living)[order[max(1, len(living) // eta) :]]
        is_stopped = np.isin(setting[rows], stopped)
        results.stopped_step[rows[is_stopped]] = block * plan.block_steps

    return stop
