"""The training step: a pure function of a Plan and of arrays.

A step computes one gradient and one optimizer update, and reports on them. The number
of the step is an argument and is not carried in the state, because vmap would batch a
carried counter and turn every `cond` on it into a select. Randomness is derived from
counters: the batch order is a function of (seed, epoch, position), and the key of a
step is a function of (seed, step).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradjax import optimizers, schedules
from gradjax.own_code import named_errors
from gradjax.problems import state as model_states
from gradjax.training import accumulation, form, gradients, limit
from gradjax.types import Batch, Hparams, Key, Params, Plan, StepInfo, TrainState


def at(
    plan: Plan, hparams: Hparams, i: jax.Array, spent: jax.Array | None = None
) -> Hparams:
    """Returns the hyperparameters at step i.

    Each learning rate is multiplied by the schedule's shape at i / num_steps. A
    hyperparameter with its own schedule is its peak times the shape of that schedule.
    Inside `multi_steps`, update k of n is at k / n in place of i / num_steps. In a run
    with a limit of gradients the progress is the part of them that is spent.
    """
    every = optimizers.steps_per_update(plan.optimizer)
    numbers = {}
    for path in plan.optimizer.rates:
        progress = _progress(plan, i, every.get(path, 1), spent)
        shape = schedules.shape_at(plan.schedule, hparams, progress)
        numbers[path] = hparams[path] * shape
    for path, schedule in plan.optimizer.scheduled:
        progress = _progress(plan, i, every.get(path, 1), spent)
        own = schedules.shape_at(schedule, hparams, progress)
        numbers[path] = hparams[f"{path}.peak"] * own
    return {**hparams, **numbers}


def _progress(
    plan: Plan, i: jax.Array, every: int, spent: jax.Array | None
) -> jax.Array:
    """Returns the part of a run before step i, or before the update of which it is."""
    if spent is not None and plan.max_gradients is not None:
        return jnp.minimum(spent.astype(float) / plan.max_gradients, 1.0)
    num_updates = max(1, plan.num_steps // every)
    update = i if every == 1 else jnp.minimum(i // every, num_updates - 1)
    return update.astype(float) / num_updates


def init(
    plan: Plan, hparams: Hparams, seed: jax.Array, start: Any = None
) -> TrainState:
    """Returns the state before the first step; its parameters depend on the seed.

    If `start` is given, (params, model state or None), they are those of `start`.
    """
    root_key = jax.random.key(seed)
    init_key, _ = jax.random.split(root_key)
    given, model_state = (None, None) if start is None else start
    params = plan.problem.init(init_key) if start is None else given
    params = jax.tree.map(jnp.asarray, params)
    spent = None if plan.max_gradients is None else jnp.float32(0.0)
    numbers = at(plan, hparams, jnp.uint32(0), spent)
    optimizer_key = jax.random.fold_in(root_key, gradients.OPTIMIZER)
    opt_state = optimizers.build(plan.optimizer, numbers, optimizer_key).init(params)
    if model_state is None:
        model_state = model_states.init(plan.problem, init_key)
    state = TrainState(params, opt_state, jnp.bool(True), model_state, spent)
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)


def step(
    plan: Plan,
    state: TrainState,
    batch: Batch,
    hparams: Hparams,
    key: Key,
    i: jax.Array,
) -> tuple[TrainState, StepInfo]:
    """Computes one gradient and one update, and reports on them.

    Args:
      plan: the static part of the run.
      state: the state after the previous step.
      batch: a pytree with leaves [batch, ...], or None.
      hparams: the hyperparameters, f32[] each.
      key: the key of this step, for dropout and for the optimizer's own randomness.
      i: u32[], the number of this step, from 0.

    Returns:
      The new state, and the loss, learning rate and auxiliary values of this step. From
      the first loss that is not finite on, neither the parameters nor the state of the
      network change. An optimizer that tolerates such a loss goes on as long as its
      updates are finite. An optimizer that evaluates the loss again, as in a line
      search, does this with the state of the network before the step; the new state is
      that of the first evaluation, at the parameters of the step.
    """
    return step_with_gradient(plan, state, batch, hparams, key, i)[:2]


def step_with_gradient(
    plan: Plan,
    state: TrainState,
    batch: Batch,
    hparams: Hparams,
    key: Key,
    i: jax.Array,
) -> tuple[TrainState, StepInfo, Params]:
    """Takes a step as `step` does, and returns also the gradient that it computes."""
    numbers = at(plan, hparams, i, state.num_gradients)

    def loss_of(params: Params, *given: Any) -> tuple[jax.Array, Any]:
        with gradients.rematerialised(plan):
            value, *rest = model_states.loss(plan.problem, params, *given)
        return value, tuple(rest)

    def loss(params: Params) -> tuple[jax.Array, Any]:
        return loss_of(params, batch, key, state.model_state)

    if plan.accumulate > 1:
        (value, (aux, model_state)), grads = accumulation.value_and_grad(
            plan, loss_of, state.params, (batch, key), state.model_state
        )
    elif optimizers.gradient(plan.optimizer) == "per_example":
        (value, (aux, model_state)), grads = gradients.per_example(
            plan, state.params, batch, key
        )
    else:
        (value, (aux, model_state)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params
        )
    extras = gradients.extras(loss, value, grads, key, i)
    needed = {name: extras[name] for name in optimizers.needs(plan.optimizer)}
    updates, opt_state = optimizers.build(plan.optimizer, numbers).update(
        grads, state.opt_state, state.params, **needed
    )
    form.check_update(updates, opt_state, state.opt_state, state.params)
    goes_on, tolerated = _goes_on(plan, value, updates)
    moves = alive = state.alive & goes_on
    figures, limited = limit.limited(plan, state, opt_state)
    if limited is not None:  # a run that has spent its gradients has not diverged
        moves, opt_state = alive & limited.goes_on, limited.opt_state
        alive = jnp.where(limited.goes_on, alive, state.alive)
    # Selecting the update alone costs nothing; selecting the complete state costs 8 to
    # 12 % of a step.
    updates = jax.tree.map(lambda u: jnp.where(moves, u, jnp.zeros_like(u)), updates)
    params = optax.apply_updates(state.params, updates)
    is_sound = moves & jnp.isfinite(value)
    model_state = jax.tree.map(
        lambda new, old: jnp.where(is_sound, new, old), model_state, state.model_state
    )
    rate = numbers[plan.optimizer.rates[0]] if plan.optimizer.rates else jnp.nan
    aux = jax.tree.map(_as_float, aux)
    seen = {**aux, **figures, **_scheduled(plan, numbers), **tolerated}
    info = StepInfo(value, jnp.asarray(rate, float), seen)
    spent = None if limited is None else limited.num_gradients
    after = TrainState(params, opt_state, alive, model_state, spent)
    return after, info, grads


def _as_float(value: jax.Array) -> jax.Array:
    """Returns a whole number or a truth value as a float, as curves store it."""
    value = jnp.asarray(value)
    if jnp.issubdtype(value.dtype, jnp.floating):
        return value
    return value.astype(jnp.result_type(float))


def _goes_on(
    plan: Plan, value: jax.Array, updates: Any
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Returns whether a run goes on, bool[], and the curve that says so.

    Args:
      plan: the static part of the run.
      value: f32[], the loss.
      updates: of the optimizer. One that tolerates a loss that is not finite makes
        finite updates until it gives up.

    Returns:
      The condition; and `tolerated`, f32[]: 1 where the loss is not finite and the run
      goes on. There is no such curve if the optimizer tolerates nothing.
    """
    is_finite = jnp.isfinite(value)
    if not optimizers.tolerates(plan.optimizer):
        return is_finite, {}
    parts = [jnp.isfinite(u).all() for u in jax.tree.leaves(updates)]
    goes_on = is_finite | jnp.stack(parts).all()
    return goes_on, {"tolerated": (goes_on & ~is_finite).astype(jnp.float32)}


def _scheduled(plan: Plan, numbers: Hparams) -> dict[str, jax.Array]:
    """Returns the numbers that follow a schedule, apart from the first rate."""
    paths = [*plan.optimizer.rates[1:], *(path for path, _ in plan.optimizer.scheduled)]
    return {path: jnp.asarray(numbers[path], float) for path in paths}


def check(plan: Plan, hparams: Hparams) -> StepInfo:
    """Refuses an optimizer that cannot take a step on this problem.

    The step is traced with shapes; nothing is computed.

    Args:
      plan: the static part of the run, whose problem has passed `problems.check`.
      hparams: the hyperparameters at their defaults.

    Returns:
      The shapes of the report of a step.

    Raises:
        Refusal: an error that the schedule, `init` or `update` raises, in one line with
            its place in the user's files; or a state whose structure or dtype changes
            from one step to the next.
    """
    numbers = {
        path: jax.ShapeDtypeStruct(np.shape(value), jnp.result_type(float))
        for path, value in hparams.items()
    }
    i, key = jax.ShapeDtypeStruct((), jnp.uint32), jax.random.key(0)
    with named_errors("the schedule cannot be computed"):
        jax.eval_shape(partial(at, plan), numbers, i)
    where = form.where(plan)
    said = f"the optimizer cannot take a step {where or 'here'}"
    with named_errors(said, optimizers.STATIC_HINT):
        state = jax.eval_shape(partial(init, plan), numbers, i)
        gradients.check_remat(plan, state, _batch_shapes(plan))
        args = (state, _batch_shapes(plan), numbers, key, i)
        after, info = jax.eval_shape(partial(step, plan), *args)
        jax.tree.map(partial(form.check_leaf, where), state, after)
    return info


def _batch_shapes(plan: Plan) -> Batch:
    data = plan.problem.data
    if data is None or plan.batch_size is None:
        return None
    indices = jax.ShapeDtypeStruct((plan.batch_size,), jnp.uint32)
    return jax.eval_shape(data.train.take, data.train.arrays, indices)
