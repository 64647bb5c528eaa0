"""Online learning: a model predicts each event before it is trained on the event."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.training import evaluation
from gradjax.types import Batch, Hparams, Params, Program, Series, TrainState

Predict = Callable[[Params, Batch], jax.Array]  # -> f32[batch]
Replay = Callable[[TrainState, Hparams, jax.Array, Batch], tuple[TrainState, jax.Array]]


def make_replay(program: Program, predict: Predict, chunk: int, repeats: int) -> Replay:
    """Makes a function that predicts each chunk of events and then trains on it.

    The events of a chunk are predicted together, with parameters that were not trained
    on any of them. Then `repeats` steps of the program, with its loss and its
    optimizer, are taken on the chunk. So every prediction is made before its answer is
    known (progressive validation).

    Args:
      program: from `gradjax.program`; only its step and its plan are used.
      predict: (params, events of a chunk) -> f32[chunk].
      chunk: the number of events in a chunk; the last chunk may be shorter.
      repeats: the number of steps on each chunk.

    Returns:
      A pure function (state, hparams, seed, events) -> (state, predictions). It takes
      the state at the end of training, with that of the optimizer; every number of the
      program, f32[] each; u32[], the seed of the random numbers in the loss and the
      optimizer; and a pytree with leaves [events, ...], ordered by time. It returns the
      state after the last event, and f32[events].

    Source:
      Dawid, "Present Position and Potential Developments: Some Personal Views:
      Statistical Theory: The Prequential Approach", JRSS A 147, 1984; Blum, Kalai and
      Langford, "Beating the Hold-Out", COLT 1999, name it progressive validation.
    """

    def replay(
        state: TrainState, hparams: Hparams, seed: jax.Array, events: Batch
    ) -> tuple[TrainState, jax.Array]:
        key = jax.random.key(seed)

        def predict_and_train(
            state: TrainState, xs: tuple[jax.Array, Batch]
        ) -> tuple[TrainState, jax.Array]:
            number, batch = xs
            guesses = predict(evaluation.eval_params(program.plan, state), batch)
            for again in range(repeats):
                i = number * jnp.uint32(repeats) + jnp.uint32(again)
                step_key = jax.random.fold_in(key, i)
                state, _ = program.step(state, batch, hparams, step_key, i)
            return state, guesses

        num_events = jax.tree.leaves(events)[0].shape[0]
        full, rest = divmod(num_events, chunk)

        def in_chunks(leaf: jax.Array) -> jax.Array:
            return leaf[: full * chunk].reshape(full, chunk, *leaf.shape[1:])

        numbers = jnp.arange(full, dtype=jnp.uint32)
        chunks = (numbers, jax.tree.map(in_chunks, events))
        state, guesses = jax.lax.scan(predict_and_train, state, chunks)
        guesses = guesses.reshape(full * chunk)
        if rest:
            left = jax.tree.map(lambda leaf: leaf[full * chunk :], events)
            state, last = predict_and_train(state, (jnp.uint32(full), left))
            guesses = jnp.concatenate([guesses, last])
        return state, guesses

    return replay


def trace(online: np.ndarray, frozen: np.ndarray) -> dict[str, Series]:
    """Computes the curves `online_rmse` and `frozen_rmse`, each over all events so far.

    Args:
      online: f64[events], squared errors of the model that is trained online.
      frozen: f64[events], squared errors of the model that is not trained any more.
    """
    counts = np.arange(1, len(online) + 1)
    pairs = (("online", online), ("frozen", frozen))
    return {
        f"{name}_rmse": Series(counts, np.sqrt(np.cumsum(errors) / counts))
        for name, errors in pairs
    }


def figures(
    online: np.ndarray, frozen: np.ndarray, parts: dict[str, slice]
) -> dict[str, float]:
    """Computes the RMSE of each model over parts of the events.

    Args:
      online: f64[events], squared errors of the model that is trained online.
      frozen: f64[events], squared errors of the model that is not trained any more.
      parts: name -> the events of the part.

    Returns:
      `<part>_online_rmse` and `<part>_frozen_rmse` -> value.
    """
    return {
        f"{part}_{name}_rmse": float(np.sqrt(errors[where].mean()))
        for part, where in parts.items()
        for name, errors in (("online", online), ("frozen", frozen))
    }


def time_call(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """Calls a function; returns its completed result and the time in seconds."""
    start = time.perf_counter()
    result = jax.block_until_ready(function(*args))
    return result, time.perf_counter() - start
