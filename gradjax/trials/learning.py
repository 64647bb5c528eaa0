"""Says of which trials nothing was learned, because no gradient changed a parameter."""

import warnings

import numpy as np

from gradjax.types import Trials


def notes(found: Trials) -> list[str | None]:
    """Returns for each trial the line that nothing was learned, or None.

    There is a line only of a trial that came to its end.
    """
    has_learned = np.broadcast_to(found.has_learned, len(found.status))
    return [
        None
        if learned or status not in ("finished", "stopped early")
        else _line(found, k, int(found.num_steps[k]))
        for k, (learned, status) in enumerate(
            zip(has_learned, found.status, strict=True)
        )
    ]


def warn(found: Trials) -> None:
    """Warns if nothing was learned in any trial."""
    lines = notes(found)
    if lines and lines[0] is not None and all(lines):
        warnings.warn(lines[0], stacklevel=3)


def _line(found: Trials, k: int, num_steps: int) -> str:
    rates = found.trace["learning_rate"].values[k]
    rates = rates[~np.isnan(rates)]
    if rates.size and not rates.any():
        return "nothing was learned, because the learning rate is 0 in every step"
    return (
        f"nothing was learned in {num_steps:,} steps, because every gradient or every"
        " update was exactly zero; gradjax.check_gradient shows which"
    )
