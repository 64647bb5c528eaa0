"""gradjax: the complete sweep as one program, with a call on each core."""

import time
from collections.abc import Callable

import numpy as np

import gradjax
from gradjax.trials import batches, lanes
from gradjax.trials import lane_width as widths_of
from gradjax.types import Dataset
from scripts.baselines.sweeps import Cost, Measured, Task
from scripts.baselines.sweeps.datasets import problem_of


def make(task: Task, dataset: Dataset, rates: list[float]) -> Callable[[], Measured]:
    """Makes what `gradjax.sweep` does, at its default lane width."""
    problem = problem_of(task, dataset)

    def measure() -> Measured:
        start = time.perf_counter()
        program = gradjax.program(
            problem,
            "adam",
            num_steps=task.num_steps,
            batch_size=task.settings.batch_size,
            eval_every=task.eval_every,
        )
        rule = widths_of.cap(widths_of.default_widths(), len(rates), None)
        width = widths_of.default_width(program, rule)
        made = lanes.lanes(program, width)
        hparams = [{"learning_rate": rate} for rate in rates]
        found = batches.run(made, hparams, [0] * len(rates), trace_every=0)
        once_s = time.perf_counter() - start - found.run_s
        means = found.trace["loss"].values.mean(axis=1)
        loss = float(np.nan_to_num(means, nan=np.inf).min())
        # Calls run one after another, so the time after compiling is proportional to
        # the number of trials.
        whole = Cost(once_s, found.run_s / len(rates))
        return Measured(whole, Cost(once_s, 0.0), loss)

    return measure
