"""The parts of a step that a diagnostic may measure, and how it takes them by name."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax

from gradjax.errors import Refusal
from gradjax.types import Batch, Hparams, Key, ModelState, Params, Plan, Problem

Loss = Callable[[Params, Batch], jax.Array]  # (params, batch) -> f32[]
TakeStep = Callable[[Params, Any, Hparams], tuple[Params, Any]]


class Context(NamedTuple):
    """The parts of one step of a run; all arrays are traced.

    Attributes:
      loss: (params, batch) -> f32[]: the mean loss of examples, with the key and the
        state of the network of this step.
      params: the parameters before the step.
      batch: the examples of the diagnostic: those of the step, a fixed subset, or a
        whole split; None for a problem without data.
      grads: the gradient of `loss` on `batch` at `params`; on the batch of the step it
        is the one that the optimizer gets.
      updates: the change of the parameters in the step, `params_after - params`.
      params_after: the parameters after the step.
      opt_state: the state of the optimizer before the step.
      opt_state_after: likewise after the step.
      hparams: the hyperparameters at this step, f32[] each, after the schedule.
      learning_rate: f32[], the first of the learning rates; NaN without one.
      key: a random key of this diagnostic at this step.
      step: u32[], the number of the step, from 0.
      take_step: (params, opt_state, hparams) -> (params, opt_state): the pure training
        step on the step's batch. It uses the hyperparameters as they are given, as
        `hparams` has them, without a schedule.
      apply: (params, batch) -> outputs of the network; None if the problem has none.
      problem: the problem.
      plan: the static part of the run.
      model_state: of the network before the step.
    """

    loss: Loss
    params: Params
    batch: Batch
    grads: Params
    updates: Params
    params_after: Params
    opt_state: Any
    opt_state_after: Any
    hparams: Hparams
    learning_rate: jax.Array
    key: Key
    step: jax.Array
    take_step: TakeStep
    apply: Callable[..., Any] | None
    problem: Problem
    plan: Plan
    model_state: ModelState


# What `init` of a diagnostic may take, before there is a step.
AT_START = ("params", "opt_state", "hparams", "key", "problem", "plan")
_WHOLE, _MEMORY = "context", "memory"


def bound(function: Callable[..., Any], known: Mapping[str, Any]) -> Any:
    """Calls a function with those of the known values that its parameters name."""
    return function(**{name: known[name] for name in _named(function, known)})


def names(has_memory: bool) -> tuple[str, ...]:
    """Returns the names that the measure of a diagnostic may take."""
    return (*Context._fields, _WHOLE, *((_MEMORY,) if has_memory else ()))


def values_of(context: Context, memory: Any = None) -> dict[str, Any]:
    """Returns all that a measure may take by name."""
    return {**context._asdict(), _WHOLE: context, _MEMORY: memory}


def check(said: str, function: Callable[..., Any], known: Iterable[str]) -> None:
    """Refuses a function with a parameter that has neither a value nor a default.

    Raises:
        Refusal: the line lists what a diagnostic may take; or it is no function.
    """
    known = tuple(known)
    missing = [
        one.name
        for one in parameters(said, function)
        if one.default is one.empty and one.name not in known
    ]
    if missing:
        raise Refusal(
            f"{said} takes {', '.join(missing)}; a diagnostic takes by name:"
            f" {', '.join(known)}; other arguments need defaults"
        )


def parameters(said: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Returns the parameters of a function that can be given by name.

    Raises:
        Refusal: it is no function with a signature, or has parameters that cannot be
            given by name.
    """
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise Refusal(
            f"{said}: expected a function that takes parts of a step by name"
        ) from None
    if any(one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL) for one in found):
        raise Refusal(f"{said}: its arguments are taken by name, so give them names")
    return [one for one in found if one.kind is not one.VAR_KEYWORD]


def _named(function: Callable[..., Any], known: Iterable[str]) -> list[str]:
    own = {one.name for one in inspect.signature(function).parameters.values()}
    return [name for name in known if name in own]
