"""Calls a function of the user after each evaluation, for one's own tracker."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.training import evaluation
from gradjax.trials.batches import Active, OnSegment
from gradjax.trials.lanes import Lanes
from gradjax.trials.results import (
    BlockRange,
    Results,
    has_ended,
    points_of,
    steps_taken,
)

OnEvaluation = Callable[..., Any]
_NAMES = ("step", "metrics", "params", "trial", "seed", "hparams")


def check(function: Any) -> None:
    """Refuses what cannot be called after an evaluation.

    Raises:
        Refusal: it is no function, or takes what an evaluation does not have.
    """
    if not callable(function):
        raise Refusal(f"on_evaluation={function!r}: expected a function")
    missing = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.default is one.empty
        and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        and one.name not in _NAMES
    ]
    if missing:
        raise Refusal(
            f"on_evaluation takes {', '.join(missing)}; it is called with:"
            f" {', '.join(_NAMES)}"
        )


def blocks_of(lanes: Lanes) -> tuple[int, ...]:
    """Returns the blocks after which there is an evaluation, for `batches.segments`."""
    plan = lanes.program.plan
    taken = steps_taken(plan)
    is_due = (taken % plan.eval_every == 0) | (taken == plan.num_steps)
    return tuple(int(block) + 1 for block in np.flatnonzero(is_due))


def caller(on_evaluation: OnEvaluation, others: OnSegment) -> OnSegment:
    """Returns a function for each segment that calls both functions.

    The run ends if one of them returns True.

    Args:
      on_evaluation: takes those of `_NAMES` that its parameters name.
      others: is called first, as `batches.run` does.
    """
    accepted = inspect.signature(on_evaluation).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in accepted.values())

    def on_segment(active: Active, blocks: BlockRange) -> Any:
        said = [others(active, blocks)]
        plan, end = active.results.plan, sum(blocks)
        step = min(end * plan.block_steps, plan.num_steps)
        if step % plan.eval_every and step != plan.num_steps:
            return said[0]
        for trial in np.flatnonzero(_is_open(active.results, step)).tolist():
            values = {
                "step": step,
                "metrics": _metrics(active.results, trial, blocks),
                "params": _params(active.results, trial),
                "trial": trial,
                "seed": int(active.own.seed[trial]),
                "hparams": {
                    name: float(x[trial])
                    for name, x in active.own.hparams.items()
                    if np.ndim(x) == 1
                },
            }
            given = {k: v for k, v in values.items() if takes_all or k in accepted}
            said.append(on_evaluation(**given))
        return any(one is True for one in said) or said[0]

    return on_segment


def _is_open(results: Results, step: int) -> np.ndarray:
    """Returns which trials have not ended before a step: bool[trials]."""
    early = results.early_step
    return ~has_ended(results) | ((early == step) & (results.diverged_step == 0))


def _metrics(results: Results, trial: int, blocks: BlockRange) -> dict[str, float]:
    """Returns the metrics on validation, and the loss of the last steps."""
    last = points_of(results, blocks).stop - 1
    found = {"loss": float(results.trace["loss"][trial, last])}
    for name, values in results.validation.items():
        found[f"validation_{name}"] = float(values[trial, sum(blocks) - 1])
    return found


def _params(results: Results, trial: int) -> Any:
    """Returns the present parameters of a trial, as they are evaluated."""
    state = jax.tree.map(lambda x: np.array(x[trial]), results.state.train)  # a copy
    if not optimizers.has_eval_params(results.plan.optimizer):
        return state.params
    return jax.device_get(evaluation.eval_params(results.plan, state))
