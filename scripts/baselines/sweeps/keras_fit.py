"""Keras 3 on its JAX backend: a new model and one `fit` for each learning rate."""

import time
from collections.abc import Callable

import numpy as np

from gradjax.types import Dataset
from scripts.baselines.keras_fit import QUIET, compiled_model, keras
from scripts.baselines.sweeps import Measured, Task, compiling, cost_of


def make(task: Task, dataset: Dataset, rates: list[float]) -> Callable[[], Measured]:
    """Prepares the images in full batches, so that Keras compiles once per rate."""
    keras.utils.set_random_seed(0)
    size = task.settings.batch_size
    rows = np.arange(task.num_steps * size) % len(dataset.train["label"])
    x_train = dataset.train["image"][rows].astype("float32") / dataset.max_value
    y_train = dataset.train["label"][rows]
    since = compiling.watch()

    def trial(rate: float) -> tuple[float, float, float]:
        start = time.perf_counter()
        model = compiled_model(task.settings, rate)
        fitted = model.fit(x_train, y_train, batch_size=size, epochs=1, verbose=QUIET)
        return time.perf_counter() - start, since(), fitted.history["loss"][-1]

    def measure() -> Measured:
        since()
        seconds, compile_s, losses = zip(*map(trial, rates), strict=True)
        return Measured(cost_of(seconds), cost_of(compile_s), float(np.nanmin(losses)))

    return measure
