"""Whether the trials of two horizons begin with the same steps, to the same bits.

Their schedule must have a trunk (`training.trunk`). The longer trials keep their own
intervals of evaluations and curves if these fit to those of the shorter ones, and get
others if not.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from gradjax import optimizers, schedules
from gradjax.errors import Refusal
from gradjax.optimizers import bounds
from gradjax.sweeps import points
from gradjax.training import trunk
from gradjax.training.blocks import block_length
from gradjax.training.traces import default_every, window_ends
from gradjax.tuning.planned import interval_of
from gradjax.types import Hparams, Plan, Settings, Space

Memo = dict[Any, Any]
_MORE_EVALUATIONS = 2  # times as many as usual; with more, sharing could take longer


class Trunk(NamedTuple):
    """What trials share with shorter ones."""

    settings: Settings  # with intervals that fit to those of the shorter ones
    steps: int  # that they share; 0: none
    reason: str = ""  # why they share none, although their schedule has a trunk


def between(short: Settings, long: Settings, space: Space, memo: Memo) -> Trunk:
    """Returns what trials share with those of the next shorter horizon.

    Args:
      short: the settings of the shorter trials.
      long: those of the longer ones, which differ in the number of steps.
      space: what is tuned of both.
      memo: results of earlier calls, which do not depend on the problem.
    """
    pair = [
        one._replace(own=_limit(one), batch_size=None, seed=0) for one in (short, long)
    ]
    key = repr([*pair, space])
    if key not in memo:
        memo[key] = _between(pair[0], pair[1], space, memo)
    found = memo[key]
    own = {
        name: getattr(found.settings, name) for name in ("eval_every", "trace_every")
    }
    return found._replace(settings=long._replace(**own))


def _between(short: Settings, long: Settings, space: Space, memo: Memo) -> Trunk:
    plan, numbers = _made(short, space)
    if not trunk.trunk_blocks(plan, numbers):
        return Trunk(long, 0)
    if long.diagnostics is not None:
        return Trunk(long, 0, "diagnostics are measured from the first step on")
    if reason := _varies(short, space, plan):
        return Trunk(long, 0, reason)
    other, more = _made(long, space)
    if reason := _refusal((plan, other), (numbers, more), memo):
        return Trunk(long, 0, reason)
    most = trunk.trunk_blocks(plan, numbers) * plan.block_steps
    every, points_every = plan.eval_every, short.trace_every or default_every(plan)
    ratio = max(1, other.eval_every // every)
    nested = ratio * every
    for eval_every, trace_every in (
        (other.eval_every, 0),
        (nested, 0),
        (nested, points_every),
        (every if ratio <= _MORE_EVALUATIONS else nested, points_every),
    ):
        own = None if eval_every == other.eval_every else eval_every
        fitted = long._replace(eval_every=own, trace_every=trace_every)
        if steps := _num_steps((short, plan), (fitted, _plan(other, eval_every)), most):
            return Trunk(fitted, steps)
    return Trunk(long, 0, "the trunk is shorter than the steps between two evaluations")


def _refusal(
    plans: tuple[Plan, Plan], numbers: tuple[Hparams, Hparams], memo: Memo
) -> str:
    """Returns why two runs do not begin with the same bits; "" if they do.

    Rates follow the common schedule alike, whatever the optimizer.
    """
    spec = plans[0].optimizer
    own = [
        spec if spec.scheduled else sorted(spec.rates),
        sorted(optimizers.steps_per_update(spec).items()),
    ]
    shapes = [
        {path: float(x) for path, x in of.items() if path.startswith("schedule.")}
        for of in numbers
    ]
    lengths = [
        (plan.num_steps, trunk.trunk_blocks(plan, of))
        for plan, of in zip(plans, numbers, strict=True)
    ]
    key = repr([own, plans[0].schedule, shapes, lengths, plans[0].block_steps])
    if key not in memo:
        try:
            trunk.check(*plans, numbers)
            memo[key] = ""
        except Refusal as refusal:
            memo[key] = str(refusal)
    return memo[key]


def _num_steps(
    short: tuple[Settings, Plan], long: tuple[Settings, Plan], most: int
) -> int:
    """Returns the steps of the trunk with which both can go on.

    A block of both ends there, evaluations of the longer trials are evaluations of the
    shorter ones, and the points of their curves are the same up to there.
    """
    (before, plan), (after, other) = short, long
    if other.eval_every % plan.eval_every:
        return 0
    common = math.lcm(plan.block_steps, other.block_steps)
    steps = most // common * common
    ends, others = (
        window_ends(
            of, one.trace_every or default_every(of), 0, steps // of.block_steps
        )
        for one, of in ((before, plan), (after, other))
    )
    return steps if steps and np.array_equal(ends, others) else 0


def _made(settings: Settings, space: Space) -> tuple[Plan, Hparams]:
    """Returns the plan of trials without their problem, and numbers of a schedule.

    Rates and peaks are 1, so that a number that follows a schedule is its shape.
    """
    one = points.trial(settings, _corner(space, is_high=False), 0)
    num_steps = one.settings.steps or 1
    spec, numbers = optimizers.split(one.settings.optimizer, num_steps=num_steps)
    schedule, shape = schedules.split(one.settings.schedule, num_steps)
    eval_every = interval_of(one.settings)
    nothing: Any = None
    plan = Plan(
        nothing,
        spec,
        schedule,
        num_steps,
        None,
        eval_every,
        block_length(eval_every),
        max_gradients=dict(settings.own).get("max_gradients"),
    )
    peaks = [*spec.rates, *(f"{path}.peak" for path, _ in spec.scheduled)]
    hparams = {**numbers, **shape, **one.numbers, **dict.fromkeys(peaks, 1.0)}
    return plan, {
        path: np.asarray(value, bounds.float_type())[()]
        for path, value in hparams.items()
    }


def _plan(plan: Plan, eval_every: int) -> Plan:
    """Returns a plan with another interval of evaluations."""
    block_steps = block_length(eval_every)
    return plan._replace(eval_every=eval_every, block_steps=block_steps)


def _varies(settings: Settings, space: Space, plan: Plan) -> str:
    """Returns what of a search changes the trunk; "" if nothing does."""
    first, last = (
        points.trial(settings, _corner(space, is_high), 0) for is_high in (False, True)
    )
    if first.settings != last.settings:
        return "its search varies a static part of the program"
    own = [path for path, _ in plan.optimizer.scheduled]
    shapes = ["schedule.", *(f"{path}." for path in own)]
    varied = [
        name
        for name in first.numbers
        if any(map(name.startswith, shapes)) and not name.endswith(".peak")
    ]
    return f"its search varies {varied[0]}" if varied else ""


def _corner(space: Space, is_high: bool) -> dict[str, Any]:
    """Returns the point with the first or the last value of each range."""
    at = -1 if is_high else 0
    return {
        one.name: (one.values or (one.low, one.high))[at] for one in space.dimensions
    }


def _limit(settings: Settings) -> tuple[tuple[str, Any], ...]:
    return tuple(pair for pair in settings.own if pair[0] == "max_gradients")
