"""The cells of a comparison: a problem with its budget, and an optimizer.

Each cell has a record of its own, made by the functions of `gradjax.tune`. Its folder
has a digest of all that decides its results, so a cell does not depend on the others.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from gradjax import optimizers
from gradjax.comparing import trunks
from gradjax.comparing.asked import STUDY_SEEDS, Asked, Task
from gradjax.errors import Refusal
from gradjax.optimizers.build import nodes
from gradjax.sweeps import names, points
from gradjax.sweeps.context import FRESH_SEED
from gradjax.sweeps.shared import Shared
from gradjax.types import Point, Settings, Space, Target

# In as many steps as gradients; a step of a line search has 2 or more.
_EVALUATIONS = 40


class Cell(NamedTuple):
    """An optimizer on a problem with a budget."""

    task: Task
    label: str  # of the problem with its budget
    optimizer: str
    num_gradients: int  # of one trial
    gradients_per_step: int | None  # None: it varies
    space: Space  # without dimensions: nothing is tuned
    settings: Settings  # of the record
    num_trials: int  # of the search
    num_seeds: int  # fresh ones
    search: str
    folder: str = ""  # below that of the comparison
    study: int = 0  # which of the independent tunings
    chosen_at: str = ""  # the label of the budget at which its setting is chosen, if it
    # is not tuned at its own
    setting: Point | None = None  # the one that was chosen there; None: not known yet
    trunk: int = 0  # the first steps that it shares with the next shorter horizon
    apart: str = ""  # why it shares none, if its schedule has a trunk

    @property
    def key(self) -> tuple[str, str, int]:
        """The problem with its budget, the optimizer and the study."""
        return self.label, self.optimizer, self.study

    @property
    def is_tuned(self) -> bool:
        """Whether it has a search of its own."""
        return self.num_trials > 0

    @property
    def of_horizons(self) -> tuple[str, str, int, bool]:
        """What the cells have in common that can share their trunks."""
        return self.task.name, self.optimizer, self.study, bool(self.chosen_at)

    @property
    def seeds(self) -> range:
        """The fresh seeds."""
        first = first_fresh_seed(self.study)
        return range(first, first + self.num_seeds)

    @property
    def name(self) -> str:
        """The problem, its budget and the optimizer, and the study if not the first."""
        tuning = f", tuning {self.study + 1}" if self.study else ""
        budget = f"{self.label.partition(' gradients')[0]} gradients"
        return f"{budget}, {self.optimizer}{tuning}"


def cells_of(asked: Asked) -> list[Cell]:
    """Returns the cells of a comparison: by problem, by horizon, and then by study.

    Raises:
        Refusal: more gradients per step than the budget, or two horizons with the same
            budget.
    """
    found = [
        _cell(asked, task, horizon, study, optimizer)
        for task in asked.tasks
        for horizon in asked.horizons
        for study in range(asked.studies)
        for optimizer in asked.optimizers
    ]
    found = _fitted(found)
    folders = [cell.folder for cell in found]
    if twice := next((x for x in found if folders.count(x.folder) > 1), None):
        raise Refusal(f"horizons: two of them give the same budget, {twice.label}")
    return found


def _fitted(cells: list[Cell]) -> list[Cell]:
    """Returns the cells with the trunks that they share with shorter ones."""
    shorter: dict[Any, Cell] = {}
    found, memo = [], {}
    later = {cell.label for cell in cells if cell.chosen_at}  # see `transfer`
    for cell in cells:
        before = shorter.get(cell.of_horizons)
        is_trained = before is not None and (
            before.label not in later or cell.label in later
        )
        if before is not None and is_trained:
            one = trunks.between(before.settings, cell.settings, cell.space, memo)
            own = {"settings": one.settings, "trunk": one.steps, "apart": one.reason}
            cell = placed(cell._replace(**own))
        shorter[cell.of_horizons] = cell
        found.append(cell)
    return found


def shared_of(cell: Cell, cells: list[Cell], folder: Path) -> Shared:
    """Returns what the record of a cell shares with those of other horizons.

    Args:
      cell: one of the cells.
      cells: of the comparison, by rising horizons.
      folder: of the comparison.
    """
    alike = [one for one in cells if one.of_horizons == cell.of_horizons]
    at = [one.label for one in alike].index(cell.label)
    shorter: list[Path] = []
    while alike[at - len(shorter)].trunk:
        shorter.append(folder / alike[at - len(shorter) - 1].folder)
    after = alike[at + 1].trunk if at + 1 < len(alike) else 0
    return Shared(after, tuple(shorter))


def first_fresh_seed(study: int) -> int:
    """Returns the first fresh seed of a study, of which it has `STUDY_SEEDS`."""
    return FRESH_SEED + study * STUDY_SEEDS


def listing(cells: list[Cell]) -> list[dict[str, Any]]:
    """Returns the cells as the file of a comparison lists them."""
    return [
        {
            "problem": cell.label,
            "optimizer": cell.optimizer,
            "folder": cell.folder,
            "target": _value_of(cell.task.problem.target),
            "is_varying": cell.gradients_per_step is None,
            "num_trials": cell.num_trials,
            "seeds": [cell.seeds.start, cell.seeds.stop],
            **({"setting": cell.setting} if cell.setting is not None else {}),
            **({"chosen_at": cell.chosen_at} if cell.chosen_at else {}),
            **({"study": cell.study} if cell.study else {}),
        }
        for cell in cells
    ]


def _value_of(target: Target) -> float | None:
    """Returns the value of a target as JSON holds it: a scalar of jax as a float."""
    return None if target.value is None else float(target.value)


def placed(cell: Cell) -> Cell:
    """Returns a cell with its folder, which has a digest of all that decides it."""
    kept = points.deciding(cell.settings._replace(seeds=1))
    deciding = [kept, names.record(cell.space), cell.search]
    if cell.study:
        deciding.append(cell.study)
    own = points.digest(deciding)[:8]
    if cell.chosen_at and cell.setting is None:
        own += "-undecided"
    folder = f"{readable(cell.task.name)}/{readable(cell.optimizer)}-{own}"
    return cell._replace(folder=folder)


def _cell(asked: Asked, task: Task, horizon: float, study: int, optimizer: str) -> Cell:
    budget = _budget(task, horizon)
    per_step = _gradients_per_step(optimizer)
    num_steps = budget // (per_step or 1)
    if num_steps < 1:
        raise Refusal(
            f"{optimizer} computes {per_step} gradients in a step; the budget of"
            f" {task.name} is {budget}"
        )
    own: tuple[tuple[str, Any], ...] = (("problem", task.expression or task.name),)
    eval_every = None
    if per_step is None:  # it stops when it has spent the budget
        own = (*own, ("max_gradients", budget))
        eval_every = -(-budget // _EVALUATIONS)
    space = asked.spaces[optimizer]
    is_fixed = not space.dimensions
    is_tuned_here = is_fixed or asked.retune or horizon == asked.tuned_at
    settings = Settings(
        "compare",
        optimizer=optimizer,
        schedule=names.schedule_for(optimizer, asked.schedule),
        steps=num_steps,
        batch_size=task.batch_size,
        seed=first_fresh_seed(study) if is_fixed else asked.seed + study,
        seeds=asked.num_seeds if is_fixed else 1,
        eval_every=eval_every,
        diagnostics=asked.diagnostics,
        own=own,
    )
    return placed(
        Cell(
            task,
            _label(task, horizon),
            optimizer,
            budget,
            per_step,
            space,
            settings,
            asked.num_trials if is_tuned_here and not is_fixed else 0,
            asked.num_seeds,
            "" if is_fixed else asked.search,
            study=study,
            chosen_at="" if is_tuned_here else _label(task, asked.tuned_at),
        )
    )


def _budget(task: Task, horizon: float) -> int:
    """Returns the number of gradients of a run at a horizon."""
    return max(1, round(task.num_gradients * horizon))


def _label(task: Task, horizon: float) -> str:
    """Returns the name of a problem with its budget."""
    batch = "" if task.batch_size is None else f", batch size {task.batch_size}"
    return f"{task.name}, {_budget(task, horizon):,} gradients{batch}"


def readable(name: str) -> str:
    """Returns the letters and digits of a name, as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name)[:40].strip("-.") or "unnamed"


def _gradients_per_step(optimizer: str) -> int | None:
    """Returns the number of gradients of a step; None if it varies."""
    spec, _ = optimizers.split(optimizer)
    if any(callable(node.entry.num_gradients) for node in nodes(spec)):
        return None
    return optimizers.num_gradients(spec)


def gradients(cell: Cell) -> int:
    """Returns the gradients that all trials and seeds of a cell compute.

    Those of a trunk that its trials take over are left out. Fresh seeds of a search are
    counted in full, because their setting may be another one than at other horizons.
    """
    per_step = cell.gradients_per_step
    num_steps = cell.settings.steps or 0
    own = cell.num_gradients if per_step is None else num_steps * per_step
    return (cell.num_trials + cell.num_seeds) * own - shared_gradients(cell)


def shared_gradients(cell: Cell) -> int:
    """Returns the gradients that a cell need not compute, because it has a trunk."""
    num_runs = cell.num_trials if cell.is_tuned else cell.num_seeds
    return num_runs * cell.trunk * (cell.gradients_per_step or 0)
