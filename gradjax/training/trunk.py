"""The trunk of a run: the blocks that every longer run of its settings begins with.

A schedule is a function of the progress i / num_steps, so a longer run has other rates
in most of its steps. There is a trunk where the shape is constant, after a warmup or
before the decay of `wsd`. It ends where the decay begins, or with the last evaluation
that a longer run has as well.
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.schedules import shapes
from gradjax.training.blocks import num_blocks
from gradjax.training.step import at
from gradjax.types import Hparams, Plan, ScheduleSpec, TracedNumber

_CONSTANT = (shapes.constant, shapes.warmup_constant)  # until the end of a run
_CHUNK = 2**16  # steps whose rates are compared at once


def trunk_blocks(plan: Plan, hparams: Hparams) -> int:
    """Returns the number of blocks of the trunk; 0 if the run has none.

    Args:
      plan: the static part of the run.
      hparams: all its hyperparameters.
    """
    ends = [_end(one, hparams) for one in _schedules(plan)]
    part = min((end for end in ends if end is not None), default=1.0)
    if None in ends or plan.max_gradients is not None:
        return 0
    steps = plan.num_steps
    if part < 1.0:
        every = max(optimizers.steps_per_update(plan.optimizer).values(), default=1)
        steps = int((part + 1e-7) * steps) - (every - 1)  # a float32 is a bit less
    blocks = max(steps, 0) // plan.block_steps
    has_own_end = plan.num_steps % plan.eval_every > 0  # an evaluation of its own
    return min(blocks, num_blocks(plan) - has_own_end)


def check(short: Plan, long: Plan, numbers: tuple[Hparams, Hparams]) -> None:
    """Refuses a longer run that does not begin as the shorter one, to the same bits.

    Args:
      short: the static part of the shorter run.
      long: that of the longer run, with the same blocks and evaluations.
      numbers: all hyperparameters of both.

    Raises:
        Refusal: the shorter run has no trunk, or a number that follows a schedule has
            other bits in a step of the trunk.
    """
    names = [one.shape.__name__ for one in _schedules(short)]
    num_steps = trunk_blocks(short, numbers[0]) * short.block_steps
    if not num_steps:
        raise Refusal(
            f"the schedule {' and '.join(dict.fromkeys(names))} depends on the number"
            f" of steps, so a run of {long.num_steps:,} steps does not begin as that of"
            f" {short.num_steps:,}"
        )
    if set(names) <= {"constant"}:
        return
    for first in range(0, num_steps, _CHUNK):
        steps = np.arange(first, min(first + _CHUNK, num_steps), dtype=np.uint32)
        before, after = map(partial(_scheduled, steps), (short, long), numbers)
        for path, values in before.items():
            differs = np.flatnonzero(values != after[path])
            if differs.size:
                raise Refusal(
                    f"step {first + differs[0] + 1:,} of a run of {long.num_steps:,}"
                    f" steps has another {path} than that of {short.num_steps:,} steps;"
                    " with a warmup in steps the bits are the same for 2, 4, 8, ..."
                    " times as many"
                )


def _schedules(plan: Plan) -> list[ScheduleSpec]:
    own = [schedule for _, schedule in plan.optimizer.scheduled]
    return [plan.schedule, *own] if plan.optimizer.rates else own


def _end(schedule: ScheduleSpec, hparams: Hparams) -> float | None:
    """Returns the part of a run after which a shape may fall; None: it may at once."""
    if schedule.shape in _CONSTANT:
        return 1.0
    if schedule.shape is not shapes.wsd:
        return None
    decay = dict(schedule.kwargs)["decay"]
    value = hparams[decay.path] if isinstance(decay, TracedNumber) else decay
    return 1.0 - float(value)


def _scheduled(steps: np.ndarray, plan: Plan, hparams: Hparams) -> dict[str, Any]:
    """Returns the numbers that follow a schedule, at each of the steps."""
    paths = [*plan.optimizer.rates, *(path for path, _ in plan.optimizer.scheduled)]

    def found(i: jax.Array) -> dict[str, jax.Array]:
        numbers = at(plan, hparams, i)
        return {path: numbers[path] for path in paths}

    return jax.device_get(jax.jit(jax.vmap(found))(steps))
