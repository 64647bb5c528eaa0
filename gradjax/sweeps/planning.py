"""Plans a run or a sweep: its search, its first programs, and how they are executed.

A command and `gradjax.tune` plan with these functions, and so train the same trials to
the same bits.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import search
from gradjax.errors import Refusal
from gradjax.executors import INLINE
from gradjax.files import named_disk_errors
from gradjax.records import extension, inspection
from gradjax.sweeps import names, points, rounds, workers
from gradjax.sweeps.points import Trial
from gradjax.training import targets
from gradjax.training.numbers import checked_hparams
from gradjax.trials import cores, devices, lane_width, overhead
from gradjax.trials import lanes as lanes_of
from gradjax.trials.lanes import Lanes
from gradjax.types import Program, Search, Settings, Space, Sweep

KEEP_PARAMS = ("best", "all", "none")
_Groups = list[tuple[Program, list[Trial]]]  # programs and the trials that share them


class Execution(NamedTuple):
    """How trials are executed."""

    programs: list[Program]  # of the first round
    num_devices: int
    num_threads: int | None  # of one operation on a CPU; None on another device
    lane_width: Any  # a width, or the rule of `trials.lane_width`

    @property
    def sent(self) -> "Execution":
        """Returns how a worker executes trials: on one device, which is its own."""
        return self._replace(programs=[], num_devices=1)

    @property
    def recorded(self) -> dict[str, Any]:
        """Returns the entries of the plan that can change the last bits."""
        return {"num_threads": self.num_threads, "lane_width": self.lane_width}


def searched(
    asked: Sweep, varied: Space, optimizer: str, own: tuple[str, ...] = ()
) -> tuple[Space, Search]:
    """Checks a space, the counts of a search and its executor, and makes the search.

    Args:
      asked: the settings of the search.
      varied: the space; without dimensions for a run.
      optimizer: the optimizer, if the space varies none.
      own: the names of the experiment's own settings.

    Returns:
      The space with the optimizers of each range, and the search in the space of each.

    Raises:
        Refusal: an unknown name or search, or an impossible count.
    """
    varied = names.checked(varied, optimizer, own)
    method = search.in_turn(search.make(asked.search), names.of_each(varied))
    _check_counts(asked, varied)
    workers.check(asked)
    return varied, method


def _check_counts(asked: Sweep, varied: Space) -> None:
    """Refuses impossible numbers of trials, seeds, rungs, devices and threads."""
    if asked.keep_params not in KEEP_PARAMS:
        said = f"--keep_params={asked.keep_params}"
        raise Refusal(f"{said}: expected {', '.join(KEEP_PARAMS)}")
    is_grid = asked.search.startswith("grid")
    if asked.trials is None and not is_grid and varied.dimensions:
        raise Refusal(f"--search={asked.search}: say how many with --trials=N")
    for name, value, low in (
        ("trials", asked.trials, 1),
        ("fresh_seeds", asked.fresh_seeds, 0),
        ("halving", asked.halving, 2),
        ("lane_width", asked.lane_width, 1),
        ("num_devices", asked.num_devices, 1),
        ("num_threads", asked.num_threads, 1),
        ("keep_snapshots", asked.keep_snapshots, 1),
    ):
        if value is not None and not low <= value < 2**31:
            raise Refusal(f"--{name}={value}: must be at least {low}")


def check_devices(asked: Sweep, varied: Space, num_seeds: int) -> None:
    """Refuses several devices for a run of one seed, which one device computes."""
    count = asked.num_devices
    if count is not None and count > 1 and not varied.dimensions and num_seeds == 1:
        raise Refusal(
            f"--num_devices={count}: one device computes a run of one seed; several"
            " compute the trials of a --sweep or of --seeds=N"
        )


def first_trials(
    asked: Sweep, varied: Space, method: Search, base: Settings
) -> list[Trial]:
    """Returns the trials of the first round of a search, or those of a run."""
    count = rounds.ROUND if rounds.learns(asked) else asked.trials or rounds.MAX_POINTS
    _, found = method.ask(method.init(varied, base.seed), count)
    return rounds.trials_of(base, found, range(base.seed, base.seed + base.seeds))


def first_groups(
    base: Settings,
    asked: Sweep,
    varied: Space,
    method: Search,
    program: Callable[[Settings], Program],
) -> _Groups:
    """Makes the programs of the first round, and checks its hyperparameters.

    Args:
      base: the settings of the command; a point replaces parts of them.
      asked: the settings of the search.
      varied: the space.
      method: the search.
      program: settings of a group -> its program.

    Raises:
        Refusal: a point without a program, or with an impossible number; or a problem
            whose trials cannot be ranked.
    """
    groups = points.group(first_trials(asked, varied, method, base)).values()
    for group in groups:
        for one in group:
            points.check_common(one, groups, program)
            checked_hparams(program(one.settings), one.numbers)
        targets.check_ranked(program(group[0].settings))
    return [(program(group[0].settings), group) for group in groups]


def plan_of(
    base: Settings,
    own: dict[str, Any],
    asked: Sweep,
    varied: Space,
    data: Any,
    environment: dict[str, Any],
) -> dict[str, Any]:
    """Returns what determines the bits of every trial, without the number of trials.

    `Execution.recorded` completes it.
    """
    return {
        "kind": "trials",
        "settings": points.deciding(base._replace(seeds=1)) | {"own": own},
        "space": names.record(varied),
        "search": asked.search,
        "halving": asked.halving,
        "keep_params": asked.keep_params,
        "data": data,
        "environment": environment,
    }


def known_plan(folder: Path) -> dict[str, Any]:
    """Returns the plan of an existing record; an empty one if there is none."""
    with named_disk_errors(folder):
        return {} if inspection.is_empty(folder) else extension.current_plan(folder)


def executed(
    asked: Sweep,
    varied: Space,
    num_seeds: int,
    known: dict[str, Any],
    groups: _Groups,
    may_restart: bool,
) -> Execution:
    """Decides devices, threads and lane width, and starts the backend with them.

    Args:
      asked: the settings of the search, which come first.
      varied: the space.
      num_seeds: seeds of each point.
      known: the plan of an existing record, which comes before the rules, so that a
        sweep that resumes has the same bits; an empty one if there is none.
      groups: of the first round.
      may_restart: whether the CPU backend may be restarted with other threads.

    Raises:
        Refusal: more devices than threads, for programs whose bits depend on these; or
            diagnostics that need more memory than there is.
    """
    programs = [program for program, _ in groups]
    num_devices = _num_devices(asked, varied, num_seeds)
    threads = _threads(asked, known, programs, may_restart)
    num_devices = _num_used(asked, num_devices, threads, programs)
    started = _start_backend(threads, num_devices, may_restart)
    # A record of small programs keeps its number, with which the bits are the same.
    is_kept = threads == known.get("num_threads") and all(
        map(devices.is_small, programs)
    )
    threads = threads if is_kept else started
    num_trials = max(len(own) for _, own in groups)
    num_calls = asked.num_workers or num_devices  # that compute at the same time
    width = _width(asked, varied, known, num_trials, num_calls)
    for one in programs:
        own = width if isinstance(width, int) else lane_width.default_width(one, width)
        overhead.check_memory(one, own, cores.devices(1)[0])
    return Execution(programs, num_devices, threads, width)


def lanes_by_group(
    execution: Execution, program: Callable[[Settings], Program], *, is_run: bool
) -> Callable[[Settings], Lanes]:
    """Returns a function from the settings of a group to its lanes, made once.

    Args:
      execution: how trials are executed.
      program: settings of a group -> its program.
      is_run: whether the train split is evaluated at the end.
    """

    @functools.cache
    def lanes(group: Settings) -> Lanes:
        width, made = execution.lane_width, program(group)
        targets.check_ranked(made)  # of a group that a later round has found
        if not isinstance(width, int):
            width = lane_width.default_width(made, tuple(map(tuple, width)))
        return lanes_of.lanes(made, width, execution.num_devices, with_train=is_run)

    return lanes


def _num_devices(asked: Sweep, varied: Space, num_seeds: int) -> int:
    """Returns how many devices the trials can use; a run uses at most one per seed."""
    if asked.num_devices is not None:
        return asked.num_devices
    available = cores.num_devices()
    return available if varied.dimensions else min(available, num_seeds)


def _threads(
    asked: Sweep, known: dict[str, Any], programs: list[Program], may_restart: bool
) -> int | None:
    """Returns the number of threads: as asked for, as in the record, or by the rule.

    An existing record decides before the rule, so that a resumed run has the same bits.
    """
    if not cores.is_cpu():
        return None
    if chosen := asked.num_threads or known.get("num_threads"):
        return chosen
    if asked.executor != INLINE and all(map(devices.is_small, programs)):
        return 1  # so that each core has a worker
    if not may_restart:
        return devices.num_threads()
    return max(map(devices.threads_for, programs))


def _num_used(
    asked: Sweep, num_devices: int, threads: int | None, programs: list[Program]
) -> int:
    """Returns the number of devices that can be used with this number of threads.

    Calls that run at the same time need a thread each. With more threads than the plan
    states, the last bits of a large network could differ from those of one call alone.
    """
    if threads is None or threads >= num_devices:
        return num_devices
    if all(map(devices.is_small, programs)):
        return num_devices
    if asked.num_devices is not None:
        raise Refusal(
            f"--num_devices={num_devices}: with --num_threads={threads} at most"
            f" {threads}, because the results of a network of this size depend on the"
            " number of threads"
        )
    return threads


def _start_backend(
    threads: int | None, num_devices: int, may_restart: bool
) -> int | None:
    """Starts the backend with this number of threads; returns that of the plan."""
    if threads is None:
        return None
    if may_restart:
        devices.use(max(threads, num_devices))
        return threads
    return devices.num_threads()


def _width(
    asked: Sweep,
    varied: Space,
    known: dict[str, Any],
    num_trials: int,
    num_devices: int,
) -> Any:
    """Returns the lane width or its rule: as asked for, as in the record, or usual."""
    if asked.lane_width is not None:
        return asked.lane_width
    if known:
        return known.get("lane_width", 1)
    if not varied.dimensions:
        return 1
    rule = lane_width.default_widths()
    return lane_width.cap(rule, num_trials, num_devices)
