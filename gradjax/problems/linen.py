"""Makes a problem from a linen module, a loss of its outputs, and arrays."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import arrays
from gradjax.errors import Refusal
from gradjax.own_code import named_errors
from gradjax.problems import keys
from gradjax.problems import state as states
from gradjax.types import (
    Batch,
    Key,
    MetricSums,
    Model,
    ModelState,
    Params,
    Problem,
    Source,
    Splits,
)

PerExample = Callable[[Any, Batch], jax.Array]  # (outputs, batch) -> f[batch]


def from_linen(
    module: Any,
    loss: PerExample,
    train: Any,
    validation: Any = None,
    test: Any = None,
    metrics: Mapping[str, PerExample] | None = None,
    inputs: str | Callable[[Batch], Any] = "x",
    base: Any = None,
) -> Problem:
    """Makes the problem of training a flax.linen module on arrays.

    The objective is the mean of `loss` over a batch. If the module keeps more than
    parameters, such as the running means of BatchNorm, this is the state of the
    problem. An argument `train`, `training`, `is_training`, `deterministic` or
    `use_running_average` of the module's `__call__` is given in training and in
    evaluation; the stream "dropout" has a key in training.

    Args:
      module: a `flax.linen.Module`.
      loss: (outputs, batch) -> f[batch], one number for each example.
      train: a dictionary, or another pytree, of arrays [examples, ...].
      validation: as `train`, used at every evaluation.
      test: as `train`, used at the end only.
      metrics: name -> (outputs, batch) -> f[batch]. Their means are traced in training
        and measured on held-out data, beside the loss.
      inputs: the key of the module's inputs in a batch, or a function batch -> inputs.
      base: the module at a smaller width. The network then has the maximal update
        parametrization (`models.parametrization`), with which a learning rate that is
        good at this width is good for `module`; None: its own parametrization.

    Returns:
      A Problem; `problem.apply(params, batch)` gives the outputs of the module.

    Raises:
        Refusal: it is no linen module, `base` has other parameters, the batch has no
            such key, the loss does not give one number for each example, a name of a
            metric is no text, or `arrays.source` refuses the arrays.
    """
    inputs_of = _by_key(inputs, train) if isinstance(inputs, str) else inputs
    model = _model(module, inputs_of, train)
    if base is not None:
        from gradjax.models.parametrization import maximal_update

        model = maximal_update(model, _model(base, inputs_of, train))
    keys.check_texts("metrics", metrics)
    own = {"loss": loss, **(metrics or {})}

    def outputs_of(
        params: Params, batch: Batch, key: Key | None = None, state: ModelState = None
    ) -> tuple[Any, ModelState]:
        return states.outputs(model, params, inputs_of(batch), key, state)

    def objective(
        params: Params, batch: Batch, key: Key, state: ModelState = None
    ) -> tuple[jax.Array, dict[str, jax.Array], ModelState]:
        outputs, state = outputs_of(params, batch, key, state)
        means = {
            name: _each(name, of, outputs, batch).mean() for name, of in own.items()
        }
        return means.pop("loss"), means, state

    def measured(
        params: Params, batch: Batch, _key: Key, state: ModelState = None
    ) -> MetricSums:
        outputs, _ = outputs_of(params, batch, None, state)
        values = {name: _each(name, of, outputs, batch) for name, of in own.items()}
        count = {name: jnp.asarray(len(x), x.dtype) for name, x in values.items()}
        return {name: (x.sum(), count[name]) for name, x in values.items()}

    def source(part: Any) -> Source | None:
        return None if part is None else arrays.source(part)

    data = Splits(arrays.source(train), source(validation), source(test))
    made = Problem(model.init, objective, measured, data, apply=outputs_of)
    return states.fitted(made, model)


def _by_key(name: str, train: Any) -> Callable[[Batch], Any]:
    if not isinstance(train, Mapping) or name not in train:
        there = ", ".join(map(repr, train)) if isinstance(train, Mapping) else "no keys"
        raise Refusal(
            f"inputs={name!r}: the data have {there}; expected the key of the module's"
            " inputs, or a function of the batch"
        )
    return lambda batch: batch[name]


def _model(module: Any, inputs_of: Callable[[Batch], Any], train: Any) -> Model:
    from gradjax.models.own import of_module

    example = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf[:1])), train)
    with named_errors(f"{type(module).__name__} fails"):
        given = inputs_of(example)
        return of_module(module, *(given if isinstance(given, tuple) else (given,)))


def _each(name: str, of: PerExample, outputs: Any, batch: Batch) -> jax.Array:
    """Returns the values of a loss or metric, one for each example."""
    values = jnp.asarray(of(outputs, batch))
    num_examples = jax.tree.leaves(batch)[0].shape[0]
    if values.shape != (num_examples,):
        raise Refusal(
            f"{name} gives shape {values.shape} for a batch of {num_examples}: expected"
            f" one number for each example, ({num_examples},)"
        )
    is_float = jnp.issubdtype(values.dtype, jnp.floating)
    return values if is_float else values.astype(float)
