"""Keras 3 on its JAX backend: `model.fit`, with its defaults."""

import os
import time
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # read once, when keras is imported

import keras  # pyright: ignore[reportMissingImports]
import numpy as np
from keras import layers  # pyright: ignore[reportMissingImports]

from scripts.baselines import LEARNING_RATE, Rival, Round, Settings

QUIET: Any = 0  # Keras declares `verbose` a string and documents numbers
_NETWORKS = {
    "mlp": lambda: [
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(10),
    ],
    "cnn": lambda: [
        layers.Conv2D(32, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Conv2D(64, kernel_size=(3, 3), activation="relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Flatten(),
        layers.Dense(10),
    ],
}


def make(settings: Settings, images: np.ndarray, labels: np.ndarray) -> Rival:
    """Compiles the model and fits one batch."""
    keras.utils.set_random_seed(0)
    x_train, y_train = images.astype("float32") / 255, labels
    start = time.perf_counter()
    model = compiled_model(settings, LEARNING_RATE)
    size = settings.batch_size
    model.fit(x_train[:size], y_train[:size], batch_size=size, epochs=1, verbose=QUIET)
    first_s = time.perf_counter() - start

    def train(num_steps: int) -> Round:
        epochs, rows = _passes(num_steps, size, len(x_train))
        x, y = x_train[:rows], y_train[:rows]
        start = time.perf_counter()
        fitted = model.fit(x, y, batch_size=size, epochs=epochs, verbose=QUIET)
        return Round(time.perf_counter() - start, fitted.history["loss"][-1])

    return Rival(first_s, train)


def compiled_model(settings: Settings, learning_rate: float) -> Any:
    """Makes a new model; Keras compiles it in its first `fit` and not in `compile`."""
    model = keras.Sequential([keras.Input((28, 28, 1)), *_NETWORKS[settings.model]()])
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"] if settings.with_accuracy else [],
    )
    return model


def _passes(num_steps: int, batch_size: int, num_examples: int) -> tuple[int, int]:
    """Returns the fewest equal passes of full batches for the steps: (epochs, rows)."""
    fitting = num_examples // batch_size
    epochs = -(-num_steps // fitting)
    while num_steps % epochs:
        epochs += 1
    return epochs, num_steps // epochs * batch_size
