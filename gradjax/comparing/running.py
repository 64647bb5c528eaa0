"""Trains the cells of a comparison and reads their results.

Cells that take their setting from another horizon are a second phase, because the
setting is known only when the trials of the first phase have ended.
"""

import functools
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gradjax import expressions
from gradjax.comparing import (
    forecast,
    progress,
    result,
    sharing,
    spaces,
    stored,
    timing,
    transfer,
)
from gradjax.comparing.asked import Asked
from gradjax.comparing.cells import Cell, cells_of, listing, shared_of
from gradjax.comparing.result import Comparison
from gradjax.comparing.stored import Stored
from gradjax.comparing.timing import Maker, Trained
from gradjax.errors import Interrupted
from gradjax.files import named_disk_errors
from gradjax.records import comparisons
from gradjax.report import terminal
from gradjax.tuning import outcome, searched
from gradjax.tuning.planned import Prepared
from gradjax.types import Point


class Hooks(NamedTuple):
    """What a command adds to a call."""

    say: Callable[[str], None] = lambda _: None
    warn: Callable[[str], None] = warnings.warn
    stop_requested: Callable[[], int | None] = lambda: None
    may_restart: bool = False
    command: str = "gradjax.compare"

    def pause(self, after: str) -> None:
        """Ends the comparison if a signal has requested a stop."""
        if (number := self.stop_requested()) is not None:
            raise Interrupted(number, after)


_NO_HOOKS = Hooks()
_DECIDING = ("num_threads", "lane_width")  # of a plan: with which programs compile


def run(
    asked: Asked,
    folder: Path,
    overwrite: bool = False,
    accept_changes: bool = False,
    hooks: Hooks = _NO_HOOKS,
) -> Comparison:
    """Trains what is not stored yet, and compares.

    Args:
      asked: the checked arguments.
      folder: of the comparison; its parent exists.
      overwrite: see `compare`.
      accept_changes: see `compare`.
      hooks: what a command adds.

    Raises:
        Refusal: see `compare`.
        Interrupted: a signal requested a stop; everything so far is stored.
    """
    comparisons.check_folder(folder)
    with expressions.given(asked.objects):
        cells = cells_of(asked)
        for line in forecast.size_lines(asked, cells):
            hooks.say(line)
        hooks.say(forecast.power_line(asked))
        changes = accept_changes, overwrite
        phase = functools.partial(_phase, asked, folder, changes, hooks)
        first = transfer.first_phase(cells)
        best = phase(first, cells)
        if len(first) < len(cells):
            cells = transfer.decided(cells, best)
            hooks.say("the same settings at the other horizons, without tuning")
            phase([cell for cell in cells if cell.key not in best], cells)
    return result.read(asked, cells, folder, is_stored=True)


def _phase(
    asked: Asked,
    folder: Path,
    changes: tuple[bool, bool],
    hooks: Hooks,
    own: list[Cell],
    cells: list[Cell],
) -> dict[tuple[str, str, int], Point]:
    """Trains some of all cells; returns the setting of each, by its key.

    `changes` are accept_changes and overwrite.
    """
    overwrite = changes[1]
    found = [
        stored.look(cell, asked, folder, *changes, shared_of(cell, cells, folder))
        for cell in own
    ]
    made = _makers(found, overwrite, hooks.may_restart)
    for one, make in zip(found, made, strict=True):
        if one.summary is None:
            make()  # refuses what cannot be trained before anything is written
    _create(asked, cells, folder, hooks.command)
    return _train(found, made, cells, overwrite, hooks)


def _makers(cells: list[Stored], overwrite: bool, may_restart: bool) -> list[Maker]:
    """Returns for each cell a function that makes its programs, once.

    All studies of an optimizer use the programs of the first one, if these have the
    same number of threads and the same lane width.
    """
    made: list[Maker] = []
    first: dict[tuple[str, str], Maker] = {}
    for one in cells:
        make = functools.partial(stored.prepare, one, overwrite, may_restart)
        if (of := one.cell.key[:2]) in first:
            make = functools.partial(_shared, make, first[of])
        made.append(functools.cache(make))
        first.setdefault(of, made[-1])
    return made


def _shared(make: Callable[[], Prepared], first: Maker) -> Prepared:
    """Returns a further study with the compiled programs of the first one."""
    own, known = make(), first()
    is_alike = all(own.plan[key] == known.plan[key] for key in _DECIDING)
    return own._replace(lanes=known.lanes) if is_alike else own


def _create(asked: Asked, cells: list[Cell], folder: Path, command: str) -> None:
    """Makes the folders, and writes the file of the comparison."""
    about = {
        "command": command,
        "optimizers": list(asked.optimizers),
        "baseline": asked.baseline,
        "pairs": asked.pairs,
        "spaces": {name: spaces.shown(one) for name, one in asked.spaces.items()},
        "search": asked.search,
        "num_trials": asked.num_trials,
        "num_seeds": asked.num_seeds,
        "schedule": asked.schedule,
        "seed": asked.seed,
        "horizons": list(asked.horizons),
        "retune": asked.retune,
        **({"studies": asked.studies} if asked.studies > 1 else {}),
    }
    with named_disk_errors(folder):
        folder.mkdir(exist_ok=True)
        comparisons.write(folder, about, listing(cells))
        for cell in cells:
            (folder / cell.folder).parent.mkdir(exist_ok=True)


def _train(
    cells: list[Stored],
    made: list[Maker],
    all_cells: list[Cell],
    overwrite: bool,
    hooks: Hooks,
) -> dict[tuple[str, str, int], Point]:
    """Trains the cells one after another; those that are whole are only read.

    When all cells of a problem are trained, the time of their gradients is measured,
    and their programs are forgotten, because many programs fill the memory.
    """
    left = [forecast.left_of(one, overwrite) for one in cells]
    estimated = forecast.announce(made, left, hooks.say, hooks.pause)
    begun = [one for one, of in zip(cells, left, strict=True) if of.num_runs]
    if said := sharing.alone_line(begun):
        hooks.say(said)
    known = [one.cell for one in cells]
    if said := forecast.later_line(all_cells, known, left, estimated):
        hooks.say(said)
    clock, trained = progress.Clock(estimated, time.monotonic()), []
    chosen: dict[tuple[str, str, int], Point] = {}
    for k, (one, make) in enumerate(zip(cells, made, strict=True)):
        if one.summary is not None:
            best = one.best
        else:
            found = _train_one(one, make(), overwrite and one.is_other, hooks)
            best = timing.best_point(found)
            if left[k].num_runs:
                more = f", about {terminal.duration(clock.left(k + 1))} left"
                line = progress.cell_line(one.cell, found, one.work.problem.target)
                hooks.say(f"{k + 1} of {len(cells)}  {line}{more}")
        trained.append(Trained(one, make, best))
        chosen[one.cell.key] = timing.first_point(make()) if best is None else best
        if [of.cell.label for of in cells[k + 1 : k + 2]] != [one.cell.label]:
            timing.measure(trained, hooks.say, hooks.warn, hooks.pause)
            for of in trained:
                of.made.cache_clear()
            trained = []
    return chosen


def _train_one(
    one: Stored, made: Prepared, is_replaced: bool, hooks: Hooks
) -> searched.Found:
    cell = one.cell
    reporter = progress.reporter(cell.name, hooks.say)
    with searched.opened(made, hooks.warn, is_replaced) as store:
        found = searched.run(made, store, reporter, hooks.stop_requested)
        about = {"experiment": "compare", "command": hooks.command}
        outcome.summarize(made, store, found, about | {"problem": cell.task.name})
    return found
