"""Makes a problem of the user from a loss, initial parameters and arrays."""

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
    """Makes a problem from a pure loss and arrays.

    Args:
      loss: (params, batch, key) -> (f32[], aux): a mean over the batch, and a
        dictionary of scalars to trace ({} for none).
      init: the initial parameters, or a function key -> parameters.
      train: a pytree of arrays [examples, ...]; a batch is the same tree with leaves
        [batch, ...]. None: the loss gets the batch None, as for a surface.
      validation: as `train`, used at every evaluation.
      test: as `train`, used at the end only.
      metrics: (params, batch, key) -> {name: (sum, count)} over held-out batches; None:
        the loss is measured.

    Raises:
        Refusal: arrays are empty, not finite, or differ in their number of examples.
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
