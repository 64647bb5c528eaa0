"""flax and optax in a Python loop: one jitted step with the rate as its argument."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradjax.types import Dataset
from scripts.baselines.flax_loop import MLP, batches
from scripts.baselines.sweeps import Cost, Measured, Task

State = Any  # (params, opt_state)
Step = Callable[[State, dict[str, Any], Any], tuple[State, jax.Array]]


def make(task: Task, dataset: Dataset, rates: list[float]) -> Callable[[], Measured]:
    """Makes a loop that compiles once for all rates."""
    taken = batches_of(task, dataset)
    model = MLP(task.hidden)

    def measure() -> Measured:
        start = time.perf_counter()
        step, state = jax.jit(step_of(model)), initial(model, dataset)
        jax.block_until_ready(step(state, next(taken), rates[0]))
        once_s = time.perf_counter() - start
        losses = [train(step, state, taken, task.num_steps, rate) for rate in rates]
        run_s = time.perf_counter() - start - once_s
        whole = Cost(once_s, run_s / len(rates))
        return Measured(whole, Cost(once_s, 0.0), float(np.nanmin(losses)))

    return measure


def step_of(model: MLP) -> Step:
    """Returns a step with one gradient and one update of Adam."""

    def step(state: State, batch: dict[str, Any], rate: Any) -> tuple[State, jax.Array]:
        params, opt_state = state

        def loss_fn(params: Any) -> jax.Array:
            logits: Any = model.apply({"params": params}, batch["image"])
            return optax.softmax_cross_entropy_with_integer_labels(
                logits, batch["label"]
            ).mean()

        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optax.adam(rate).update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), loss

    return step


def initial(model: MLP, dataset: Dataset) -> State:
    """Returns the state before the first step, the same for all rates."""
    shape = dataset.train["image"].shape[1:]

    def init(key: jax.Array) -> State:
        params = model.init(key, jnp.ones((1, *shape)))["params"]
        return params, optax.adam(0.0).init(params)

    return jax.jit(init)(jax.random.key(0))


def train(
    step: Step, state: State, taken: Iterator[Any], num_steps: int, rate: Any
) -> float:
    """Trains one trial; returns its mean loss, which is read at the end."""
    losses = []
    for batch in itertools.islice(taken, num_steps):
        state, loss = step(state, batch, rate)
        losses.append(loss)
    jax.block_until_ready(state)
    return float(np.mean(jax.device_get(losses)))


def batches_of(task: Task, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yields mini-batches of images in [0, 1], on the host."""
    images = np.float32(dataset.train["image"]) / dataset.max_value
    arrays = {"image": images, "label": dataset.train["label"]}
    return batches(arrays, task.settings.batch_size)
