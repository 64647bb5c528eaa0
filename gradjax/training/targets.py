"""Checks the target of a problem: its form, and whether its metric is measured."""

import functools
from typing import Any

import jax
import numpy as np

from gradjax.errors import Refusal
from gradjax.training import evaluation, selection
from gradjax.training import step as steps
from gradjax.types import Hparams, Plan, Program, Target

MODES = ("min", "max")


def check_form(target: Any) -> None:
    """Refuses what is no Target, or a Target with a field that means nothing.

    Args:
      target: of a problem.

    Raises:
        Refusal: it is no Target; its metric is no text, its value is neither None nor a
            finite number of float32, or its mode is neither "min" nor "max".
    """
    if not isinstance(target, Target):
        raise Refusal(
            f"the problem's target is {target!r:.60}: expected"
            " gradjax.Target(metric, value, mode); gradjax.Target() has no value"
        )
    if not isinstance(target.metric, str):
        raise Refusal(
            f"the target's metric is {target.metric!r:.60}: expected the name of a"
            " metric, such as 'loss'"
        )
    if target.value is not None and not _is_finite(target.value):
        raise Refusal(
            f"the target's value is {target.value!r:.60}: expected a finite number, or"
            " None for no value"
        )
    if not isinstance(target.mode, str) or target.mode not in MODES:
        raise Refusal(
            f"the target's mode is {target.mode!r:.60}: expected 'min' where smaller"
            " values are better, or 'max'"
        )


def _is_finite(value: Any) -> bool:
    """Returns whether a value is one real number that float32 can hold."""
    is_array = isinstance(value, np.generic | np.ndarray | jax.Array)
    if isinstance(value, bool) or not (is_array or isinstance(value, int | float)):
        return False
    if is_array and (np.ndim(value) or np.asarray(value).dtype.kind in "bcSU"):
        return False
    try:
        return abs(float(value)) <= float(np.finfo(np.float32).max)  # False for NaN
    except OverflowError:  # 10**400
        return False


def check_measured(target: Target, names: list[str]) -> None:
    """Refuses a target of a metric that the problem does not measure.

    Args:
      target: the target of the problem.
      names: the metrics on validation; without that split the metrics of the train
        split and the curves of training.

    Raises:
        Refusal: the line lists the metrics that there are.
    """
    is_default = target.metric == "loss" and target.value is None
    if not is_default and target.metric not in names:
        known = ", ".join(names)
        raise Refusal(
            f"the target is a value of {target.metric!r}, which this problem does not"
            f" measure; it has {known}"
        )


def check_ranked(program: Program) -> None:
    """Refuses a problem whose metrics cannot say which of two trials is better.

    Trials are ranked by the metric of the target, and by the loss if that metric is not
    evaluated. A problem whose metrics have neither can be trained in memory, where
    nothing is ranked. Which direction of another metric is better is not known, and the
    training loss would rank trials that overfit first, so neither is taken instead.

    Args:
      program: of trials that will be ranked.

    Raises:
        Refusal: neither is among the metrics; the line has the target to give.
    """
    target, names = program.plan.problem.target, metrics(program.plan, program.hparams)
    if selection.criterion(target, names)[0] in names:
        return
    missing = " or ".join(map(repr, dict.fromkeys([target.metric, "loss"])))
    if not names:
        raise Refusal(f"the problem's metrics are empty: expected {missing} among them")
    raise Refusal(
        f"trials are ranked by {missing}, which the problem's metrics do not have, only"
        f" {', '.join(names)}: give problem._replace(target=gradjax.Target("
        f"{names[0]!r})), with mode='max' if larger values are better"
    )


def metrics(plan: Plan, hparams: Hparams) -> list[str]:
    """Returns the names of the metrics that are evaluated, in their order.

    Raises:
        Refusal: see `evaluation.metric_shapes`; or an exception of the metrics.
    """
    init = functools.partial(steps.init, plan)
    state = jax.eval_shape(init, dict(hparams), np.uint32(0))
    return list(evaluation.metric_shapes(plan, state))
