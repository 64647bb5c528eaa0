"""Types for the comparison of optimizers on problems."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gradjax.types.results import Series

# Why a trial has no result although it did not diverge.
SET_ASIDE = "set aside"  # it ended the process repeatedly
STOPPED = "stopped"  # by successive halving
NEVER_RUN = "never run"  # no trial of the search ended, so no setting was chosen


class Outcome(NamedTuple):
    """What one trial gave, as a comparison needs it."""

    problem: str
    optimizer: str  # its expression, without the numbers that were tuned
    role: str  # "search": a trial of the tuning; "fresh": a seed of the chosen setting
    seed: int
    setting: dict[str, Any]  # hyperparameter -> number or text
    value: float  # at the end: of a fresh seed the metric of the comparison, of a trial
    # of a search the metric that chooses; NaN if it diverged or has no result
    curve: Series  # the metric that chooses, f64[points]; without points: not known
    steps: int = 0  # steps taken
    diverged_step: int = 0  # 0: it did not diverge
    source: str = ""  # the folder or file that holds it, and the trial
    num_gradients: int = 0  # gradients computed; 0: not known
    seconds: float = float("nan")  # of training alone; NaN: not known
    search: str = ""  # the method that chose the setting, as in "random"; "": not known
    command: str = ""  # the command that shows the trial
    places: Mapping[str, float] | None = None  # tuned number -> its place in the
    # declared range, from 0 to 1 on the scale of the search; None: not known
    failure: str = ""  # one of the three above; "": it ended or diverged
    chosen_at: str = ""  # the problem and budget at which its setting was chosen; "":
    # its own
    study: int = 0  # which of the independent tunings of the optimizer it belongs to
    measured: Mapping[str, Series] | None = None  # diagnostic -> its curve, of a fresh
    # seed; those of single layers are left out


class Metric(NamedTuple):
    """What a comparison measures on one problem."""

    name: str  # with its split, as in "validation_accuracy"
    direction: str  # "min" if smaller values are better, else "max"
    num_examples: int | None = None  # of the split; an accuracy has steps of 1 / this
    chosen_by: str = ""  # the metric of the trials of a search and of the curves, as in
    # "validation_accuracy"; "": the same
    target: float | None = None  # the value of `chosen_by` that counts as solved
