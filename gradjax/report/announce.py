"""Lines printed before trials run: their number, their programs, the expected time."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradjax import optimizers
from gradjax.records import store as stored
from gradjax.report import terminal
from gradjax.sweeps.points import Trial
from gradjax.trials import lanes as lanes_of
from gradjax.trials import timed_overhead
from gradjax.trials.lanes import Lanes
from gradjax.trials.overhead import Overhead, overhead
from gradjax.types import Problem, Program, Settings


def run(problem: Problem, settings: Settings, program: Program, store: Any) -> None:
    """Prints the data, optimizer and steps of a run, and the step where it resumes."""
    about, own, plan = problem.about or {}, dict(settings.own), program.plan
    data, what = problem.data, own.get("problem") or about.get("name", "the data")
    origin = about.get("origin", what)  # of a file it is the name again
    origin = "" if origin == what else f" ({origin})"
    parts = [] if data is None else zip(data._fields, data, strict=True)
    sizes = [f"{part.num_examples:,} {split}" for split, part in parts if part]
    terminal.say(f"{what}{origin}: {', '.join(sizes) or 'no data'}")
    if "num_cut" in about:
        terminal.say(_of_texts(about))
    rate = settings.learning_rate
    rate = program.hparams.get(optimizers.RATE) if rate is None else rate
    at = "" if rate is None else f" at {rate:g}"
    network = f"{own['model']}, " if own.get("model") else ""
    batch = "" if data is None else f" of {settings.batch_size or 'all examples'}"
    terminal.say(
        f"{network}{settings.optimizer}{at}, {settings.schedule}:"
        f" {plan.num_steps:,} steps{batch}"
    )
    rate_of_zero(program, rate)
    if problem.init_state and optimizers.has_eval_params(plan.optimizer):
        terminal.say(
            f"{settings.optimizer} averages parameters: they are evaluated with the"
            " state that the network collected at the parameters that are not averaged"
        )
    committed = stored.committed_segments(store).values()
    own = [one for one in committed if one["num_steps"] == plan.num_steps]
    done = max((one["steps"] for one in own), default=0)
    if 0 < done < plan.num_steps:
        terminal.say(
            f"an unfinished run is here, with {done:,} of {plan.num_steps:,} steps: it"
            " goes on"
        )


def round(
    lanes: Callable[[Settings], Lanes],
    has_workers: bool,
    label: str,
    groups: dict[str, list[Trial]],
) -> None:
    """Prints the trials, programs and calls of a round.

    Args:
      lanes: settings of a group -> its lanes.
      has_workers: whether other processes train, so that this one has no program with
        which diagnostics are timed. What they cost is counted and printed here.
      label: the name of the round.
      groups: the trials of the round by program.
    """
    counts = [
        lanes_of.num_calls(lanes(own[0].settings), len(own)) for own in groups.values()
    ]
    num_trials = sum(len(own) for own in groups.values())
    programs = "1 program" if len(groups) == 1 else f"{len(groups)} programs"
    calls = "1 call" if sum(counts) == 1 else f"{sum(counts):,} calls"
    trials = "1 trial" if num_trials == 1 else f"{num_trials:,} trials"
    terminal.say(f"{words_of(label)}: {trials} in {programs}, {calls}")
    counted(lanes, has_workers, label, groups)


def diagnostics(lanes: Lanes) -> None:
    """Times the diagnostics of a program, if it has some, and prints what they add."""
    _say_overhead(lanes.program, timed_overhead.before_run(lanes))


def counted(
    lanes: Callable[[Settings], Lanes],
    has_workers: bool,
    _label: str,
    groups: dict[str, list[Trial]],
) -> None:
    """Prints what diagnostics add as it is counted, where workers train.

    Args:
      lanes: see `round`.
      has_workers: see `round`; without workers nothing is printed.
      _label: the name of the round.
      groups: the trials of the round by program.
    """
    for own in groups.values() if has_workers else ():
        made = lanes(own[0].settings)
        who = "" if len(groups) == 1 else f"{own[0].settings.optimizer}: "
        _say_overhead(made.program, overhead(made.program, made.width), who)


def _say_overhead(program: Program, found: Overhead, who: str = "") -> None:
    """Prints what diagnostics add; `who` names the program where there are several."""
    parts = [
        f"{one.name} every {its.every:,} steps, {one.bound} {_percent(one.share)}"
        for one, its in zip(found.prices, program.plan.diagnostics, strict=True)
    ]
    if not parts:
        return
    together = f"; together {_percent(found.share)}" if len(parts) > 1 else ""
    how = "timed" if found.is_timed else "counted"
    terminal.say(
        f"{who}diagnostics, {how}, in % of the time of the steps:"
        f" {'; '.join(parts)}{together}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:,.0f}"


def words_of(label: str) -> str:
    """Returns the words of a round: "search-0" is "search", "search-1" its round 2."""
    name, _, number = label.partition("-")
    said = {"fresh": "fresh seeds"}.get(name, name)
    return said if number in ("", "0") else f"{said}, round {int(number) + 1}"


def estimate(lanes: Lanes, num_trials: int, name: str) -> None:
    """Compiles the program of a group; prints its memory and its estimated run time.

    What its diagnostics add is timed and printed, too.

    Args:
      lanes: of the group.
      num_trials: its number of trials.
      name: what distinguishes it from the other groups.
    """
    ready, calls = lanes.ready(), lanes_of.num_calls(lanes, num_trials)
    megabytes = ready.in_flight * ready.bytes / 1e6
    said = "1 call" if calls == 1 else f"{calls:,} calls, {ready.in_flight} at once"
    seconds = lanes_of.estimated_seconds(lanes, num_trials)
    lane = "1 lane" if lanes.width == 1 else f"{lanes.width} lanes"
    terminal.say(
        f"{name}: {said}, {lane} each,"
        f" in {megabytes:,.0f} MB;"
        f" compiled in {ready.compile_s:.1f} s, about {_round(seconds)} s to run"
    )
    diagnostics(lanes)


def _of_texts(about: dict[str, Any]) -> str:
    """Describes the lengths of tokenized texts, and how many of them were cut."""
    what = "texts"
    if "num_rows" in about and "source" not in about:
        num_texts = about["num_examples"]["train"]
        what = f"{num_texts:,} texts in {about['num_rows']:,} rows"
    elif "num_rows" in about:  # translation: several pairs share a row
        pair = f"{about['source']} to {about['target']}"
        num_pairs = about["num_examples"]["train"]
        what = f"{pair}: {num_pairs:,} pairs in {about['num_rows']:,} rows"
    return (
        f"{what} of {about['max_length']} tokens at most, of {about['num_tokens']:,};"
        f" cut to fit: {about['num_cut']:,}; padding: {about['padding']:.1%}"
    )


def _round(seconds: float) -> str:
    """Writes an estimate with two digits, or without decimals from 10 on."""
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"


def rate_of_zero(program: Program, rate: float | None = None, who: str = "") -> None:
    """Says that a learning rate is 0, if it is.

    Args:
      program: the program.
      rate: the learning rate of the run; None: that of the program.
      who: the beginning of the line, which names the run where there are several.
    """
    own = {} if rate is None else {optimizers.RATE: rate}
    numbers = program.hparams | own
    if any(np.all(numbers[path] == 0.0) for path in program.plan.optimizer.rates):
        terminal.say(f"{who}learning rate 0: the parameters will stay where they start")


def rates_of_zero(programs: dict[str, Program]) -> None:
    """Says which of several programs have a learning rate of 0."""
    for name, program in programs.items():
        rate_of_zero(program, who=f"{name}: ")
