"""Plans a run or a sweep: its search, its first programs, and how they are executed.

A command and `gradjax.tune` plan with these functions, and so train the same trials to
the same bits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradjax import search
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors
from gradjax.records import extension, inspection
from gradjax.sweeps import names, points, rounds, workers
from gradjax.sweeps.execution import Groups
from gradjax.sweeps.points import Trial
from gradjax.training import targets
from gradjax.training.numbers import checked_hparams
from gradjax.types import Program, Search, Settings, Space, Sweep

KEEP_PARAMS = ("best", "all", "none")


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
) -> Groups:
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
