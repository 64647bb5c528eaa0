"""Decides whether a command extends the run of a record, and with which settings.

A run is extended by the same command with more steps or epochs in its folder. The
evaluations and the points of its curves stay as they are, and so does everything else.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.errors import Refusal
from gradjax.records import extension, journal
from gradjax.records.plan import differences
from gradjax.sweeps import points
from gradjax.sweeps.points import Trial
from gradjax.training import trunk
from gradjax.training.numbers import checked_hparams
from gradjax.training.traces import default_every
from gradjax.types import Plan, Program, Settings

Trials = Callable[[Settings], list[Trial]]

_UNSET = {"eval_every": None, "trace_every": 0}
_INTERVALS = {"eval_every": lambda plan: plan.eval_every, "trace_every": default_every}
_LATER = ("environment", "num_threads", "lane_width")  # parts of a plan that are
# compared when the record is opened


class Longer(NamedTuple):
    """The settings of a run that extends the run of a record."""

    settings: Settings
    num_steps: int  # of the longer run
    before: Settings  # of the shorter run


def settled(
    settings: Settings,
    plan: dict[str, Any],
    known: dict[str, Any],
    make: tuple[Trials, Callable[[Settings], Program]],
    folder: Path,
    source: Any = None,
) -> tuple[Settings, Longer | None]:
    """Returns the settings with which a record goes on, and how it is extended.

    Args:
      settings: of the command or the call.
      plan: likewise.
      known: the plan of the record, or an empty one.
      make: as `of_record` takes it.
      folder: of the record.
      source: the folder as a person typed it, for messages; None: `folder`.

    Raises:
        Refusal: the longer run does not begin as the shorter one.
    """
    is_extended = bool(known) and extension.last_of(folder) is not None
    settings = _resumed(settings, known, is_extended)
    found = of_record(settings, plan, known, make, source or folder)
    return (settings if found is None else found.settings), found


def with_settings(plan: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Returns the plan with the settings that an extension may change."""
    changed = {name: getattr(settings, name) for name in extension.NAMES}
    return plan | {"settings": plan["settings"] | changed}


def plan_before(plan: dict[str, Any], longer: Longer | None) -> dict[str, Any]:
    """Returns the plan of the shorter run, if there is one, from that of the longer."""
    return plan if longer is None else with_settings(plan, longer.before)


def _resumed(settings: Settings, known: dict[str, Any], is_extended: bool) -> Settings:
    """Returns settings with the intervals of the record, which an extension keeps.

    Args:
      settings: of the command.
      known: the plan of the record, or an empty one.
      is_extended: whether the record was extended before.
    """
    there = known.get("settings", {})
    if not is_extended or _length(settings) != _length_of(there):
        return settings
    return _with_intervals(settings, there)


def of_record(
    settings: Settings,
    plan: dict[str, Any],
    known: dict[str, Any],
    make: tuple[Trials, Callable[[Settings], Program]],
    source: Any,
) -> Longer | None:
    """Returns how the run of a record is extended; None if it is not asked for.

    Args:
      settings: of the command.
      plan: of the command.
      known: the plan of the record, or an empty one.
      make: settings -> the trials of the first round; settings of a group -> program.
      source: the folder of the record, for messages.

    Raises:
        Refusal: the longer run does not begin as the shorter one.
    """
    there = known.get("settings", {})
    if known.get("kind") != "trials" or _length(settings) == _length_of(there):
        return None
    wanted = _with_intervals(settings, there)
    before = wanted._replace(steps=there["steps"], epochs=there["epochs"])
    differing = differences(known, journal.plain(with_settings(plan, before), "plan"))
    if any(key.split(".")[0] not in _LATER for key in differing):
        return None  # the record is of another run
    pairs = _pairs(before, wanted, *make)
    is_longer = all(long.num_steps > short.num_steps for short, long in _plans(pairs))
    if not is_longer and not _varies_length(known):
        return None
    try:
        _check_sweep(known)
        wanted = _as_before(before, wanted, _plans(pairs))
        pairs = _pairs(before, wanted, *make)
        for short, long in pairs:
            trunk.check(short.plan, long.plan, (short.hparams, long.hparams))
    except Refusal as refusal:
        raise Refusal(
            f"{source}: {refusal}; --init_from={source} with another --workdir starts"
            " at its parameters"
        ) from refusal
    return Longer(wanted, max(long.num_steps for _, long in _plans(pairs)), before)


def _pairs(
    before: Settings,
    wanted: Settings,
    trials: Trials,
    program: Callable[[Settings], Program],
) -> list[tuple[Program, Program]]:
    """Returns the programs of each trial before and after, with its numbers.

    Trials that differ only in their seed or their rate have one pair.
    """
    found = {}
    for pair in zip(trials(before), trials(wanted), strict=True):
        made = [(program(one.settings), one.numbers) for one in pair]
        programs = [
            one._replace(hparams=checked_hparams(one, numbers)) for one, numbers in made
        ]
        shape = {
            name: np.asarray(value).tolist()
            for name, value in programs[0].hparams.items()
            if name not in programs[0].plan.optimizer.rates
        }
        found[points.digest([pair[0].group, shape])] = (programs[0], programs[1])
    return list(found.values())


def _plans(pairs: list[tuple[Program, Program]]) -> list[tuple[Plan, Plan]]:
    return [(short.plan, long.plan) for short, long in pairs]


def _varies_length(known: dict[str, Any]) -> bool:
    """Returns whether the points of a sweep set the number of steps themselves."""
    return bool({"steps", "epochs"} & {one["name"] for one in known["space"]})


def _check_sweep(known: dict[str, Any]) -> None:
    """Refuses a sweep that would have tried other points, or stopped them elsewhere."""
    if _varies_length(known):
        raise Refusal("the sweep varies the number of steps")
    if known["halving"] is not None:
        raise Refusal("--halving stops trials at parts of the number of steps")
    if known["search"].startswith("tpe"):
        raise Refusal("tpe has chosen its points by the results of the shorter trials")


def _length(settings: Settings) -> tuple[int | None, int | None]:
    return settings.steps, settings.epochs


def _length_of(there: dict[str, Any]) -> tuple[int | None, int | None]:
    return there.get("steps"), there.get("epochs")


def _with_intervals(settings: Settings, there: dict[str, Any]) -> Settings:
    """Returns settings with the intervals of a record, where they were not given."""
    unset = [k for k, value in _UNSET.items() if getattr(settings, k) == value]
    return settings._replace(**{name: there[name] for name in unset})


def _as_before(
    before: Settings, wanted: Settings, plans: list[tuple[Plan, Plan]]
) -> Settings:
    """Returns the settings with evaluations and points of the curves as before.

    Their usual intervals follow from the number of steps.
    """
    intervals = [
        {name: of(plan) for name, of in _INTERVALS.items()}
        for pair in plans
        for plan in pair
    ]
    for name in _INTERVALS:
        given = getattr(before, name)
        old, new = ([one[name] for one in intervals[k::2]] for k in (0, 1))
        if (given and name == "trace_every") or old == new:
            continue
        if given or len(set(old)) > 1:
            raise Refusal(f"a longer run would have another {name} than {old[0]} steps")
        wanted = wanted._replace(**{name: old[0]})
    return wanted
