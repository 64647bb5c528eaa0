"""The parameters of the best setting, and what their problem reports of them."""

from collections.abc import Callable
from typing import Any

from gradjax.own_code import named_errors
from gradjax.problems import state as states
from gradjax.records import params
from gradjax.report.summary import Winner
from gradjax.training.leaf_names import like
from gradjax.trials.lanes import Lanes
from gradjax.types import ModelState, Params, Problem, Report, Settings

Trained = dict[str, tuple[Problem, Params, ModelState]]  # by the id of the trial


def load(lanes: Callable[[Settings], Lanes], store: Any, won: Winner) -> Trained:
    """Reads the problem and the stored parameters of the trials of a winner.

    Args:
      lanes: settings of a group -> its lanes.
      store: the record.
      won: the trials; those that did not end, or are not stored, are left out.
    """
    found: Trained = {}
    for of, k in won.rows:
        if str(of.found.status[k]) not in ("finished", "stopped early"):
            continue
        one = of.trials[k]
        leaves = params.leaves_of(store, one.id)
        if leaves is not None:
            made = lanes(one.settings)
            shapes = made.shapes[0].train
            tree = like(shapes.params, leaves[0])
            state = like(shapes.model_state, leaves[1])
            found[one.id] = (made.program.plan.problem, tree, state)
    return found


def reports(trained: Trained) -> dict[str, Report]:
    """Returns trial id -> the report of its problem.

    Raises:
        Refusal: an exception of the report.
    """
    with named_errors("the problem's report fails"):
        return {trial: states.report(*one) for trial, one in trained.items()}
