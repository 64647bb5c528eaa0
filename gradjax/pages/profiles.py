"""The comparison over several problems as JSON values: profiles, scores and ranks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradjax.analysis.across import Across, Profiles, across
from gradjax.analysis.comparison import Table
from gradjax.analysis.profiles import MAX_RATIO
from gradjax.pages.cells import number


def profiles(tables: Sequence[Table]) -> dict[str, Any] | None:
    """Returns what the page shows of several problems; None if there is only one.

    Returns:
      {"problems", "maxRatio", "profiles", "notes", "heads", "rows"}. A profile is
      {"name", "ratios"} with {"optimizer", "ratios"}, null where the target was not
      reached; a row is {"optimizer", "values"} with a value for each further head.
    """
    found = across(tables)
    if found is None:
        return None
    return {
        "problems": list(found.problems),
        "optimizers": list(found.optimizers),
        "maxRatio": MAX_RATIO,
        "profiles": [
            {"name": name, "ratios": _ratios(found, of)}
            for name, of in (
                ("tuned settings on fresh seeds", found.profiles),
                ("AlgoPerf's rule", found.study_profiles),
            )
            if of is not None
        ],
        "notes": _notes(found),
        "heads": ["optimizer", *(head for head, _ in _figures(found))],
        "rows": [
            {
                "optimizer": name,
                "values": [float(values[k]) for _, values in _figures(found)],
            }
            for k, name in enumerate(found.optimizers)
        ],
    }


def _ratios(found: Across, of: Profiles) -> list[dict[str, Any]]:
    return [
        {"optimizer": name, "ratios": [number(one) for one in own]}
        for name, own in zip(found.optimizers, of.ratios.tolist(), strict=True)
    ]


def _figures(found: Across) -> list[tuple[str, np.ndarray]]:
    """Returns the columns of the table: (head, f64[optimizers])."""
    columns = [("mean rank", found.ranks.mean)]
    for name, of in (("", found.profiles), ("5 x 3 rule: ", found.study_profiles)):
        if of is not None:
            columns.append((f"{name}integral of the profile", of.integral))
            columns.append((f"{name}AlgoPerf's score", of.score))
    return columns


def _notes(found: Across) -> list[str]:
    problems, difference = len(found.problems), found.ranks.critical_difference
    notes = [
        f"Times to target are medians in {found.unit}, each divided by the shortest one"
        f" on its problem. The integral of a profile is exact up to a factor of"
        f" {MAX_RATIO:g}; the score is AlgoPerf's trapezoid of 100 points. Both depend"
        " on the optimizers that are compared."
    ]
    if found.profiles is None:
        notes[0] = (
            f"There are no profiles, because {found.times_note}. A baseline or --target"
            " gives a target."
        )
    if found.study_note:
        notes.append(f"AlgoPerf's rule does not apply: {found.study_note}.")
    else:
        notes.append(
            "AlgoPerf's rule divides the first 15 trials of a search into 3 studies of"
            " 5, takes the fastest trial of each study, and the median of the studies."
        )
    said = f"Ranks are means over {problems} problems of the ranks of the medians."
    said += (
        f" Mean ranks that differ by less than {difference:.2f} cannot be told apart"
        " (Nemenyi, 5 %)"
    )
    if not np.isnan(found.ranks.p_value):
        said += f"; Friedman's test has p = {found.ranks.p_value:.2g}"
    notes.append(said + ".")
    if found.left_out:
        notes.append(
            f"Left out, because not run on all problems: {', '.join(found.left_out)}."
        )
    return notes
