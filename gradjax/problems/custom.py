"""Makes a problem of the user from a loss, initial parameters and arrays."""

from typing import Any

import jax

from gradjax.data import arrays
from gradjax.types import Problem, Source, Splits, Target


def problem(
    loss: Any,
    init: Any,
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    metrics: Any = None,
    state: Any = None,
) -> Problem:
    """Makes a problem from a pure loss and arrays.

    Args:
      loss: (params, batch, key) -> (f32[], aux): a mean over the batch, and a
        dictionary of scalars to trace ({} for none).
      init: the initial parameters, or a function key -> parameters.
      train: a pytree of arrays [examples, ...]; a batch is the same tree with leaves
        [batch, ...]. Or a Source: `gradjax.stream` makes one of a function that reads
        examples. None: the loss gets the batch None, as for a surface.
      validation: as `train`, used at every evaluation.
      test: as `train`, used at the end only.
      metrics: (params, batch, key) -> {name: (sum, count)} over held-out batches; None:
        the loss is measured. Trials are ranked by "loss", which should be among them,
        or by the metric of a target that replaces that of the problem:
        `problem._replace(target=gradjax.Target("accuracy", mode="max"))`. With neither,
        `gradjax.tune`, `gradjax.compare` and commands refuse the problem; `gradjax.run`
        and `gradjax.sweep` rank nothing and take it.
      state: what the network keeps beside its parameters, such as the running means of
        BatchNorm: the initial state, or a function key -> state, which gets the key
        that `init` gets. Then the loss is (params, batch, key, state) -> (f32[], aux,
        new state), and the metrics are needed: (params, batch, key, state) -> {name:
        (sum, count)}. Evaluation does not change the state. None: there is no state.

    Raises:
        Refusal: arrays are empty, not finite, or differ in their number of examples.
    """

    def source(part: Any) -> Source | None:
        if part is None or isinstance(part, Source):
            return part
        return arrays.source(part)

    data = None
    if (own := source(train)) is not None:
        data = Splits(own, source(validation), source(test))
    init_state = None if state is None else _as_function(state)
    target = Target()
    return Problem(
        _as_function(init), loss, metrics, data, target, init_state=init_state
    )


def _as_function(value: Any) -> Any:
    """Returns a function of a key: the value itself, or one that returns the value.

    A callable pytree, such as an Equinox module, is a value.
    """
    is_node = not jax.tree_util.all_leaves([value])
    return value if callable(value) and not is_node else lambda _key: value
