"""Computes a window of a trial of `gradjax.tune` again, with any diagnostic."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradjax import expressions, records
from gradjax.errors import Refusal
from gradjax.records import contents, sources
from gradjax.sweeps import given, points
from gradjax.sweeps import replay as replays
from gradjax.sweeps.replay import Recorded, Replay
from gradjax.tuning import arguments, planned
from gradjax.tuning.planned import Work
from gradjax.types import ModelState, Params, Problem, Settings, Space, Sweep


def replay(
    problem: Problem,
    folder: str | Path,
    steps: tuple[int, int],
    *,
    trial: int | str | None = None,
    diagnostics: Any = (),
    objects: Sequence[Any] = (),
    params: Params = None,
    model_state: ModelState = None,
) -> Replay:
    """Trains a trial of `gradjax.tune` again up to a window, and measures its steps.

    The losses are compared with those of the record, and are the same in every bit
    unless versions, sources, the device or its instruction set have changed.

    Args:
      problem: the one that was tuned on, which a record does not hold. Its data and
        numbers are compared with those of the record.
      folder: of the record.
      steps: the first and the last step of the window, from 1, as curves count them.
      trial: as `gradjax.load` takes it.
      diagnostics: as `gradjax.program` takes them. One without an interval is measured
        at every step of the window.
      objects: the optimizers and schedules that were given to `tune` as functions or
        objects without an import path, in the same order.
      params: where the trials start, as `tune` took it.
      model_state: likewise.

    Returns:
      A Replay: its `trace` has the loss and the curves of the window, and `num_equal`
      of `num_compared` points of the recorded loss are equal.

    Raises:
        Refusal: no such trial or window, a record of a command, another problem or
            other parameters than those of the record, or what `gradjax.program`
            refuses.
    """
    held: given.Objects = {}
    points.forget()
    try:
        for one in objects:
            _hold(one, held)
        start = arguments.initial(params, model_state)
        with expressions.given(held):
            found = replays.recorded(folder, trial, _checked)
            digest = found.trial.settings.init_from
            if digest != (None if start is None else start.digest):
                raise Refusal(f"{folder}: its trials start at other parameters")
            settings = found.trial.settings._replace(diagnostics=None)
            work = Work(problem, Space(()), settings, Sweep(), held, start)
            program = planned.program_of(work, settings)
            now = _environment(found, {**planned.parts_of(problem), **held})
            return replays.replay(program, found, steps, diagnostics, now)
    finally:
        points.forget()


def _hold(one: Any, held: given.Objects) -> None:
    """Gives an object its name, as `tune` did."""
    try:
        given.optimizer(one, held)
    except Refusal:
        given.schedule(one, held)


def _checked(settings: Settings) -> Settings:
    if settings.experiment == "tune":
        return settings
    raise Refusal(
        f"the command of {settings.experiment} made this record: python -m"
        " scripts.replay computes its steps again"
    )


def _environment(found: Recorded, parts: dict[str, Any]) -> dict[str, Any]:
    """Returns the environment of this process, with the digests of functions.

    Raises:
        Refusal: the data or the numbers of a part are others than in the record.
    """
    digests = {name: contents.digest(part, name) for name, part in parts.items()}
    there = found.plan["values"]
    for name in digests:
        if name in there and digests[name].values != there[name]:
            raise Refusal(
                f"{found.store.folder}: {name} has other data or numbers than the one"
                " in the record"
            )
    modules = set().union(*(one.modules for one in digests.values())) - {"__main__"}
    named = sources.named_modules([found.plan["settings"], found.trial.point])
    functions = {name: one.code for name, one in digests.items()}
    return records.environment(modules | named) | {"functions": functions}
