"""Decides whether a command extends the run of a record, and with which settings.

A run is extended by the same command with more steps or epochs in its folder. The
evaluations and the points of its curves stay as they are, and so does everything else.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.records import extension, journal
from gradjax.records.plan import differences
from gradjax.sweeps import points
from gradjax.sweeps.points import Trial
from gradjax.training import trunk
from gradjax.training.numbers import checked_hparams
from gradjax.training.traces import default_every
from gradjax.types import Program, Settings

_UNSET = {"eval_every": None, "trace_every": 0}
_LATER = ("environment", "num_threads", "lane_width")  # parts of a plan that are
# compared when the record is opened


class Longer(NamedTuple):
    """The settings of a run that extends the run of a record."""

    settings: Settings
    num_steps: int  # of the shorter run
    trunk_steps: int  # after which the longer run goes on
    before: Settings  # of the shorter run

    @property
    def words(self) -> str:
        """Returns the line that says where the longer run begins."""
        return (
            f"the run of {self.num_steps:,} steps goes on from step"
            f" {self.trunk_steps:,}, with evaluations as before"
        )


def with_settings(plan: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Returns the plan with the settings that an extension may change."""
    changed = {name: getattr(settings, name) for name in extension.NAMES}
    return plan | {"settings": plan["settings"] | changed}


def plan_before(plan: dict[str, Any], longer: Longer | None) -> dict[str, Any]:
    """Returns the plan of the shorter run, if there is one, from that of the longer."""
    return plan if longer is None else with_settings(plan, longer.before)


def resumed(settings: Settings, known: dict[str, Any], is_extended: bool) -> Settings:
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
    program: Callable[[Settings], Program],
    source: Any,
) -> Longer | None:
    """Returns how the run of a record is extended; None if it is not asked for.

    Args:
      settings: of the command.
      plan: of the command.
      known: the plan of the record, or an empty one.
      program: settings of a group -> its program.
      source: the folder of the record, for messages.

    Raises:
        Refusal: the longer run does not begin as the shorter one, or the record holds a
            sweep.
    """
    there = known.get("settings", {})
    if known.get("kind") != "trials" or _length(settings) == _length_of(there):
        return None
    wanted = _with_intervals(settings, there)
    before = wanted._replace(steps=there["steps"], epochs=there["epochs"])
    differing = differences(known, journal.plain(with_settings(plan, before), "plan"))
    if any(key.split(".")[0] not in _LATER for key in differing):
        return None  # the record is of another run
    first, second = _trial(before), _trial(wanted)
    short, long = program(first.settings), program(second.settings)
    if long.plan.num_steps <= short.plan.num_steps:
        return None
    fix = f"--init_from={source} with another --workdir starts at its parameters"
    if known["space"]:
        raise Refusal(f"{source} holds a sweep, whose steps cannot be raised; {fix}")
    try:
        wanted = _as_before(before, wanted, program)
        second = _trial(wanted)
        long = program(second.settings)
        numbers = (
            checked_hparams(short, first.numbers),
            checked_hparams(long, second.numbers),
        )
        trunk.check(short.plan, long.plan, numbers)
    except Refusal as refusal:
        raise Refusal(f"{source}: {refusal}; {fix}") from refusal
    num_steps = trunk.trunk_blocks(short.plan, numbers[0]) * short.plan.block_steps
    return Longer(
        wanted,
        short.plan.num_steps,
        min(num_steps, short.plan.num_steps),
        before,
    )


def _length(settings: Settings) -> tuple[int | None, int | None]:
    return settings.steps, settings.epochs


def _length_of(there: dict[str, Any]) -> tuple[int | None, int | None]:
    return there.get("steps"), there.get("epochs")


def _trial(settings: Settings) -> Trial:
    return points.trial(settings, {}, settings.seed)


def _with_intervals(settings: Settings, there: dict[str, Any]) -> Settings:
    """Returns settings with the intervals of a record, where they were not given."""
    unset = [k for k, value in _UNSET.items() if getattr(settings, k) == value]
    return settings._replace(**{name: there[name] for name in unset})


def _as_before(
    before: Settings, wanted: Settings, program: Callable[[Settings], Program]
) -> Settings:
    """Returns the settings with evaluations and points of the curves as before.

    Their usual intervals follow from the number of steps.
    """
    short, long = (program(_trial(one).settings).plan for one in (before, wanted))
    if before.eval_every is not None and long.eval_every != short.eval_every:
        raise Refusal(
            f"a run of {short.num_steps:,} steps has no evaluation after"
            f" --eval_every={before.eval_every} steps, as a longer one has"
        )
    if long.eval_every != short.eval_every:
        wanted = wanted._replace(eval_every=short.eval_every)
        long = program(_trial(wanted).settings).plan
    every = before.trace_every or default_every(short)
    if (wanted.trace_every or default_every(long)) != every:
        wanted = wanted._replace(trace_every=every)
    return wanted
