"""Type for a diagnostic: a measurement between the steps of a run."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Diagnostic(NamedTuple):
    """A measurement between the steps of a run.

    Attributes:
      measure: a pure function that takes parts of a step by their names (the fields of
        `diagnostics.Context`, or `context` for all of them) and returns a number, an
        array with one axis, or a dictionary of names and these. With `init` it also
        takes `memory`, and returns (values, new memory).
      init: a pure function that takes `params`, `opt_state`, `hparams`, `key`,
        `problem` or `plan` by name before the first step, and returns the initial
        memory, a pytree of arrays; None: there is no memory.
      every: the number of steps from one measurement to the next; the first one is at
        the first step.
      on: the examples that `batch` and `loss` are of: "batch" (those of the step), a
        number (so many examples of the train split, always the same), or the name of a
        split.
      name: of its curves; "" takes that of the function.
      options: (name, value) of further arguments of `measure`.
      window: (first step, step after the last one) between which it is measured, from
        0; None: the complete run.
      per_example: whether it takes the gradients of single examples, which a problem
        without data or a network with a state does not have.
    """

    measure: Callable[..., Any]
    init: Callable[..., Any] | None = None
    every: int = 10
    on: str | int = "batch"
    name: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    per_example: bool = False
    window: tuple[int, int] | None = None
