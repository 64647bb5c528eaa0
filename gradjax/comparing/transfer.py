"""Cells that take their setting from another horizon, and are not tuned anew.

With `retune=False` each optimizer is tuned at one horizon alone. Its other cells are
undecided until these trials have ended; then they are runs of the chosen setting.
"""

from collections.abc import Mapping
from typing import Any

from gradjax import expressions, optimizers
from gradjax.comparing.cells import Cell, placed
from gradjax.sweeps import names
from gradjax.types import Point, Settings, Space


def first_phase(cells: list[Cell]) -> list[Cell]:
    """Returns the cells of the problems and budgets of which every cell is decided.

    Cells of one problem and budget are trained together, because their gradients are
    timed in turns.
    """
    later = {cell.label for cell in cells if cell.chosen_at}
    return [cell for cell in cells if cell.label not in later]


def decided(cells: list[Cell], chosen: Mapping[Any, Point]) -> list[Cell]:
    """Returns the cells with the settings that were chosen at another horizon.

    Args:
      cells: of the comparison.
      chosen: the key of a cell that was tuned -> its chosen setting. If all its trials
        diverged, it is the first setting that was tried.
    """
    return [
        _with(cell, chosen[(cell.chosen_at, *cell.key[1:])]) if cell.chosen_at else cell
        for cell in cells
    ]


def _with(cell: Cell, point: Point) -> Cell:
    """Returns a cell as a run of a setting, over its fresh seeds."""
    settings = _written(cell.settings, point)._replace(
        seed=cell.seeds.start, seeds=cell.num_seeds
    )
    known = cell._replace(setting=point, settings=settings, space=Space(()), search="")
    return placed(known)


def _written(settings: Settings, point: Point) -> Settings:
    """Writes the values of a point into the optimizer and the schedule of a run."""
    for name, value in point.items():
        path, number = names.number_of(name, value, settings.optimizer)
        literal: Any = number
        if isinstance(number, str) and "(" in number:  # a list keeps calls as text
            literal = expressions.parse(f"choice({number})").args[0]
        if path == names.RATE:
            settings = settings._replace(learning_rate=number)
        elif path.startswith("schedule."):
            call = expressions.parse(settings.schedule)
            argument = path.partition(".")[2]
            others = [pair for pair in call.kwargs if pair[0] != argument]
            text = call._replace(kwargs=(*others, (argument, literal)))
            settings = settings._replace(schedule=expressions.unparse(text))
        else:
            text = optimizers.write(settings.optimizer, path, literal)
            settings = settings._replace(optimizer=text)
    return settings
