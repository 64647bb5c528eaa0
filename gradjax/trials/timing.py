"""Measures the time of a training step, without compilation and evaluation."""

import time

from gradjax.training import program as programs
from gradjax.trials import lanes as lanes_of
from gradjax.types import Hparams, Program

_BLOCK_STEPS = 10
_NUM_BLOCKS = 10_000  # of the run whose first blocks are timed
_MAX_CALLS = 20


def step_seconds(
    program: Program, hparams: Hparams, seed: int = 0, at_least_s: float = 0.3
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
    num_steps = _BLOCK_STEPS * _NUM_BLOCKS
    plan = program.plan._replace(
        num_steps=num_steps, eval_every=num_steps, block_steps=_BLOCK_STEPS
    )
    lanes = lanes_of.lanes(programs.of_plan(plan, program.hparams), num_devices=1)
    own = lanes_of.stack(lanes.program, [hparams], [seed])
    (call,) = lanes.ready().calls
    state, _ = call(None, own, 0, 1, False)  # the first call of a program is slower
    times: list[float] = []
    while sum(times) < at_least_s and len(times) < _MAX_CALLS:
        started = time.perf_counter()
        state, _ = call(state, own, len(times) + 1, 1, False)
        times.append(time.perf_counter() - started)
    return min(times) / _BLOCK_STEPS
