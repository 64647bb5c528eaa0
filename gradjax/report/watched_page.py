"""A look at a record as the content of the page of `scripts.watch`."""

from typing import Any

import numpy as np

from gradjax.records.reading import is_of_layer
from gradjax.report.look import Look, heights, resampled
from gradjax.report.terminal import number
from gradjax.report.watched import STATES
from gradjax.types import Series

_NUM_POINTS = 150  # of a curve in the page


def content(look: Look) -> dict[str, Any]:
    """Returns what `pages.watch.watch_page` shows of a look."""
    usual = [name for name in look.curves if not is_of_layer(name)]
    layers = [name for name in look.curves if is_of_layer(name)]
    groups = [("", usual), ("Single layers", layers)]
    return {
        "title": look.folder,
        "state": STATES[look.state],
        "share": look.share,
        "rows": look.rows,
        "about": look.trial,
        "groups": [
            (heading, [_curve(name, look.curves[name]) for name in names])
            for heading, names in groups
            if names
        ],
    }


def _curve(name: str, series: Series) -> dict[str, Any]:
    values = np.asarray(series.values, np.float64)
    known = values[np.isfinite(values)]
    said = "no finite value"
    if known.size:
        said = f"{number(float(known.min()))} to {number(float(known.max()))}"
    first, last = (int(series.steps[k]) for k in (0, -1))
    return {
        "name": name.replace("_", " "),
        "last": number(float(values[-1])),
        "range": said,
        "steps": f"steps {first:,} to {last:,}",
        "lines": _lines(series),
    }


def _lines(series: Series) -> list[list[tuple[float, float]]]:
    """Returns the parts of a curve without gaps, as points (x, y) in [0, 1]."""
    steps, values = resampled(series, _NUM_POINTS)
    x = (steps - steps[0]) / max(float(steps[-1] - steps[0]), 1.0)
    y = heights(values)
    found: list[list[tuple[float, float]]] = [[]]
    for place, height in zip(x.tolist(), y.tolist(), strict=True):
        if np.isnan(height):
            found.append([])
        else:
            found[-1].append((place, height))
    # A line of one point would not be seen.
    return [[*one, *one] if len(one) == 1 else one for one in found if one]
