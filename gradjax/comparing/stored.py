"""What a record says of a cell: whether it is whole, and whether it is of this plan."""

import contextlib
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.comparing.asked import Asked
from gradjax.comparing.cells import Cell, listing
from gradjax.errors import Refusal
from gradjax.records import comparisons, inspection, journal, opening
from gradjax.records.load import summary_of
from gradjax.records.plan import check_same
from gradjax.sweeps import planning, rounds
from gradjax.sweeps.shared import Shared
from gradjax.tuning import planned
from gradjax.tuning.planned import Prepared, Work
from gradjax.types import Space


class Stored(NamedTuple):
    """A cell, what it would train, and what an existing record says of it."""

    cell: Cell
    work: Work
    folder: Path
    plan: Callable[[Work, Space], dict[str, Any]]
    known: dict[str, Any]  # the plan of the record; an empty one if there is none
    is_other: bool  # whether the record is of another plan or environment
    summary: dict[str, Any] | None  # if all that is asked for is stored

    @property
    def best(self) -> dict[str, Any] | None:
        """The chosen point that the summary names; None if every trial diverged."""
        (own,) = (self.summary or {})["optimizers"].values()
        return own["best"]


def look(
    cell: Cell,
    asked: Asked,
    folder: Path,
    accept_changes: bool = False,
    overwrite: bool = False,
    shared: Shared = Shared(),  # noqa: B008
) -> Stored:
    """Reads what is stored of a cell; neither makes its programs nor writes.

    Args:
      cell: of the comparison.
      asked: the arguments of the comparison.
      folder: of the comparison.
      accept_changes: continue although versions, sources or the device have changed.
      overwrite: a record of another plan will be replaced.
      shared: what the record shares with those of other horizons.

    Raises:
        Refusal: an unknown name, an object whose content cannot be compared, a damaged
            plan, another plan, or a record with more trials than asked for.
    """
    objects = {path: one for path, one in asked.objects.items() if _names(cell, path)}
    problem = cell.task.problem
    parts = {} if cell.task.expression else planned.parts_of(problem)
    wanted = asked.executed._replace(
        search=cell.search if cell.num_trials else "grid",
        trials=cell.num_trials or None,
        fresh_seeds=cell.num_seeds,
        keep_params="none",
        accept_changes=accept_changes,
    )
    first = cell.seeds.start
    work = Work(
        problem,
        cell.space,
        cell.settings,
        wanted,
        objects,
        first_fresh_seed=first,
        shared=shared,
    )
    place = folder / cell.folder
    plan = functools.partial(planned.plan_of, parts | objects)
    known = planning.known_plan(place)
    if not known:
        return Stored(cell, work, place, plan, known, False, None)
    varied, _ = planning.searched(wanted, cell.space, cell.optimizer)
    recorded = {name: known.get(name) for name in ("num_threads", "lane_width")}
    asked_for = plan(work, varied) | recorded
    is_other = _is_other(place, known, asked_for, accept_changes, overwrite)
    if not (is_other and overwrite):
        _check_trials(cell, place)
    found = None if is_other else _summary(cell, place)
    return Stored(cell, work, place, plan, known, is_other, found)


def prepare(stored: Stored, overwrite: bool, may_restart: bool) -> Prepared:
    """Plans the trials of a cell and makes its programs; nothing is written.

    Args:
      stored: the cell.
      overwrite: replace a record with another plan.
      may_restart: see `planned.prepare`.

    Raises:
        Refusal: what `gradjax.tune` refuses.
    """
    known = {} if overwrite and stored.is_other else stored.known
    place, plan = stored.folder, stored.plan
    return planned.prepare(
        stored.work, place, plan, known=known, may_restart=may_restart
    )


def _summary(cell: Cell, place: Path) -> dict[str, Any] | None:
    """Returns the summary of a record that holds exactly what a cell asks for."""
    with contextlib.suppress(Refusal):  # there is none, or it is damaged
        found = summary_of(place)
        (listed,) = listing([cell])
        if comparisons.has_all(listed, found) and _is_whole(place):
            return found
    return None


def _is_whole(place: Path) -> bool:
    """Returns whether no file of a record is damaged, but for states of a trunk."""
    lost = opening.open_to_read(place, say=lambda _: None).lost
    return all(line["kind"] == "states" for line in lost.values())


def _names(cell: Cell, path: str) -> bool:
    """Returns whether a cell has an object that was given without an import path."""
    pattern = rf"\b{re.escape(path)}\b"
    texts = (cell.optimizer, cell.settings.schedule)
    return any(re.search(pattern, text) for text in texts)


def _is_other(
    place: Path,
    known: dict[str, Any],
    plan: dict[str, Any],
    accept_changes: bool,
    overwrite: bool,
) -> bool:
    """Returns whether a record is of another plan or environment.

    Raises:
        Refusal: it is, and this is neither accepted nor will it be replaced.
    """
    before = inspection.accepted_environments(place)
    wanted = journal.plain(plan, "the plan")
    try:
        return check_same(place, known, before, wanted, accept_changes)
    except Refusal:
        if overwrite:
            return True
        raise


def _check_trials(cell: Cell, place: Path) -> None:
    """Refuses fewer trials than are stored, because all optimizers get the same."""
    events = opening.open_to_read(place, say=lambda _: None).events
    num_stored = sum(len(event["ids"]) for event in rounds.rounds(events, "search"))
    if num_stored > cell.num_trials > 0:
        raise Refusal(
            f"--trials={cell.num_trials}: {place} holds {num_stored} trials of"
            f" {cell.optimizer}; give as many, or another --workdir"
        )
