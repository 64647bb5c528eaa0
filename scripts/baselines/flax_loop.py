"""flax linen and optax in a Python loop with one jitted call per step.

This is how the tutorial of flax trains a network.
"""

import functools
import itertools
import time
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState

from scripts.baselines import LEARNING_RATE, Rival, Round, Settings


class MLP(nn.Module):
    """Flatten, Dense, relu, Dense."""

    hidden: int = 128

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Images [batch, height, width, channels] to logits [batch, 10]."""
        x = x.reshape((x.shape[0], -1))
        x = nn.relu(nn.Dense(self.hidden)(x))
        return nn.Dense(10)(x)


class _CNN(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(32, (3, 3), padding="VALID")(x))
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = nn.relu(nn.Conv(64, (3, 3), padding="VALID")(x))
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        x = x.reshape((x.shape[0], -1))
        return nn.Dense(10)(x)


@functools.partial(jax.jit, static_argnames="with_accuracy")
def train_step(
    state: TrainState, batch: dict[str, Any], with_accuracy: bool
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Computes one gradient and one update."""

    def loss_fn(params: Any) -> tuple[jax.Array, jax.Array]:
        logits = state.apply_fn({"params": params}, batch["image"])
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return loss.mean(), logits

    (loss, logits), grads = jax.value_and_grad(loss_fn, has_aux=True)(state.params)
    metrics = {"loss": loss}
    if with_accuracy:
        metrics["accuracy"] = (logits.argmax(-1) == batch["label"]).mean()
    return state.apply_gradients(grads=grads), metrics


def make(settings: Settings, images: np.ndarray, labels: np.ndarray) -> Rival:
    """Initialises the network and compiles its step on the first batch."""
    train_ds = {"image": np.float32(images) / 255, "label": labels}
    taken = batches(train_ds, settings.batch_size)
    start = time.perf_counter()
    model = MLP() if settings.model == "mlp" else _CNN()
    params = model.init(jax.random.key(0), jnp.ones((1, 28, 28, 1)))["params"]
    state = TrainState.create(
        apply_fn=model.apply, params=params, tx=optax.adam(LEARNING_RATE)
    )
    state, metrics = train_step(state, next(taken), settings.with_accuracy)
    jax.block_until_ready((state, metrics))
    first_s = time.perf_counter() - start

    def train(num_steps: int) -> Round:
        nonlocal state
        start, seen = time.perf_counter(), []
        for batch in itertools.islice(taken, num_steps):
            state, metrics = train_step(state, batch, settings.with_accuracy)
            seen.append(metrics)
        losses = [metrics["loss"] for metrics in jax.device_get(seen)]
        jax.block_until_ready(state)
        return Round(time.perf_counter() - start, float(np.mean(losses)))

    return Rival(first_s, train)


def batches(train_ds: dict[str, Any], batch_size: int) -> Iterator[dict[str, Any]]:
    """Yields the batches of epoch after epoch, each in a new order.

    The incomplete last batch of an epoch is left out.
    """
    rng = np.random.default_rng(0)
    num_examples = len(train_ds["label"])
    while True:
        order = rng.permutation(num_examples)
        order = order[: num_examples // batch_size * batch_size]
        for rows in order.reshape(-1, batch_size):
            yield {name: values[rows] for name, values in train_ds.items()}
