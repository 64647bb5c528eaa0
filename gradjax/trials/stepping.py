"""Trains step by step, for what must be done by hand between the steps."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.counts import as_whole
from gradjax.data import streaming
from gradjax.errors import Refusal
from gradjax.training import loop
from gradjax.training import step as training_step
from gradjax.training.numbers import check_program, checked_hparams, checked_seed
from gradjax.types import Hparams, Plan, Program, Source, TrainState


def steps(
    program: Program,
    hparams: Hparams | None = None,
    seed: int = 0,
    *,
    every: int = 1,
) -> Iterator[tuple[int, TrainState]]:
    """Trains one run and yields its state between the steps.

        for step, state in gradjax.steps(program, {"learning_rate": 0.1}, every=50):
            print(step, my_measure(state.params))

    The steps are those of `gradjax.run`, with the same order of the examples and the
    same randomness. Nothing is evaluated, and a diverged run goes to its last step with
    the parameters before it diverged.

    Args:
      program: from `gradjax.program`; its diagnostics are not measured.
      hparams: numbers that replace the program's defaults.
      seed: as `gradjax.run` takes it.
      every: the number of steps from one state to the next.

    Yields:
      (steps taken, the TrainState after them): first (0, the initial state), at last
      the state after the last step.

    Raises:
        Refusal: an unknown or impossible number, or a seed or interval that is none.
    """
    check_program(program)
    size = as_whole(every)
    if size is None or size < 1:
        raise Refusal(f"every={every!r}: must be a positive whole number of steps")
    numbers = checked_hparams(program, dict(hparams or {}))
    return _states(program, numbers, checked_seed(seed), size)


def _states(
    program: Program, hparams: Hparams, seed: Any, every: int
) -> Iterator[tuple[int, TrainState]]:
    plan = program.plan._replace(mesh=None)  # the states are on one device
    data = plan.problem.data
    source = None if data is None else data.train
    arrays = None if source is None else jax.device_put(source.arrays)
    init = jax.jit(partial(training_step.init, plan))
    # No more steps of a stream are read at once than a run reads.
    room = min(every, streaming.staged_steps(plan.problem, plan.batch_size) or every)
    key = ("steps", room, bool(jax.config.read("jax_enable_x64")))
    if key not in program.executables:
        program.executables[key] = jax.jit(partial(_advance, plan, room))
    advance = program.executables[key]
    state = init(hparams, seed, program.start)
    yield 0, state
    for start in range(0, plan.num_steps, every):
        end = min(start + every, plan.num_steps)
        for own in range(start, end, room):
            count = min(room, end - own)
            if source is not None and source.read is not None:
                arrays = _staged(plan, source, seed, (own, count, room))
            which = np.uint32(own), np.int32(count)
            state = advance(state, (hparams, seed), which, arrays)
        yield end, state


def _staged(plan: Plan, source: Source, seed: Any, which: tuple[int, int, int]) -> Any:
    """Reads the examples of (first step, number of steps, room for steps)."""
    start, count, room = which
    steps, size = range(start, start + count), plan.batch_size or 1
    found = streaming.read_steps(source, size, int(seed), steps, room)
    own = np.asarray([seed], np.uint32)
    return jax.device_put(streaming.Staged(found, own, np.uint32(start)))


def _advance(
    plan: Plan,
    room: int,
    state: TrainState,
    trial: tuple[Hparams, jax.Array],
    which: tuple[jax.Array, jax.Array],
    arrays: Any,
) -> TrainState:
    """Takes steps of a trial, (hparams, seed).

    `which` are the first one and their number, which is at most `room`.
    """
    (hparams, seed), (start, count) = trial, which
    indices = loop.batch_indices(plan, seed, start, room, arrays)
    take = loop.body_of_loop(plan, hparams, seed, arrays)

    def body(k: jax.Array, state: TrainState) -> TrainState:
        row = None if indices is None else indices[k]
        return take(state, start + jnp.asarray(k, jnp.uint32), row)[0]

    return jax.lax.fori_loop(jnp.int32(0), count, body, state)
