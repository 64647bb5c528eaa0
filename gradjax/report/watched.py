"""A look at a record as lines on a terminal."""

import numpy as np

from gradjax.records.reading import is_of_layer
from gradjax.report.look import Look, heights, resampled
from gradjax.report.terminal import number
from gradjax.types import Series

_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#@"
_BAR = 30  # columns
_SPARK = 24
STATES = {
    "running": "running",
    "finished": "finished",
    "stopped": "no process writes it; the same command resumes it",
}


def lines(look: Look, width: int, height: int, encoding: str) -> list[str]:
    """Returns the lines of a look, at most as wide and as many as the terminal has.

    Args:
      look: at a record.
      width: of the terminal, in columns.
      height: of the terminal, in lines; at least 8.
      encoding: of the terminal; one without block characters gets others.
    """
    marks = _BLOCKS if _can_show(_BLOCKS, encoding) else _ASCII
    done = round(_BAR * look.share)
    bar = f"[{'#' * done}{'-' * (_BAR - done)}]"
    wide = max(len(name) for name, _ in look.rows)
    found = [f"{look.folder}: {STATES[look.state]}", f"  {bar} {look.share:4.0%}"]
    found += [f"  {name:<{wide}}  {value}" for name, value in look.rows]
    found += _curves(look, marks, max(height - len(found) - 3, 1))
    return [shown(line)[:width] for line in found[: max(height - 1, 8)]]


def sparkline(series: Series, marks: str = _BLOCKS, count: int = _SPARK) -> str:
    """Returns a curve as a word of blocks, at most `count`; a gap where it is NaN."""
    _, values = resampled(series, count)
    places = heights(values) * (len(marks) - 1)
    return "".join(
        " " if np.isnan(place) else marks[round(float(place))] for place in places
    )


def shown(text: str) -> str:
    """Returns a text without characters that could move the cursor."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _curves(look: Look, marks: str, room: int) -> list[str]:
    """Returns a line for each curve that is not of a single layer, if there is room."""
    if not look.curves:
        return ["  no curve is stored yet"]
    names = [name for name in look.curves if not is_of_layer(name)]
    drawn = names[: room if len(names) <= room else room - 1]
    wide = max((len(name) for name in drawn), default=0)
    found = [f"  curves of {look.trial}"]
    for name in drawn:
        series = look.curves[name]
        last = f"{number(float(series.values[-1])):>11}"
        words = name.replace("_", " ")
        found.append(f"  {words:<{wide}} {last}  {sparkline(series, marks)}")
    if left := len(look.curves) - len(drawn):
        what = "more" if len(drawn) < len(names) else "of single layers"
        found.append(f"  {left:,} curves {what}: --html=page.html shows all")
    return found


def _can_show(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
