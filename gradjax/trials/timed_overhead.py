"""Times diagnostics before a run, in programs of a few steps.

`overhead` counts the work of the diagnostics. That takes no time and is the same in
every process, but on another machine, or for operations that XLA computes in an unusual
way, it can be off by a factor. Here the steps are compiled alone and with each
diagnostic, and a few of them are run in turn.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradjax.trials import lanes, overhead
from gradjax.trials.overhead import Overhead
from gradjax.types import Diagnostic, Program

_BLOCK_S = 0.2  # about: of the steps that are timed, and of their measurements
_ROUNDS, _ROUNDS_S = 7, 10.0  # after so many seconds there are no further rounds
_LEAST_EVERY = 10  # steps between two measurements; the caches are then as in a run


class _Timed(NamedTuple):
    """A program that is timed."""

    seconds: Callable[[], float]  # runs its steps once; without what a call costs
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
        Refusal: diagnostics that need more memory than the device has.
    """
    counted, plan = overhead.overhead(program, width), program.plan
    if not plan.diagnostics:
        return counted
    step_s = overhead.step_seconds(program, width)
    num_steps = max(1, round(min(_BLOCK_S / step_s, plan.num_steps / 2)))
    groups, guesses = [(one,) for one in plan.diagnostics], []
    for one, price in zip(plan.diagnostics, counted.prices, strict=True):
        num_due = max(len(overhead.due_steps(plan, one)), 1)
        guesses.append(price.share * step_s * plan.num_steps / num_due)
    is_shared = len({(one.every, one.window) for one in plan.diagnostics}) == 1
    if is_shared and len(groups) > 1:  # they share what is equal in them
        groups, guesses = [*groups, plan.diagnostics], [*guesses, sum(guesses)]
    bare, *others = [
        _timed(program, width, group, num_steps, guess)
        for group, guess in zip([(), *groups], [0.0, *guesses], strict=True)
    ]
    rows, end = [], time.perf_counter() + _ROUNDS_S
    while len(rows) < _ROUNDS and (len(rows) < 2 or time.perf_counter() < end):
        rows.append([one.seconds() for one in (bare, *others)])
    seconds = np.asarray(rows)
    taken_s = np.median(seconds[:, 0]) / num_steps
    added_s = np.median(seconds[:, 1:] - seconds[:, :1], axis=0)
    shares = [
        max(float(added), 0.0)
        / one.num_measured
        * len(overhead.due_steps(plan, group[0]))
        / (taken_s * plan.num_steps)
        for added, one, group in zip(added_s, others, groups, strict=True)
    ]
    prices = [
        price._replace(share=share, bound="about")
        for price, share in zip(counted.prices, shares, strict=False)
    ]
    together = shares[-1] if is_shared else sum(shares)
    return Overhead(tuple(prices), together)


def _timed(
    program: Program,
    width: int,
    chosen: tuple[Diagnostic, ...],
    num_steps: int,
    guess_s: float,
) -> _Timed:
    """Compiles a block of steps with some diagnostics.

    Args:
      program: of the run.
      width: the number of lanes.
      chosen: the diagnostics, all of one interval.
      num_steps: of the block.
      guess_s: about the seconds of a measurement.
    """
    every = num_steps
    if chosen:
        most = max(1.0, _BLOCK_S / max(guess_s, 1e-9))
        least = min(chosen[0].every, _LEAST_EVERY)
        every = min(max(round(num_steps / most), least), num_steps)
    own_plan = program.plan._replace(
        diagnostics=tuple(one._replace(every=every, window=None) for one in chosen),
        block_steps=num_steps,
        eval_every=program.plan.num_steps,
    )
    own = program._replace(plan=own_plan, executables={})
    num_devices = None if own_plan.mesh is not None else 1
    made = lanes.lanes(own, width, num_devices)
    inputs = lanes.stack(own, [own.hparams] * width, list(range(width)))
    (call, *_), state = made.ready().calls, None

    def run(num_blocks: int) -> float:
        nonlocal state
        with lanes.reading(made):
            started = time.perf_counter()
            state, _ = call(state, inputs, 0, num_blocks, False)
            return time.perf_counter() - started

    run(1)
    return _Timed(lambda: run(1) - run(0), -(-num_steps // every))
