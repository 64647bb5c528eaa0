"""What a step gives an optimizer: extra arguments, and the gradient of each example."""

import contextlib
import functools
from typing import Any

import jax

from gradjax.errors import Refusal
from gradjax.problems import state as model_states
from gradjax.types import Batch, Key, Params, Plan

OPTIMIZER = 0x6F7074  # "opt"; it is folded into a key to get the optimizer's own key


def rematerialised(plan: Plan) -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which the layers of the network of a plan are traced."""
    if not plan.remat:
        return contextlib.nullcontext()
    from gradjax.models import remat

    return remat.rematerialised()


def check_remat(plan: Plan, state: Any, batch: Batch) -> None:
    """Refuses rematerialisation of a network that has no layers for it.

    Args:
      plan: the static part of the run.
      state: the shapes of a TrainState.
      batch: the shapes of a batch.

    Raises:
        Refusal: the network is neither a Transformer nor a residual network of gradjax.
    """
    if not plan.remat:
        return
    loss = functools.partial(model_states.loss, plan.problem)
    with rematerialised(plan) as names:
        jax.eval_shape(loss, state.params, batch, jax.random.key(0), state.model_state)
    if not names:
        raise Refusal(
            "remat: the network has no layers that can be rematerialised; the"
            " Transformers and the residual networks of gradjax have them, and a"
            " network of your own uses flax.linen.remat"
        )


def extras(
    loss: Any, value: jax.Array, grads: Params, key: Key, i: jax.Array
) -> dict[str, Any]:
    """Returns all extra arguments that an optimizer may need, by name."""

    def value_fn(params: Params) -> jax.Array:
        return loss(params)[0]

    def grad_fn(params: Params, _turn: Any = None) -> Params:
        return jax.grad(value_fn)(params)  # optax.contrib.sam gives a second argument

    return {
        "value": value,
        "grad": grads,
        "value_fn": value_fn,
        "obj_fn": value_fn,  # the name that Sophia uses for it
        "grad_fn": grad_fn,
        "value_and_grad_fn": jax.value_and_grad(value_fn),
        "step": i,
        "key": jax.random.fold_in(key, OPTIMIZER),
    }


def per_example(plan: Plan, params: Params, batch: Batch, key: Key) -> Any:
    """Returns ((loss, (aux, None)), gradients [batch, ...]) with means of the batch.

    A network with a state has no gradient of one example; see `optimizers.defined`.
    """

    def loss(params: Params, example: Any, key: Key) -> Any:
        one = jax.tree.map(lambda leaf: leaf[None], example)
        value, *rest = model_states.loss(plan.problem, params, one, key, None)
        return value, tuple(rest)

    keys = jax.random.split(key, jax.tree.leaves(batch)[0].shape[0])
    seen, grads = jax.vmap(jax.value_and_grad(loss, has_aux=True), (None, 0, 0))(
        params, batch, keys
    )
    return jax.tree.map(lambda x: x.mean(axis=0), seen), grads
