"""What a command is asked for, and what its record opens as."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gradjax.types.core import Params, Series


class Settings(NamedTuple):
    """What decides a run, together with the code; the flags' defaults are here."""

    experiment: str
    optimizer: str = "adam"  # an expression
    learning_rate: float | None = None  # None: the experiment's, or the optimizer's own
    schedule: str = "constant"  # an expression
    epochs: int | None = None  # None: the experiment's
    steps: int | None = None  # instead of epochs
    batch_size: int | None = None  # examples; None: the whole train split
    eval_every: int | None = None  # steps; None: an epoch
    keep: str = "last"  # or "best" on validation
    patience: int | None = None  # evaluations; None: never stop early
    seed: int = 0  # of the first trial
    seeds: int = 1  # how many
    trace_every: int = 0  # steps per point of the kept curves; 0: at most 1,000 points
    own: tuple[tuple[str, Any], ...] = ()  # (flag, value) of the experiment's own flags


class Sweep(NamedTuple):
    """How trials are chosen and run; the flags' defaults are here."""

    sweep: tuple[str, ...] = ()  # name=values, as `sweeps.space.parse` reads them
    space: str | None = None  # a JSON file instead
    search: str = "grid"  # an expression
    trials: int | None = None  # points; None: all points of the grid
    fresh_seeds: int = 3  # seeds on which the best setting of each optimizer runs again
    halving: int | None = None  # keep one setting in so many at each rung; None: all
    lane_width: int | None = (
        None  # trials mapped together; None: see `trials.lane_width`
    )
    num_devices: int | None = None  # None: all
    num_threads: int | None = None  # of a CPU; None: see `commands.devices`
    keep_params: str = "best"  # or "all" or "none": trials whose parameters are stored
    accept_changes: bool = False  # of versions, code or device since it began


class Options(NamedTuple):
    """What a command is asked for that does not change its result."""

    workdir: str | None = None  # None: runs/<experiment>/<readable-name>
    overwrite: bool = False
    plot: bool = True


class Run(NamedTuple):
    """One trial of a finished run or sweep, or a lesson, opened from its folder."""

    config: dict[str, Any]  # the plan: settings, space, data, versions, device
    summary: dict[str, Any]
    trace: dict[str, Series]  # values f32[points]; those of a lesson as it kept them
    params: Params  # None where they were not kept
    predict: Callable[[Any], Any] | None
    # images [batch, ...] or a list of texts -> class probabilities; for a translator
    # sentences -> translations; None for any other problem


class LessonResult(NamedTuple):
    """What a lesson found."""

    sentence: str  # the conclusion
    figures: dict[str, Any]  # for summary.json
    rows: list[tuple[str, str]]  # (name, value) of each line of the closing table
    trace: dict[str, Series]  # values [points] or [trials, points]
    pictures: dict[str, Callable[[], bytes]]  # file name -> draws it
