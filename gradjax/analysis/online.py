"""A model that keeps learning: each event is predicted first, then learned from."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.training import evaluation
from gradjax.types import Batch, Hparams, Params, Program, Series, TrainState

Predict = Callable[[Params, Batch], jax.Array]  # -> f32[batch]


def replay(
    program: Program,
    predict: Predict,
    chunk: int,
    repeats: int,
    state: TrainState,
    hparams: Hparams,
    seed: jax.Array,
    events: Batch,
) -> tuple[TrainState, jax.Array]:
    """Predicts and learns, chunk by chunk, in the order of the events; pure.

    A chunk's events are predicted together, by parameters that saw none of them, and
    then `repeats` steps of the program are taken on them: its loss, its optimizer. So
    every prediction is made before its answer is known (progressive validation).

    Args:
      program: from `gradjax.program`; only its step and its plan are used.
      predict: (params, events of a chunk) -> f32[chunk].
      chunk: events predicted before they are learned from; the last may be fewer.
      repeats: steps on each chunk.
      state: of the end of training: parameters and the optimizer's own state.
      hparams: every number of the program, f32[] each.
      seed: u32[], of what the loss and the optimizer draw.
      events: leaves [events, ...], the earliest first.

    Returns:
      The state after the last event, and predictions f32[events].

    Source:
      Dawid, "Present Position and Potential Developments: Some Personal Views:
      Statistical Theory: The Prequential Approach", JRSS A 147, 1984; Blum, Kalai and
      Langford, "Beating the Hold-Out", COLT 1999, name it progressive validation.
    """
    key = jax.random.key(seed)

    def met(state: TrainState, xs: Any) -> tuple[TrainState, jax.Array]:
        number, batch = xs
        guesses = predict(evaluation.eval_params(program.plan, state), batch)
        for again in range(repeats):
            i = number * jnp.uint32(repeats) + jnp.uint32(again)
            step_key = jax.random.fold_in(key, i)
            state, _ = program.step(state, batch, hparams, step_key, i)
        return state, guesses

    num_events = jax.tree.leaves(events)[0].shape[0]
    full, rest = divmod(num_events, chunk)

    def folded(leaf: jax.Array) -> jax.Array:
        return leaf[: full * chunk].reshape(full, chunk, *leaf.shape[1:])

    numbers = jnp.arange(full, dtype=jnp.uint32)
    state, guesses = jax.lax.scan(met, state, (numbers, jax.tree.map(folded, events)))
    guesses = guesses.reshape(full * chunk)
    if rest:
        left = jax.tree.map(lambda leaf: leaf[full * chunk :], events)
        state, last = met(state, (jnp.uint32(full), left))
        guesses = jnp.concatenate([guesses, last])
    return state, guesses


def trace(online: np.ndarray, frozen: np.ndarray) -> dict[str, Series]:
    """`online_rmse` and `frozen_rmse`, of all events so far.

    Args:
      online: f64[events], squared errors.
      frozen: the same, of the model left alone.
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
    """`<part>_online_rmse` and `<part>_frozen_rmse` of squared errors f64[events]."""
    return {
        f"{part}_{name}_rmse": float(np.sqrt(errors[where].mean()))
        for part, where in parts.items()
        for name, errors in (("online", online), ("frozen", frozen))
    }


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """The result, when it is there, and the seconds it took."""
    start = time.perf_counter()
    result = jax.block_until_ready(function(*args))
    return result, time.perf_counter() - start
