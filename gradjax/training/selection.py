"""Selects the parameters that a run keeps: the last ones, or the best on validation.

A copy of the best parameters is carried inside the compiled program, so every lane has
its own copy. The parameters are chosen on the validation split alone, by the metric of
the target; of equal evaluations the earlier one is kept. A run may also stop early,
when its metric has not improved for `patience` evaluations (Prechelt, "Early Stopping,
But When?", 1998).
"""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.training import evaluation
from gradjax.types import Kept, Plan, Target, TrainState

KEEP = ("last", "best")


def is_selecting(plan: Plan) -> bool:
    """Whether a run carries a copy of the parameters that it keeps."""
    return plan.keep == "best" or plan.patience is not None


def criterion(target: Target, names: Any) -> tuple[str, float]:
    """Returns the metric that selects, and a sign: sign * metric is larger if better.

    It is the metric of the target if that is measured, and otherwise the loss.

    Args:
      target: the target of the problem.
      names: the names of the metrics that are measured.
    """
    if target.metric in names:
        return target.metric, 1.0 if target.mode == "max" else -1.0
    return "loss", -1.0


def check_keep(keep: Any) -> None:
    """Refuses a word that does not say which parameters are kept."""
    if not isinstance(keep, str) or keep not in KEEP:
        raise Refusal(f"keep={keep!r}: expected {' or '.join(map(repr, KEEP))}")


def check(plan: Plan, names: Any) -> None:
    """Refuses a selection for which the problem has no evaluations.

    Args:
      plan: the static part of the run.
      names: the names of the validation metrics; None: there is no validation split.

    Raises:
        Refusal: an unknown word, a patience that is not positive, no validation split,
            or neither the target's metric nor a loss among the metrics.
    """
    check_keep(plan.keep)
    is_count = type(plan.patience) is int and 1 <= plan.patience < 2**31
    if plan.patience is not None and not is_count:
        raise Refusal(f"patience={plan.patience!r}: must be a positive whole number")
    if not is_selecting(plan):
        return
    asked = "keep='best'" if plan.keep == "best" else f"patience={plan.patience}"
    if names is None:
        raise Refusal(f"{asked}: this problem has no validation split to choose on")
    if criterion(plan.problem.target, names)[0] not in names:
        known = ", ".join(names)
        raise Refusal(
            f"{asked}: neither {plan.problem.target.metric!r} nor 'loss' is measured on"
            f" validation, only {known}"
        )


def init(plan: Plan, state: TrainState) -> Kept | tuple[()]:
    """Returns the selection before any evaluation; () if nothing is selected."""
    if not is_selecting(plan):
        return ()
    dtype = jnp.result_type(float)
    zero = jnp.uint32(0)
    params = jax.tree.map(jnp.asarray, evaluation.eval_params(plan, state))
    score = jnp.asarray(-jnp.inf, dtype)
    return Kept(params, score, zero, zero, zero, state.model_state)


def update(
    plan: Plan,
    kept: Any,
    state: TrainState,
    means: dict[str, jax.Array],
    step: jax.Array,
) -> Any:
    """Returns the selection after an evaluation.

    Args:
      plan: the static part of the run.
      kept: the selection before the evaluation.
      state: the state that was evaluated.
      means: the metrics over the validation split, f32[] each.
      step: u32[], the number of steps taken.
    """
    if not is_selecting(plan):
        return kept
    name, sign = criterion(plan.problem.target, means)
    is_finite = jnp.isfinite(means[name]) & jnp.isfinite(means.get("loss", means[name]))
    score = (sign * means[name]).astype(kept.score.dtype)
    is_running = state.alive & (kept.stopped_step == 0)
    is_better = is_running & is_finite & (score > kept.score)
    is_taken = is_better if plan.keep == "best" else is_running
    measured = (evaluation.eval_params(plan, state), state.model_state)
    params, model_state = jax.tree.map(
        lambda x, old: jnp.where(is_taken, x, old),
        measured,
        (kept.params, kept.model_state),
    )
    num_waited = jnp.where(is_better, 0, kept.num_waited + 1).astype(jnp.uint32)
    stopped_step = kept.stopped_step
    if plan.patience is not None:
        is_out = is_running & (num_waited >= plan.patience)
        stopped_step = jnp.where(is_out, step, stopped_step)
    return Kept(
        params,
        jnp.where(is_better, score, kept.score),
        jnp.where(is_taken, step, kept.step),
        num_waited,
        stopped_step,
        model_state,
    )
