"""The state of a network in a problem, which is optional: one way to call each part.

A network may keep a state beside its parameters, such as the running means of
BatchNorm. A step of training replaces it by the state that the loss returns; no
gradient is taken of it. Evaluation reads it and does not change it. A problem without a
state has `init_state=None`, and its functions take no state; here its state is None, an
empty pytree, which costs nothing in a compiled program.
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.problems import keys
from gradjax.types import (
    Batch,
    Examples,
    Key,
    MetricSums,
    Model,
    ModelState,
    Params,
    Problem,
    Report,
)


def init(problem: Problem, key: Key) -> ModelState:
    """Returns the initial state of the network, from the key of its parameters."""
    if problem.init_state is None:
        return None
    return jax.tree.map(jnp.asarray, problem.init_state(key))


def loss(
    problem: Problem, params: Params, batch: Batch, key: Key, state: ModelState
) -> tuple[jax.Array, dict[str, jax.Array], ModelState]:
    """Computes the loss of a batch: (f32[], aux, new state)."""
    if problem.init_state is None:
        return (*problem.loss(params, batch, key), None)
    value, aux, state = problem.loss(params, batch, key, state)
    return value, aux, state


def metrics(
    problem: Problem, params: Params, batch: Batch, key: Key, state: ModelState
) -> MetricSums:
    """Computes the metrics of a batch: its own ones, or else the loss.

    A problem with a state has metrics, because its loss is that of training, in which a
    network normalises by the batch (`problems.check`).

    Raises:
        Refusal: a name of a metric is no text.
    """
    if problem.metrics is not None:
        given = (params, batch, key, *_given(problem, state))
        found = keys.call("the metrics function", problem.metrics, *given)
        keys.check_texts("metrics", found)
        return found
    count = jnp.float32(1 if batch is None else jax.tree.leaves(batch)[0].shape[0])
    value, _ = keys.call("the loss", problem.loss, params, batch, key)
    return {"loss": (value * count, count)}


def report(problem: Problem, params: Params, state: ModelState) -> Report:
    """Returns the report of a problem on trained parameters."""
    if problem.report is None:
        return Report({})
    return problem.report(params, problem.data, *_given(problem, state))


def examples(problem: Problem, params: Params, state: ModelState) -> Examples | None:
    """Returns the images for the picture, with their predictions."""
    if problem.examples is None:
        return None
    return problem.examples(params, *_given(problem, state))


def outputs(
    model: Model, params: Params, inputs: Any, key: Key | None, state: ModelState
) -> tuple[Any, ModelState]:
    """Applies a network with or without a state: (outputs, new state)."""
    if model.init_state is None:
        return model.apply(params, inputs, key), None
    return model.apply(params, inputs, key, state)


def without(model: Model, expression: str) -> Model:
    """Refuses a network that keeps a state, in a problem that cannot carry one."""
    if model.init_state is not None:
        raise Refusal(
            f"model {expression} keeps a state, which only problems on images and those"
            " of gradjax.problem and gradjax.from_linen carry"
        )
    return model


def fitted(problem: Problem, model: Model) -> Problem:
    """Fits a problem whose functions all take a state to a network.

    Args:
      problem: its `loss` returns (f32[], aux, new state), and its `apply` (outputs, new
        state). The state is the last argument of `loss`, `apply`, `metrics`, `report`
        and `examples`, and is None by default.
      model: the network.

    Returns:
      The problem with the `init`, the `init_state` and the `rate_factors` of the
      network. If the network has no state, the loss returns (f32[], aux).
    """
    problem = problem._replace(
        init=model.init,
        init_state=model.init_state,
        rate_factors=model.rate_factors,
    )
    if model.init_state is not None:
        return problem
    with_state, network = problem.loss, problem.apply

    def without_state(params: Params, batch: Batch, key: Key) -> Any:
        return with_state(params, batch, key)[:2]

    def outputs_alone(params: Params, batch: Batch, key: Key | None = None) -> Any:
        return network and network(params, batch, key)[0]

    has_network = network is not None
    return problem._replace(
        loss=without_state, apply=outputs_alone if has_network else None
    )


def _given(problem: Problem, state: ModelState) -> tuple[ModelState, ...]:
    return () if problem.init_state is None else (state,)
