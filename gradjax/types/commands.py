"""Types for the arguments of a command and for what is read back from its folder."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gradjax.types import shown
from gradjax.types.problems import ModelState, Params
from gradjax.types.results import Series


class Settings(NamedTuple):
    """The settings that, with the code, determine a run, and the flags' defaults."""

    experiment: str
    optimizer: str = "adam"  # an expression
    learning_rate: float | None = None  # None: that of the experiment or the optimizer
    schedule: str = "constant"  # an expression
    epochs: int | None = None  # None: the number of the experiment
    steps: int | None = None  # given instead of epochs
    batch_size: int | None = None  # examples; None: the complete train split
    eval_every: int | None = None  # steps; None: one epoch
    keep: str = "last"  # kept parameters: the "last", or the "best" on validation
    patience: int | None = None  # evaluations; None: no early stop
    seed: int = 0  # seed of the first trial
    seeds: int = 1  # number of seeds
    trace_every: int = 0  # steps per stored point of a curve; 0: at most 1,000 points
    own: tuple[tuple[str, Any], ...] = ()  # (flag, value) of flags of the experiment
    diagnostics: str | None = None  # expressions in a list; None: nothing is measured
    init_from: str | None = None  # a folder or a file with initial parameters; once it
    # is read, the digest of these, because they decide and not their place
    accumulate: int = 1  # parts of a batch whose gradients are computed in turn
    remat: bool = False  # values inside layers are computed again for the gradient


class Sweep(NamedTuple):
    """The settings of the search and execution of trials, and the flags' defaults."""

    sweep: tuple[str, ...] = ()  # name=values, as `sweeps.space.parse` reads them
    space: str | None = None  # a JSON file, given instead of `sweep`
    search: str = "grid"  # an expression
    trials: int | None = None  # number of points; None: all points of the grid
    fresh_seeds: int = 3  # seeds on which the best setting of each optimizer runs again
    halving: int | None = None  # N: each rung keeps one setting in N; None: all
    lane_width: int | None = None
    # trials that one call computes together; None: the rule of `trials.lane_width`
    num_devices: int | None = None  # None: all devices
    num_threads: int | None = None  # CPU threads; None: the rule of `trials.devices`
    mesh: str | None = None  # devices that compute each trial together; None: one
    coordinator: str | None = None  # HOST:PORT of several processes, or "auto"
    num_processes: int | None = None  # that compute each trial together
    process_id: int | None = None  # of this one, from 0
    keep_params: str = "best"  # or "all" or "none": trials whose parameters are stored
    keep_snapshots: int | None = None  # N of each trial, for replays; None: none
    accept_changes: bool = False  # resume although versions, code or device changed
    stream: bool = False  # the training examples are read while a run goes on
    stream_workers: int = 0  # processes that read them; 0: a thread
    executor: str = "inline"  # a name in `executors.EXECUTORS`, or this process
    num_workers: int | None = None  # of the executor; None: all that there are
    ray_address: str | None = None  # None: "auto", the cluster of this machine
    accept_mixed_bits: bool = False  # workers may differ; their rows are marked


class Options(NamedTuple):
    """The arguments of a command that do not change its result."""

    workdir: str | None = None  # None: runs/<experiment>/<readable-name>
    overwrite: bool = False
    plot: bool | str = True  # "dashboard": with dashboard.png beside the others


class Run(NamedTuple):
    """One trial of a finished run or sweep, or a lesson, read from its folder.

    Attributes:
      config: the plan: settings, space, data, versions, device.
      summary: the content of summary.json.
      trace: name -> Series with values f32[points]; of a lesson as the lesson stored
        it.
      params: the kept parameters; None where they were not stored.
      predict: images [batch, ...] or a list of texts -> class probabilities; for a
        translator sentences -> translations; for a language model texts ->
        continuations; for a model of ratings pairs of a user and an item -> ratings;
        None for any other problem.
      model_state: of the network, beside `params`.
      recommend: of a model of ratings, (user, count=10) -> titles with predicted
        ratings; None for any other problem.
    """

    config: dict[str, Any]
    summary: dict[str, Any]
    trace: dict[str, Series]
    params: Params
    predict: Callable[[Any], Any] | None
    model_state: ModelState = None
    recommend: Callable[..., list[tuple[str, float]]] | None = None

    def __repr__(self) -> str:
        """Returns the experiment, the status and the curves in one line."""
        return shown.of(
            self,
            experiment=self.config.get("settings", {}).get("experiment"),
            status=self.summary.get("status"),
            trace=list(self.trace),
            params=shown.sizes(self.params),
            predict="None" if self.predict is None else "<function>",
        )


class LessonResult(NamedTuple):
    """The results of a lesson."""

    sentence: str  # the conclusion, with the measured numbers
    figures: dict[str, Any]  # name -> value, written to summary.json
    rows: list[tuple[str, str]]  # (name, value) of each line of the final table
    trace: dict[str, Series]  # values [points] or [trials, points]
    pictures: dict[str, Callable[[], bytes]]  # file name -> function that draws it
