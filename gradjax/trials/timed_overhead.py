"""Times what diagnostics add to a run, with the compiled program of the run.

`overhead` counts the work of diagnostics. That takes no time and is the same in every
process, but on another machine, or for operations that XLA computes in an unusual way,
it can be off by a factor. The program of a segment takes the intervals of its
diagnostics as arguments. So before the first step the same program takes some steps
without measurements and some with them, and nothing more is compiled.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.training import compilation, intervals
from gradjax.trials import lanes as lanes_of
from gradjax.trials import overhead
from gradjax.trials.lanes import Lanes
from gradjax.trials.overhead import Overhead
from gradjax.types import Plan, Program

_LEAST_RUN_S = 3.0  # of a run before which its diagnostics are timed
_OF_RUN = 0.05  # about: the part of a run that is timed, and that one measurement takes
_BLOCK_S = (0.02, 0.2)  # at least and at most, about, of what one call times
_MOST_ROUNDS = 10
_LEAST_STEPS = 5  # without measurements
# Steps between two measurements that are timed, so that the caches are about as in a
# run: those of so many measurements, and at least 10, or 3 if these take so long.
_BETWEEN_PARTS, _BETWEEN, _BETWEEN_S = 2, 10, 0.02


class _Timed(NamedTuple):
    """Steps that one call times."""

    first: int  # block
    num_steps: int
    every: tuple[int, ...]  # steps between measurements of each diagnostic; 0: none
    num_due: int = 0  # how often each of them is measured in these steps
    per_segment: int = 1  # how often it is measured in a segment of the run


class _Round(NamedTuple):
    """What is timed in turn."""

    alone: _Timed  # steps without measurements
    groups: list[_Timed]  # with one group of diagnostics each


class _Times(NamedTuple):
    """The seconds of a round."""

    step_s: float
    begun_s: float  # of a call besides its steps
    once_s: np.ndarray  # f64[groups], of a measurement


def timed_overhead(program: Program, width: int = 1) -> Overhead:
    """Times what diagnostics add to a run, at its first steps.

    The program of the run is compiled, and `gradjax.run(program)` does not compile it
    again. What is timed takes about a twentieth of the run, and at least two
    measurements of each diagnostic.

    Args:
      program: from `gradjax.program`.
      width: the number of trials that are mapped together.

    Returns:
      The Overhead that `overhead` returns, with shares that are timed. Diagnostics that
      are due at the same steps are timed together, because the program computes only
      once what they share; the time is divided among them as it is counted. A share
      that is lost in the noise of the machine is the counted one. A search that takes
      more or fewer turns later in the run costs another share there.

    Raises:
        Refusal: diagnostics that need more memory than the device has, a mesh, or
            streamed data.
    """
    if width == 1:
        made = lanes_of.lanes(program, num_devices=1, with_train=True)
    else:
        made = lanes_of.lanes(program, width)
    if (what := _hindrance(made)) is not None:
        raise Refusal(
            f"diagnostics are not timed with {what}; gradjax.overhead counts their work"
        )
    return _timed(made)


def before_run(lanes: Lanes) -> Overhead:
    """Times diagnostics, or counts them where timing is not worth its time.

    They are counted for streamed data and on a mesh, for a run of less than about 3 s,
    and if one measurement of each of them takes more than a twentieth of the run.
    """
    program, plan = lanes.program, lanes.program.plan
    counted = overhead.overhead(program, lanes.width)
    if not counted.prices:
        return counted
    steps_s = plan.num_steps * overhead.step_seconds(program, lanes.width)
    run_s = steps_s * (1 + counted.share)
    once_s = steps_s * sum(
        price.share / max(1, len(overhead.due_steps(plan, one)))
        for price, one in zip(counted.prices, plan.diagnostics, strict=True)
    )
    is_worth = run_s >= _LEAST_RUN_S and once_s <= _OF_RUN * run_s
    return _timed(lanes) if is_worth and _hindrance(lanes) is None else counted


def _hindrance(lanes: Lanes) -> str | None:
    """Returns what makes steps that are timed differ from those of a run, or None."""
    if streaming.is_streamed(lanes.program.plan.problem):
        return "streamed data"  # whose reading begins anew in each call
    if lanes.program.plan.mesh is not None:
        return "a mesh"  # whose processes would disagree about the number of calls
    return "jax_disable_jit" if compilation.is_eager() else None


def _timed(lanes: Lanes) -> Overhead:
    executables = lanes.program.executables
    is_x64 = cast(Any, jax.config).jax_enable_x64
    key = ("timed_overhead", lanes.width, lanes.devices, is_x64)
    if key not in executables:
        executables[key] = _with_timed_shares(lanes)
    return executables[key]


def _with_timed_shares(lanes: Lanes) -> Overhead:
    plan = lanes.program.plan
    counted = overhead.overhead(lanes.program, lanes.width)
    if not plan.diagnostics:
        return counted
    every = range(len(plan.diagnostics))
    groups = [list(every)] if intervals.are_equal(plan) else [[k] for k in every]
    due = [len(overhead.due_steps(plan, plan.diagnostics[own[0]])) for own in groups]
    groups = [own for own, count in zip(groups, due, strict=True) if count]
    if not groups:
        return counted
    num_due = np.asarray([count for count in due if count])
    rounds = _times(lanes, groups, num_due)
    step_s = np.median([one.step_s for one in rounds])
    begun_s = np.median([one.begun_s for one in rounds])
    steps_s = plan.num_steps * (step_s + begun_s / _segment_steps(lanes))
    once_s = np.stack([one.once_s for one in rounds])
    added = num_due * np.median(once_s, axis=0) / steps_s
    is_clear = np.min(once_s, axis=0) > 0.0  # or it is lost in the noise
    if steps_s <= 0.0 or not np.any(is_clear):
        return counted
    prices = list(counted.prices)
    for k in np.flatnonzero(is_clear):
        known = sum(prices[j].share for j in groups[k]) or 1.0
        for j in groups[k]:
            share = float(prices[j].share * added[k] / known)
            prices[j] = prices[j]._replace(share=share, bound="about")
    together = sum(price.share for price in prices)
    return Overhead(tuple(prices), together, is_timed=True)


def _times(lanes: Lanes, groups: list[list[int]], num_due: np.ndarray) -> list[_Times]:
    """Times rounds of steps alone and with each group of diagnostics."""
    num_steps, timer = lanes.program.plan.num_steps, _timer(lanes)
    step_s = overhead.step_seconds(lanes.program, lanes.width)
    few = _Round(
        _alone(lanes, step_s, _BLOCK_S[0]),
        [_measured(lanes, own, every=1, num_due=1) for own in groups],
    )
    timer(few.alone)  # the first call is slower
    step_s, _, once_s = _time(timer, few)
    step_s, once_s = max(step_s, 1e-9), np.maximum(once_s, 1e-9)
    timed_s = _OF_RUN * (num_steps * step_s + np.dot(num_due, once_s))
    block_s = np.clip(timed_s / (1 + len(groups)), *_BLOCK_S)
    many = _Round(
        _alone(lanes, step_s, block_s),
        [
            _between(lanes, own, step_s, one_s, block_s)
            for own, one_s in zip(groups, once_s, strict=True)
        ],
    )
    each = [*many.groups, *(_first(one) for one in many.groups if one.num_due > 1)]
    taken = many.alone.num_steps + sum(one.num_steps for one in each)
    round_s = taken * step_s + np.dot([one.num_due for one in many.groups], once_s)
    num_rounds = int(np.clip(round(timed_s / round_s), 1, _MOST_ROUNDS))
    return [_time(timer, many) for _ in range(num_rounds)]


def _time(timer: Callable[[_Timed], float], what: _Round) -> _Times:
    # The memory in which a step works is new in each call, so one step is no part of
    # what is timed.
    few = min(1, what.alone.num_steps - 1)
    begun_s = timer(what.alone._replace(num_steps=few))
    step_s = (timer(what.alone) - begun_s) / (what.alone.num_steps - few)
    begun_s -= few * step_s

    def measured_s(one: _Timed) -> float:
        return timer(one) - begun_s - one.num_steps * step_s

    once_s = []
    for one in what.groups:
        all_s = measured_s(one)
        first_s = next_s = all_s / one.num_due
        if one.num_due > 1:  # the memory of the first one is new
            first_s = measured_s(_first(one))
            next_s = (all_s - first_s) / (one.num_due - 1)
        once_s.append(next_s + (first_s - next_s) / one.per_segment)
    return _Times(step_s, begun_s, np.asarray(once_s))


def _first(one: _Timed) -> _Timed:
    """Returns the steps up to the second measurement of some."""
    left_out = (one.num_due - 1) * max(one.every)
    return one._replace(num_steps=one.num_steps - left_out, num_due=1)


def _timer(lanes: Lanes) -> Callable[[_Timed], float]:
    """Returns a function that takes steps and returns the seconds of the call."""
    program, width = lanes.program, lanes.width
    own = lanes_of.stack(program, [program.hparams] * width, list(range(width)))
    call, size = lanes.ready().calls[0], program.plan.block_steps
    state, _ = call(None, own, 0, 0, False)

    def timer(what: _Timed) -> float:
        nonlocal state
        started, count = time.perf_counter(), -(-what.num_steps // size)
        timed = what.first * size + what.num_steps, what.every
        state, _ = call(state, own, what.first, count, False, timed)
        return time.perf_counter() - started

    return timer


def _alone(lanes: Lanes, step_s: float, block_s: float) -> _Timed:
    """Returns about so many seconds of steps without measurements."""
    plan = lanes.program.plan
    num_steps = np.clip(round(block_s / step_s), _LEAST_STEPS, _segment_steps(lanes))
    return _Timed(0, int(num_steps), (0,) * len(plan.diagnostics))


def _between(
    lanes: Lanes, own: list[int], step_s: float, once_s: float, block_s: float
) -> _Timed:
    """Returns about so many seconds of steps with measurements of some diagnostics.

    There are no more measurements than in a segment of the run.
    """
    least = np.clip(np.ceil(_BETWEEN_S / step_s), 3, _BETWEEN)
    most = lanes.program.plan.diagnostics[own[0]].every
    every = int(min(most, max(least, np.ceil(_BETWEEN_PARTS * once_s / step_s))))
    num_due = round(block_s / (once_s + every * step_s))
    return _measured(lanes, own, every, min(num_due, _segment_steps(lanes) // most))


def _measured(lanes: Lanes, own: list[int], every: int, num_due: int) -> _Timed:
    """Returns steps with about so many measurements of some diagnostics."""
    plan = lanes.program.plan
    begin, end = intervals.window(plan, plan.diagnostics[own[0]])
    first = begin // plan.block_steps
    start = first * plan.block_steps
    end = min(end, start + _segment_steps(lanes))
    stop = min(end, begin + every * max(1, num_due))
    chosen = [every if k in own else 0 for k in range(len(plan.diagnostics))]
    num_due = -(-(stop - begin) // every)
    per_segment = max(1, _segment_steps(lanes) // plan.diagnostics[own[0]].every)
    return _Timed(first, stop - start, tuple(chosen), num_due, per_segment)


def _segment_steps(lanes: Lanes) -> int:
    """Returns the steps of a segment of the run."""
    plan: Plan = lanes.program.plan
    return min(plan.num_steps, lanes.form.capacity * plan.block_steps)
