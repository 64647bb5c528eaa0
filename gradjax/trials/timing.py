"""Measures the time of a training step, without compilation and evaluation."""

import contextlib
import time
from typing import Any, NamedTuple

from gradjax.training import program as programs
from gradjax.trials import lanes as lanes_of
from gradjax.trials.lanes import Call, Lanes
from gradjax.types import Hparams, Program

_BLOCK_STEPS = 10
_NUM_BLOCKS = 10_000  # of the run whose first blocks are timed
_MAX_CALLS = 20
AT_LEAST_S = 0.3  # after which no further block is timed


class _Timed(NamedTuple):
    """A compiled program whose blocks are timed one after another."""

    lanes: Lanes
    call: Call
    own: Any
    state: Any
    times: list[float]  # seconds of each block so far


def step_seconds(
    program: Program, hparams: Hparams, seed: int = 0, at_least_s: float = AT_LEAST_S
) -> float:
    """Measures the seconds of one step of a single run, as the fastest of some blocks.

    The blocks belong to a run of the same program that evaluates only at its end, which
    it does not reach. It is compiled once more.

    Args:
      program: from `gradjax.program`.
      hparams: the numbers that replace the program's defaults.
      seed: of the run.
      at_least_s: seconds after which no further block is timed; there are at most 20
        blocks of 10 steps.

    Raises:
        Refusal: an unknown or impossible number, or not enough memory.
    """
    return interleaved_step_seconds([(program, hparams)], seed, at_least_s)[0]


def interleaved_step_seconds(
    runs: list[tuple[Program, Hparams]], seed: int = 0, at_least_s: float = AT_LEAST_S
) -> list[float]:
    """Measures the seconds of one step of several programs, each running alone.

    Their blocks take turns, so that a slow moment of the machine meets all of them.

    Args:
      runs: for each program the numbers that replace its defaults.
      seed: of all runs.
      at_least_s: see `step_seconds`, for each program.

    Returns:
      For each program the fastest of its blocks, per step.

    Raises:
        Refusal: see `step_seconds`.
    """
    timed = [_start(program, hparams, seed) for program, hparams in runs]
    with contextlib.ExitStack() as stack:
        for one in timed:
            stack.enter_context(lanes_of.reading(one.lanes))
        while not all(_is_enough(one.times, at_least_s) for one in timed):
            timed = [
                one if _is_enough(one.times, at_least_s) else _advance(one)
                for one in timed
            ]
    return [min(one.times) / _BLOCK_STEPS for one in timed]


def _start(program: Program, hparams: Hparams, seed: int) -> _Timed:
    num_steps = _BLOCK_STEPS * _NUM_BLOCKS
    plan = program.plan._replace(
        num_steps=num_steps,
        eval_every=num_steps,
        block_steps=_BLOCK_STEPS,
        max_gradients=None,
    )
    lanes = lanes_of.lanes(programs.of_plan(plan, program.hparams), num_devices=1)
    own = lanes_of.stack(lanes.program, [hparams], [seed])
    (call,) = lanes.ready().calls
    state, _ = call(None, own, 0, 1, False)  # the first call of a program is slower
    return _Timed(lanes, call, own, state, [])


def _advance(one: _Timed) -> _Timed:
    """Times the next block."""
    started = time.perf_counter()
    state, _ = one.call(one.state, one.own, len(one.times) + 1, 1, False)
    one.times.append(time.perf_counter() - started)
    return one._replace(state=state)


def _is_enough(times: list[float], at_least_s: float) -> bool:
    return sum(times) >= at_least_s or len(times) >= _MAX_CALLS
