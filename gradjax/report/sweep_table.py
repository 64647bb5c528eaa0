"""The closing table of a sweep: a row for each optimizer, and notes below."""

import math
from typing import Any

from gradjax.report.terminal import number
from gradjax.sweeps import names

_GAP = "  "


def lines(summary: dict[str, Any]) -> list[str]:
    """Returns the lines of the table.

    A row has the best setting, and the mean and the interval of each of two figures
    over the fresh seeds: the metric that chose the setting, and the same metric on the
    test split. Without fresh seeds there are the figures of the search.

    Args:
      summary: of a sweep, as `report.summary.summarize` makes it.
    """
    metric = summary["metric"]
    test = f"test_{metric.partition('_')[2]}"
    found = summary["optimizers"]
    shown = [metric]
    if any(test in of.get("fresh", {}) for of in found.values()):
        shown.append(test)
    notes: list[str] = []
    rows = [["optimizer", "best of", "best setting", *map(words, shown), "notes"]]
    for name, of in found.items():
        rows.append(_row(name, of, shown, _marks(summary, of, shown, notes)))
    return [
        *_aligned(rows),
        f"  {_seeds(found)}",
        *(f"  {k}: {note}" for k, note in enumerate(notes, 1)),
    ]


def resolution_note(
    summary: dict[str, Any], name: str, spread: dict[str, Any]
) -> str | None:
    """Returns a note if the interval of an accuracy is narrower than one example.

    Args:
      summary: of a run or a sweep; `num_examples` has the size of each split.
      name: the split and the metric, as in "test_accuracy".
      spread: the mean and the bounds of the interval.
    """
    split, _, metric = name.partition("_")
    count = summary.get("num_examples", {}).get(split)
    if "accuracy" not in metric or not count or not is_known(spread.get("low")):
        return None
    if spread["high"] - spread["low"] >= 1 / count:
        return None
    return (
        f"{words(name)} has steps of {1 / count:.2g} (1 of {count:,} examples), so its"
        " interval is too narrow to mean anything"
    )


def words(name: str) -> str:
    """Returns the words of a name: "test_accuracy" is "test accuracy"."""
    return name.replace("_", " ")


def is_known(value: Any) -> bool:
    """Returns whether a figure of a summary is a finite number."""
    return value is not None and math.isfinite(value)


def _row(name: str, of: dict[str, Any], shown: list[str], marks: str) -> list[str]:
    figures = of.get("fresh") or of.get("searched") or {}
    return [
        name,
        f"{of['settings']:,}",
        _setting(of["best"]),
        *(_figure(figures.get(one)) for one in shown),
        marks,
    ]


def _marks(
    summary: dict[str, Any], of: dict[str, Any], shown: list[str], notes: list[str]
) -> str:
    """Returns the numbers of the notes of a row; new notes are added to the list."""
    figures = of.get("fresh") or of.get("searched") or {}
    own = list(of["warnings"])
    for name in shown:
        if name in figures:
            note = resolution_note(summary, name, figures[name])
            own += [note] if note else []
    notes += [note for note in own if note not in notes]
    return " ".join(str(notes.index(note) + 1) for note in own)


def _setting(point: dict[str, Any] | None) -> str:
    if point is None:
        return "none"
    named = {k: v for k, v in point.items() if k != "optimizer"}
    said = [
        f"{names.words(k)} " + (f"{v:.4g}" if isinstance(v, float) else str(v))
        for k, v in named.items()
    ]
    return ", ".join(said) or "its defaults"


def _figure(spread: dict[str, Any] | None) -> str:
    """Returns a mean and its interval, or how many seeds diverged."""
    if spread is None:
        return ""
    values = spread["values"]
    lost = sum(not is_known(value) for value in values)
    if lost:
        return f"{lost} of {len(values)} seeds diverged"
    said = number(spread["mean"])
    if is_known(spread["low"]):
        said += f" [{number(spread['low'])}, {number(spread['high'])}]"
    return said


def _seeds(found: dict[str, Any]) -> str:
    """Returns the line that says what the figures are."""
    figures = [of.get("fresh") or of.get("searched") or {} for of in found.values()]
    counts = sorted({len(one["seeds"]) for one in figures if one})
    if not counts:
        return "every trial diverged"
    is_fresh = any("fresh" in of for of in found.values())
    kind = "fresh seeds" if is_fresh else "seeds of the search, which chose the setting"
    if counts == [1]:
        return "the figures are of one seed" + ("" if is_fresh else " of the search")
    number_of = " to ".join(str(one) for one in sorted({counts[0], counts[-1]}))
    return f"mean [95 % interval] over {number_of} {kind}"


def _aligned(rows: list[list[str]]) -> list[str]:
    """Returns the rows with columns of equal width, without an empty last column."""
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [("  " + _GAP.join(map(str.ljust, row, widths))).rstrip() for row in rows]
