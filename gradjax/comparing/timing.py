"""The time of a gradient, measured once for each cell after its training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.comparing.stored import Stored
from gradjax.records import opening, reading
from gradjax.records import store as stored
from gradjax.records.outcomes import SECONDS
from gradjax.sweeps import choose
from gradjax.sweeps.rounds import trials_of
from gradjax.trials.timing import interleaved_step_seconds
from gradjax.tuning import searched
from gradjax.tuning.planned import Prepared
from gradjax.types import Hparams, Program

Say = Callable[[str], None]
Maker = Any  # () -> Prepared, made once; `cache_clear` forgets it


class Trained(NamedTuple):
    """A cell whose trials are stored."""

    of: Stored
    made: Maker
    best: dict[str, Any] | None  # the chosen point; None: every trial diverged


def measure(trained: list[Trained], say: Say, warn: Say, pause: Say) -> None:
    """Measures the cells that have no time yet, and adds it to their journals.

    Their programs run alone and take turns. The cells of further studies are left out,
    because they have the programs of the first one.

    Args:
      trained: the cells of one problem and one budget.
      say: is called with a line before the measurement.
      warn: is called with a line about a repaired record.
      pause: is called with what was done, and may end the comparison.
    """
    first = [one for one in trained if not one.of.cell.study]
    new = [one for one in first if seconds_per_gradient(one.of.folder) is None]
    if not new:
        return
    pause("the training")
    say(f"timing the gradients on {new[0].of.cell.label}")
    found = interleaved_step_seconds([_run(one) for one in new])
    for one, step_s in zip(new, found, strict=True):
        with searched.opened(one.made(), warn) as store:
            per_step = one.of.cell.gradients_per_step or _mean_gradients(store)
            stored.append(store, {SECONDS: step_s / per_step})


def seconds_per_gradient(folder: Path) -> float | None:
    """Returns the measured time of a gradient; None if it was not measured yet."""
    store = opening.open_to_read(folder, say=lambda _: None)
    return reading.last_of(store, SECONDS)


def _mean_gradients(store: Any) -> float:
    """Returns the mean number of gradients of a step, over all stored trials."""
    rows = [row for row in reading.rows(store).values() if row.get("steps")]
    return sum(row["num_gradients"] for row in rows) / sum(row["steps"] for row in rows)


def _run(one: Trained) -> tuple[Program, Hparams]:
    """Returns the program of the chosen setting, and its numbers."""
    made, point = one.made(), one.best
    base = made.work.settings
    point = first_point(made) if point is None else point
    (trial,) = trials_of(base, [point], range(base.seed, base.seed + 1))
    return made.lanes(trial.settings).program, trial.numbers


def first_point(made: Prepared) -> dict[str, Any]:
    """Returns the first setting of a search."""
    method, seed = made.method, made.work.settings.seed
    _, (point,) = method.ask(method.init(made.space, seed), 1)
    return point


def best_point(found: searched.Found) -> dict[str, Any] | None:
    """Returns the chosen setting of a cell; None if every trial diverged."""
    scores = [one for of in found.done for one in of.scores]
    chosen = choose.best(choose.setting_scores(scores))
    return None if chosen is None else chosen.point
