"""The steps at which diagnostics are due, and the places of their values."""

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.types import Diagnostic, Plan


def num_slots(one: Diagnostic, num_steps: int) -> int:
    """Returns how many measurements fall into so many successive steps, at most."""
    return -(-num_steps // one.every)


def window(plan: Plan, one: Diagnostic) -> tuple[int, int]:
    """Returns the steps of the run in which a diagnostic can be due: [first, end)."""
    first, last = one.window or (0, plan.num_steps)
    return min(first, plan.num_steps), min(last, plan.num_steps)


def are_equal(plan: Plan) -> bool:
    """Returns whether all diagnostics are due at the same steps."""
    return len({(one.every, one.window) for one in plan.diagnostics}) == 1


def due_steps(one: Diagnostic, start: int, stop: int) -> np.ndarray:
    """Returns the steps from `start` to before `stop` that are measured: i64[...]."""
    first, last = one.window or (0, stop)
    start, stop = max(start, first), min(stop, last)
    return first + np.arange(*_counts(one, start - first, stop - first)) * one.every


def _counts(one: Diagnostic, start: int, stop: int) -> tuple[int, int]:
    """Returns how many measurements are before two steps of the window."""
    return -(-start // one.every), max(-(-stop // one.every), 0)


def next_due(plan: Plan, every: jax.Array, i: jax.Array) -> jax.Array:
    """Returns the first step from `i` on at which a diagnostic is due.

    Args:
      plan: the static part of the run.
      every: u32[diagnostics], steps between measurements; 0: there are none.
      i: u32[], the step.

    Returns:
      The number of steps of the run if there is no such step.
    """
    found = jnp.uint32(plan.num_steps)
    chosen = plan.diagnostics[:1] if are_equal(plan) else plan.diagnostics
    for k, one in enumerate(chosen):
        found = jnp.minimum(found, next_of(plan, one, every[k], i))
    return found


def next_of(plan: Plan, one: Diagnostic, every: jax.Array, i: jax.Array) -> jax.Array:
    """Returns the first step from `i` on at which one diagnostic is due."""
    first, last = map(jnp.uint32, window(plan, one))
    due = first + num_before(i, every, first) * every
    return jnp.where((every > 0) & (due < last), due, jnp.uint32(plan.num_steps))


def num_before(i: jax.Array, every: jax.Array, first: jax.Array) -> jax.Array:
    """Returns the number of measurements before step `i`, apart from the window's end.

    That is the part of (i - first) / every that is rounded up, or 0 before the window.
    """
    size = jnp.maximum(every, 1)
    return (jnp.maximum(i, first) - first + size - 1) // size
