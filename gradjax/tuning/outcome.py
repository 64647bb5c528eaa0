"""The summary of a call of `tune`, and the best settings that it returns."""

import contextlib
from typing import Any

import numpy as np

from gradjax import records
from gradjax.data import sizes
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes, write_json
from gradjax.records import store as stored
from gradjax.records.inspection import environments
from gradjax.report import summary, trained
from gradjax.sweeps import choose
from gradjax.sweeps.choose import GroupResult
from gradjax.tuning.planned import Prepared
from gradjax.tuning.searched import Found
from gradjax.types import Best


def summarize(made: Prepared, store: Any, found: Found, about: dict[str, Any]) -> None:
    """Writes summary.json and the files of the problem, unless they are of this sweep.

    The summary is the same as that of a command; a table can be printed from it.

    Args:
      made: the plan.
      store: open to write.
      found: the results.
      about: further figures of the summary, such as the name of the problem.
    """
    request = {
        "num_changes": len(environments(stored.events(store))),
        "request": choose.request([*found.done, *found.fresh]),
    }
    with contextlib.suppress(Refusal):  # there is none, or it is damaged
        if records.summary_of(store.folder).items() >= request.items():
            return
    plan, settings = made.programs[0].plan, made.work.settings
    size = plan.batch_size
    figures = {
        "problem": (plan.problem.about or {}).get("name", "own problem"),
        "dataset": None,
        "space": [one.name for one in made.work.space.dimensions],
    }
    setup = summary.Setup(
        plan.problem,
        figures | about,
        settings.keep,
        settings.patience,
        size,
        sizes.epoch_steps(plan.problem.data, size),
    )
    reports = trained.reports(found.loaded)
    shown = summary.summarize(setup, found.done, found.fresh, reports) | request
    with named_disk_errors(store.folder):
        for report in reports.values():
            for name, content in report.files.items():
                write_bytes(store.folder / name, content)
        write_json(store.folder / "summary.json", shown)


def best(
    done: list[GroupResult], fresh: list[GroupResult], sign: float
) -> dict[str, Best]:
    """Returns the best setting of each optimizer."""
    searched, again = (
        choose.by_optimizer(
            choose.setting_scores([one for of in groups for one in of.scores])
        )
        for groups in (done, fresh)
    )
    return {
        name: _best_of(own, again.get(name, []), sign) for name, own in searched.items()
    }


def _best_of(
    own: list[choose.SettingScore], fresh: list[choose.SettingScore], sign: float
) -> Best:
    """Returns the best of the settings of one optimizer."""
    chosen = choose.best(own)
    scores = np.asarray([one.score for one in own])
    values = np.where(np.isfinite(scores), -sign * scores, np.nan)
    measured = [one.evaluation for one in fresh[0].trials] if fresh else []
    return Best(
        None if chosen is None else chosen.point,
        float("nan") if chosen is None else -sign * chosen.score,
        tuple(one.point for one in own),
        values,
        {
            f"{split}_{name}": np.asarray([one[split][name] for one in measured])
            for split, means in (measured[0] if measured else {}).items()
            for name in means
        },
        tuple(choose.warnings(own)),
    )
