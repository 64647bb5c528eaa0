"""The steps at which diagnostics are due, and the places of their values."""

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.types import Diagnostic, Plan


def num_slots(one: Diagnostic, num_steps: int) -> int:
    """Returns how many measurements fall into so many successive steps, at most."""
    return -(-num_steps // one.every)


def due_steps(one: Diagnostic, start: int, stop: int) -> np.ndarray:
    """Returns the steps from `start` to before `stop` that are measured: i64[...]."""
    first, last = one.window or (0, stop)
    start, stop = max(start, first), min(stop, last)
    return first + np.arange(*_counts(one, start - first, stop - first)) * one.every


def _counts(one: Diagnostic, start: int, stop: int) -> tuple[int, int]:
    """Returns how many measurements are before two steps of the window."""
    return -(-start // one.every), max(-(-stop // one.every), 0)


def next_due(plan: Plan, i: jax.Array) -> jax.Array:
    """Returns the first step from `i` on at which a diagnostic is due.

    It is the number of steps of the run if there is no such step.
    """
    found = jnp.uint32(plan.num_steps)
    for every, window in dict.fromkeys((d.every, d.window) for d in plan.diagnostics):
        first, last = map(jnp.uint32, window or (0, plan.num_steps))
        due = first + num_before(i, every, first) * jnp.uint32(every)
        found = jnp.where(due < last, jnp.minimum(found, due), found)
    return found


def num_before(i: jax.Array, every: int, first: jax.Array) -> jax.Array:
    """Returns the number of measurements before step `i`, apart from the window's end.

    That is the part of (i - first) / every that is rounded up, or 0 before the window.
    """
    size = jnp.uint32(every)
    return (jnp.maximum(i, first) - first + size - 1) // size
