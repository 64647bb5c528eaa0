"""A problem of one's own: a loss, initial parameters, arrays."""

from typing import Any

from gradjax.data import arrays
from gradjax.types import Key, Params, Problem, Source, Splits, Target


def problem(
    loss: Any,
    init: Any,
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    metrics: Any = None,
) -> Problem:
    """States a problem from a pure loss and arrays.

    Args:
      loss: (params, batch, key) -> (f32[], aux), a mean over the batch, and a
        dictionary of scalars worth a curve ({} for none).
      init: the initial parameters, or a function key -> parameters.
      train: a pytree of arrays [examples, ...]; a batch is the same tree with leaves
        [batch, ...]. None: the loss gets no batch (a surface, say).
      validation: as `train`, seen at every evaluation.
      test: as `train`, seen at the end only.
      metrics: (params, batch, key) -> {name: (sum, count)} over held-out batches; None
        measures the loss.

    Raises:
        Refusal: arrays that are empty, not finite, or differ in their number of
            examples.
    """

    def as_function(_key: Key) -> Params:
        return init

    def source(part: Any) -> Source | None:
        return None if part is None else arrays.source(part)

    data = None
    if train is not None:
        data = Splits(arrays.source(train), source(validation), source(test))
    make = init if callable(init) else as_function
    return Problem(make, loss, metrics, data, Target())
