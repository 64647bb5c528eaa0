"""PyTorch, eager: a new model and a loop for each learning rate."""

import time
from collections.abc import Callable

import numpy as np

from gradjax.types import Dataset
from scripts.baselines.sweeps import Cost, Measured, Task, cores, cost_of
from scripts.baselines.torch_eager import NETWORKS, batches, tensors, torch, trainer


def make(task: Task, dataset: Dataset, rates: list[float]) -> Callable[[], Measured]:
    """Makes tensors of the images; uses a thread for each core of the process."""
    torch.set_num_threads(len(cores()))
    inputs, targets = tensors(dataset.train["image"], dataset.train["label"])

    def trial(rate: float) -> tuple[float, float]:
        start = time.perf_counter()
        torch.manual_seed(0)
        taken = batches(inputs, targets, task.settings.batch_size)
        network = NETWORKS[task.settings.model]()
        loss = trainer(task.settings, rate, taken, network)(task.num_steps).loss
        return time.perf_counter() - start, loss

    def measure() -> Measured:
        seconds, losses = zip(*map(trial, rates), strict=True)
        return Measured(cost_of(seconds), Cost(0.0, 0.0), float(np.nanmin(losses)))

    return measure
