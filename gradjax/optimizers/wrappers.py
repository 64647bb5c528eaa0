"""Optimizers that contain optimizers: `multi_steps(adamw(weight_decay=0.1), every=4)`.

They differ from similar functions of optax: they pass on the extras that inner rules
need (`optax.MultiSteps` drops them), keep the parameters a plain pytree
(`optax.lookahead` requires pairs), and average parameters, not updates (`optax.ema`).
Actions that are due every n steps use the step number of the run, because `vmap` would
batch a counter in the state and turn each `cond` on it into a select.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from gradjax.optimizers import masks, measures
from gradjax.optimizers.averaging import (
    average,
    averaged_params,
    schedule_free_params,
)
from gradjax.optimizers.build import find_state
from gradjax.optimizers.delayed import DELAYED
from gradjax.optimizers.extras import OF_THE_LOSS
from gradjax.optimizers.transformation import Transformation, transformation
from gradjax.types import Entry, Params


class MultiStepsState(NamedTuple):
    """The sums of gradients and losses over the batches since the last update."""

    grads: Any
    value: jax.Array  # f32[]
    inner_state: Any


class LookaheadState(NamedTuple):
    """The slow parameters, and the state of the inner rule."""

    slow: Params
    inner_state: Any


def multi_steps(inner: Transformation, every: int) -> Transformation:
    """Makes one update from the mean gradient of `every` successive batches.

    The update is that of a batch `every` times as large, with less memory. A step of
    the run is one batch, and the other steps leave the parameters unchanged. Schedules
    of the inner rule and the step number that it receives count updates: update k of n
    has the value of a schedule at k / n. So the run is that of a batch `every` times as
    large with 1 / `every` of the steps.
    """

    def init(params: Params) -> MultiStepsState:
        zeros = optax.tree.zeros_like(params)
        return MultiStepsState(zeros, jnp.zeros(()), inner.init(params))

    def update(
        grads: Any,
        state: MultiStepsState,
        params: Any = None,
        *,
        step: jax.Array,
        value: jax.Array,
        **extras: Any,
    ) -> tuple[Any, MultiStepsState]:
        is_first = step % every == 0  # discards the old sums, even if not finite
        sums, total = jax.tree.map(
            lambda old, new: jnp.where(is_first, new, old + new).astype(old.dtype),
            (state.grads, state.value),
            (grads, value),
        )

        def emit() -> Any:
            mean = jax.tree.map(lambda x: x / every, sums)
            mean_value = (total / every).astype(value.dtype)
            seen = {**extras, "step": step // every, "value": mean_value}
            return inner.update(mean, state.inner_state, params, **seen)

        def wait() -> Any:
            return optax.tree.zeros_like(grads), state.inner_state

        is_due = step % every == every - 1
        updates, inner_state = jax.lax.cond(is_due, emit, wait)
        return updates, MultiStepsState(sums, total, inner_state)

    return transformation(init, update)


def lookahead(
    inner: Transformation, sync_period: int = 6, slow_step_size: float = 0.5
) -> Transformation:
    """Lookahead: every `sync_period` steps, moves slow parameters towards fast ones.

    slow <- slow + slow_step_size (fast - slow), then fast <- slow. The slow parameters
    are the ones evaluated. The state of the inner rule is not reset.

    Source: Zhang et al. 2019, algorithm 1.
    """

    def init(params: Params) -> LookaheadState:
        return LookaheadState(params, inner.init(params))

    def update(
        grads: Any,
        state: LookaheadState,
        params: Any = None,
        *,
        step: jax.Array,
        **extras: Any,
    ) -> tuple[Any, LookaheadState]:
        updates, inner_state = inner.update(
            grads, state.inner_state, params, step=step, **extras
        )
        is_due = step % sync_period == sync_period - 1
        alpha = jnp.where(is_due, slow_step_size, 0.0)
        slow = jax.tree.map(
            lambda s, x, u: s + (alpha * (x + u - s)).astype(s.dtype),
            state.slow,
            params,
            updates,
        )
        updates = jax.tree.map(
            lambda u, s, x: jnp.where(is_due, s - x, u), updates, slow, params
        )
        return updates, LookaheadState(slow, inner_state)

    return transformation(init, update)


def slow_params(opt_state: Any, _params: Params) -> Params:
    """Returns the slow parameters of Lookahead."""
    return find_state(LookaheadState, opt_state).slow


def sam(inner: Transformation, rho: float = 0.05) -> Transformation:
    """Sharpness-aware minimisation: takes the gradient at params + rho g / |g|.

    Both gradients use the same batch, and both are counted. An inner rule that takes
    the loss receives the loss at that point. As in the paper, the second-order term is
    omitted.

    Source: Foret et al. 2021, equation 2.
    """

    def update(
        grads: Any,
        state: Any,
        params: Any = None,
        *,
        value_and_grad_fn: Any,
        **extras: Any,
    ) -> tuple[Any, Any]:
        norm = optax.tree.norm(grads)
        scale = rho / jnp.maximum(norm, jnp.finfo(norm.dtype).tiny)
        above = jax.tree.map(
            lambda x, g: x + (scale * g).astype(x.dtype), params, grads
        )
        value, uphill = value_and_grad_fn(above)
        return inner.update(uphill, state, params, **{**extras, "value": value})

    return transformation(inner.init, update)


def partition(matrices: Transformation, others: Transformation) -> Transformation:
    """Applies one rule to leaves with two or more axes, and another to all others.

    Example: `partition(matrices=muon, others=adamw)`. With `others=set_to_zero` the
    other leaves, biases and gains, do not change.
    """

    def labels(params: Params) -> Any:
        is_matrix = masks.matrices(params)
        return jax.tree.map(lambda yes: "matrices" if yes else "others", is_matrix)

    return optax.partition({"matrices": matrices, "others": others}, labels)


WRAPPERS: dict[str, Entry] = {
    "apply_if_finite": Entry(
        optax.apply_if_finite,
        rate=None,
        static=("max_consecutive_errors",),
        inner=("inner",),
        tolerates=True,
    ),
    "average": Entry(
        average,
        rate=None,
        gradient="inner",
        eval_params=averaged_params,
        inner=("inner",),
        paper="Polyak and Juditsky 1992",
    ),
    "chain": Entry(optax.chain, rate=None, gradient="inner", inner=("*",)),
    "delayed": DELAYED,
    "lookahead": Entry(
        lookahead,
        rate=None,
        static=("sync_period",),
        needs=("step",),
        gradient="inner",
        eval_params=slow_params,
        inner=("inner",),
        paper="Zhang et al. 2019",
    ),
    "mechanize": Entry(
        contrib.mechanize,
        rate=None,
        static=("num_betas",),
        step_size=measures.mechanic_scale,
        inner=("base_optimizer",),
        refuses=OF_THE_LOSS,
        paper="Cutkosky et al. 2023",
    ),
    "multi_steps": Entry(
        multi_steps,
        rate=None,
        static=("every",),
        accumulates="every",
        needs=("step", "value"),
        inner=("inner",),
        refuses=OF_THE_LOSS,
    ),
    "partition": Entry(
        partition,
        rate=None,
        inner=("matrices", "others"),
        refuses=OF_THE_LOSS,
    ),
    "sam": Entry(
        sam,
        rate=None,
        needs=("value_and_grad_fn",),
        num_gradients=2,
        inner=("inner",),
        refuses=OF_THE_LOSS,
        paper="Foret et al. 2021",
    ),
    "schedule_free": Entry(
        contrib.schedule_free,
        eval_params=schedule_free_params,
        inner=("base_optimizer",),
        refuses=OF_THE_LOSS,
        paper="Defazio et al. 2024",
    ),
}
