"""Step sizes and numbers of gradients of rules that determine them by themselves.

Each function is (updates, grads, params, opt_state, **arguments) -> f32[], where
`opt_state` is the state of the rule after the update. A step size is read from the
state if it is stored there; otherwise it is the ratio of the norm of the update to the
norm of the direction that the update scales.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from gradjax.optimizers import adapted
from gradjax.optimizers.build import find_state

Tree = Any  # a pytree of arrays


def estimated_rate(
    _updates: Tree, _grads: Tree, _params: Tree, opt_state: Any, **_arguments: Any
) -> jax.Array:
    """Reads the estimate d of Prodigy or D-Adaptation, which scales the rate."""
    return opt_state.estim_lr


def searched_step(
    _updates: Tree, _grads: Tree, _params: Tree, opt_state: Any, **_arguments: Any
) -> jax.Array:
    """Reads the step size that a line search has accepted."""
    states = (
        optax.ScaleByZoomLinesearchState,
        optax.ScaleByBacktrackingLinesearchState,
    )
    return find_state(states, opt_state).learning_rate


def searched_gradients(
    _updates: Tree, _grads: Tree, _params: Tree, opt_state: Any, **_arguments: Any
) -> jax.Array:
    """Counts gradients: 1, plus 1 for each point that the line search evaluated."""
    state = find_state((optax.ScaleByZoomLinesearchState,), opt_state)
    return 1.0 + state.info.num_linesearch_steps.astype(float)


def backtracked_gradients(
    _updates: Tree, _grads: Tree, _params: Tree, opt_state: Any, **_arguments: Any
) -> jax.Array:
    """Counts gradients: 1, plus a third for each loss that the line search computed."""
    return find_state(adapted.Counted, opt_state).num_gradients.astype(float)


def sophia_gradients(
    _updates: Tree,
    _grads: Tree,
    _params: Tree,
    opt_state: Any,
    update_interval: int = 10,
    **_arguments: Any,
) -> jax.Array:
    """Counts gradients of Sophia: 3 in a step that estimates the Hessian, else 1.

    The estimate is made every `update_interval` steps with a Hessian-vector product,
    which costs about 2 gradients.
    """
    count = find_state((contrib.SophiaState,), opt_state).count - 1
    return jnp.where(count % update_interval == 0, 3.0, 1.0)


def over_gradients(
    updates: Tree, grads: Tree, _params: Tree, _opt_state: Any, **_arguments: Any
) -> jax.Array:
    """Computes |update| / |gradient|.

    This is the step size of Polyak's rule, and of DoG and DoWG without weight decay.
    """
    return optax.tree.norm(updates) / _above_zero(optax.tree.norm(grads))


def momo_step(
    updates: Tree,
    _grads: Tree,
    params: Tree,
    opt_state: Any,
    learning_rate: Any = 1.0,
    weight_decay: Any = 0.0,
    **_arguments: Any,
) -> jax.Array:
    """Computes MoMo's tau: without weight decay, update = -tau * averaged gradient."""
    moved = _without_decay(updates, params, learning_rate * weight_decay)
    return optax.tree.norm(moved) / _above_zero(optax.tree.norm(opt_state.exp_avg))


def momo_adam_step(
    updates: Tree,
    _grads: Tree,
    params: Tree,
    opt_state: Any,
    learning_rate: Any = 1e-2,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    **_arguments: Any,
) -> jax.Array:
    """Computes MoMo-Adam's tau.

    Without weight decay, update = -tau m / (eps + sqrt(v_hat)).
    """
    moved = _without_decay(updates, params, learning_rate * weight_decay)
    correction = 1.0 - b2**opt_state.count
    direction = jax.tree.map(
        lambda m, v: m / (eps + jnp.sqrt(v / correction)),
        opt_state.exp_avg,
        opt_state.exp_avg_sq,
    )
    return optax.tree.norm(moved) / _above_zero(optax.tree.norm(direction))


def mean_step(
    _updates: Tree,
    _grads: Tree,
    _params: Tree,
    opt_state: Any,
    learning_rate: Any = 1e-3,
    **_arguments: Any,
) -> jax.Array:
    """Computes the mean of Rprop's step sizes, one per parameter."""
    sizes = jax.tree.leaves(find_state((_RPROP,), opt_state).step_sizes)
    total = jnp.stack([x.sum() for x in sizes]).sum()
    return learning_rate * total / sum(x.size for x in sizes)


def mechanic_scale(
    _updates: Tree, _grads: Tree, _params: Tree, opt_state: Any, **_arguments: Any
) -> jax.Array:
    """Computes the sum of Mechanic's scales, the factor of the optimizer's updates."""
    return opt_state.s.sum()


_RPROP = optax.ScaleByRpropState


def _without_decay(updates: Tree, params: Tree, decay: Any) -> Tree:
    return jax.tree.map(lambda u, p: u + decay / (1.0 + decay) * p, updates, params)


def _above_zero(norm: jax.Array) -> jax.Array:
    return jnp.maximum(norm, jnp.finfo(norm.dtype).tiny)
