"""flax and optax in a Python loop with a constant rate, so that each rate compiles."""

import time
from collections.abc import Callable

import jax
import numpy as np

from gradjax.types import Dataset
from scripts.baselines.flax_loop import MLP
from scripts.baselines.sweeps import Measured, Task, compiling, cost_of, jit_loop


def make(task: Task, dataset: Dataset, rates: list[float]) -> Callable[[], Measured]:
    """Makes the loop of `jit_loop` with the rate as a constant of the step."""
    taken = jit_loop.batches_of(task, dataset)
    model = MLP(task.hidden)
    since = compiling.watch()

    def trial(rate: float) -> tuple[float, float, float]:
        start = time.perf_counter()
        general = jit_loop.step_of(model)
        step = jax.jit(lambda state, batch, _: general(state, batch, rate))
        state = jit_loop.initial(model, dataset)
        loss = jit_loop.train(step, state, taken, task.num_steps, None)
        return time.perf_counter() - start, since(), loss

    def measure() -> Measured:
        since()
        seconds, compile_s, losses = zip(*map(trial, rates), strict=True)
        return Measured(cost_of(seconds), cost_of(compile_s), float(np.nanmin(losses)))

    return measure
