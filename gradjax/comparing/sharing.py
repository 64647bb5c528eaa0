"""What is said beforehand of trunks that horizons share, and what these save."""

from gradjax.comparing.cells import Cell, shared_gradients
from gradjax.comparing.stored import Stored
from gradjax.sweeps.shared import has_trunk


def lines(cells: list[Cell]) -> list[str]:
    """Returns whether horizons share their trunks, if their schedule has one."""
    saved = sum(map(shared_gradients, cells))
    reasons: dict[str, str] = {}
    for cell in cells:
        if cell.apart:
            reasons.setdefault(cell.optimizer, cell.apart)
    if not saved:
        return [f"trunks are not shared, because {x}" for x in [*reasons.values()][:1]]
    sharing = {cell.optimizer for cell in cells if cell.trunk}
    found = [f"the horizons share their trunks: {saved:,} gradients are computed once"]
    for cell in cells:
        if cell.chosen_at and not cell.trunk:
            reasons.setdefault(cell.optimizer, "its setting is chosen at one of them")
    for name in dict.fromkeys(cell.optimizer for cell in cells):
        if name in reasons or name not in sharing:
            some = " at every horizon" if name in sharing else ""
            reason = reasons.get(name, "its steps depend on the length of the run")
            found.append(f"  not those of {name}{some}, because {reason}")
    return found


def parts(one: Stored) -> tuple[float, float]:
    """Returns the parts of a trial and of a fresh seed that a cell computes itself."""
    cell = one.cell
    if not cell.trunk or not any(map(has_trunk, one.work.shared.shorter)):
        return 1.0, 1.0
    part = 1.0 - cell.trunk / (cell.settings.steps or 1)
    return part, 1.0 if cell.is_tuned else part


def alone_line(cells: list[Stored]) -> str:
    """Returns which cells compute their trunk, because no states are stored; or ""."""
    alone = [one.cell.name for one in cells if one.cell.trunk and parts(one)[0] == 1.0]
    if not alone:
        return ""
    return (
        f"{len(alone)} of them compute their trunk, because shorter horizons were"
        f" trained without storing it: {', '.join(alone)}"
    )
