"""Times diagnostics before a run, in programs of a few steps.

`overhead` counts the work of the diagnostics. That takes no time and is the same in
every process, but on another machine, or for operations that XLA computes in an unusual
way, it can be off by a factor. Here the steps are compiled alone and with each
diagnostic, and a few of them are run in turn.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.trials import lanes, overhead
from gradjax.trials.overhead import Overhead
from gradjax.types import Diagnostic, Program

_BLOCK_S = 0.2  # about: of the steps that are timed, and of their measurements
_MOST_STEPS = 20_000  # because the device holds their reports
_ROUNDS = (2, 25)  # at least and at most
_ROUNDS_S = 10.0  # about, of all rounds
_LEAST_EVERY = 10  # steps between two measurements; the caches are then as in a run


class _Group(NamedTuple):
    """Diagnostics that are timed together; without any the steps alone."""

    diagnostics: tuple[Diagnostic, ...]  # of one interval
    num_due: int  # their measurements in the run
    guess_s: float  # about the seconds of a measurement


class _Timed(NamedTuple):
    """A program that is timed."""

    # Runs a block and returns its seconds, without those that an empty call takes.
    seconds: Callable[[], float]
    num_measured: int  # how often its diagnostics are measured in these steps


def timed_overhead(program: Program, width: int = 1) -> Overhead:
    """Times what diagnostics add to a run, at its first steps.

    The steps are compiled without diagnostics and with each of them, which takes about
    as long as compiling the run so many times. Running them takes some seconds, or a
    few measurements where one takes longer.

    Args:
      program: from `gradjax.program`.
      width: the number of trials that are mapped together.

    Returns:
      The Overhead that `overhead` returns, with shares that are timed. A search that
      takes more or fewer turns later in the run costs another share there.

    Raises:
        Refusal: diagnostics that need more memory than the device has, a mesh, or
            streamed data.
    """
    plan = program.plan
    check_timed(streaming.is_streamed(plan.problem), plan.mesh is not None)
    key = ("timed_overhead", width, cast(Any, jax.config).jax_enable_x64)
    if key not in program.executables:
        program.executables[key] = _timed_overhead(program, width)
    return program.executables[key]


def check_timed(is_streamed: bool, has_mesh: bool) -> None:
    """Refuses data and devices with which a few steps take another time than a run.

    Raises:
        Refusal: streamed data, whose reading begins anew in each call; or a mesh.
    """
    if is_streamed or has_mesh:
        what = "streamed data" if is_streamed else "a mesh"
        raise Refusal(
            f"diagnostics are not timed with {what}; without --time_diagnostics, and by"
            " gradjax.overhead, what they add is counted"
        )


def _timed_overhead(program: Program, width: int) -> Overhead:
    counted, plan = overhead.overhead(program, width), program.plan
    if not plan.diagnostics:
        return counted
    step_s = overhead.step_seconds(program, width)
    num_steps = max(1, min(round(_BLOCK_S / step_s), _MOST_STEPS))
    groups = [_Group((), 0, 0.0)]
    for one, price in zip(plan.diagnostics, counted.prices, strict=True):
        num_due = len(overhead.due_steps(plan, one))
        is_known = num_due and price.bound != "at least"
        once_s = price.share * step_s * plan.num_steps / max(num_due, 1)
        groups.append(_Group((one,), num_due, once_s if is_known else _BLOCK_S))
    is_shared = len({(one.every, one.window) for one in plan.diagnostics}) == 1
    if is_shared and len(plan.diagnostics) > 1:  # they share what is equal in them
        total_s = sum(group.guess_s for group in groups)
        groups.append(_Group(plan.diagnostics, groups[1].num_due, total_s))
    timed = [_timed(program, width, group, num_steps) for group in groups]
    round_s = sum(
        num_steps * step_s + one.num_measured * group.guess_s
        for one, group in zip(timed, groups, strict=True)
    )
    num_rounds = int(np.clip(_ROUNDS_S / round_s, *_ROUNDS))
    seconds = np.asarray([[one.seconds() for one in timed] for _ in range(num_rounds)])
    added_s = np.median(seconds[:, 1:] - seconds[:, :1], axis=0)
    once_s = np.maximum(added_s, 0.0) / [one.num_measured for one in timed[1:]]
    steps_s = plan.num_steps * np.median(seconds[:, 0]) / num_steps
    shares = once_s * [group.num_due for group in groups[1:]] / steps_s
    prices = [
        price._replace(share=float(share), bound="about")
        for price, share in zip(counted.prices, shares, strict=False)
    ]
    together = shares[-1] if is_shared else shares.sum()
    return Overhead(tuple(prices), float(together))


def _timed(program: Program, width: int, group: _Group, num_steps: int) -> _Timed:
    """Compiles a block of steps with some diagnostics, and runs it once.

    Args:
      program: of the run.
      width: the number of lanes.
      group: the diagnostics.
      num_steps: of the block.
    """
    every, chosen = num_steps, group.diagnostics
    if chosen:
        most = max(1.0, _BLOCK_S / max(group.guess_s, 1e-9))
        least = min(chosen[0].every, _LEAST_EVERY)
        every = min(max(round(num_steps / most), least), num_steps)
    run_steps = max(program.plan.num_steps, 2 * num_steps)
    own_plan = program.plan._replace(
        diagnostics=tuple(one._replace(every=every, window=None) for one in chosen),
        num_steps=run_steps,
        block_steps=num_steps,
        eval_every=run_steps,  # so that no evaluation is timed
    )
    own = program._replace(plan=own_plan, executables={})
    made = lanes.lanes(own, width, num_devices=1)
    inputs = lanes.stack(own, [own.hparams] * width, list(range(width)))
    (call, *_), state = made.ready().calls, None

    def run(num_blocks: int) -> float:
        nonlocal state
        started = time.perf_counter()
        state, _ = call(state, inputs, 0, num_blocks, False)
        return time.perf_counter() - started

    run(1)
    return _Timed(lambda: run(1) - run(0), -(-num_steps // every))
