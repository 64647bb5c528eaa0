"""Rounds: lists of trials that are appended to the journal before they run.

Each round is a pure function of the plan and of what is committed. So the same command
resumes after any kill, and a command with more trials or seeds runs only the new ones.
A run is one round of a space without dimensions.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from gradjax.records import extension
from gradjax.records import store as stored
from gradjax.sweeps import choose, extended, halving, names, points
from gradjax.sweeps import shared as sharing
from gradjax.sweeps.choose import GroupResult
from gradjax.sweeps.execute import Hooks, kept_blocks, run_cohort
from gradjax.sweeps.listing import numbered, rounds
from gradjax.sweeps.points import Trial
from gradjax.training.numbers import checked_hparams
from gradjax.training.trunk import trunk_blocks
from gradjax.trials.lane_width import cohort_size
from gradjax.trials.lanes import Lanes, reading
from gradjax.types import Point, Search, Settings, Space, Sweep, Target, Trials

FRESH_SEED = 2**31  # the first of the seeds that no search uses
MAX_POINTS = 100_000  # of a grid
ROUND = 16  # points that a search which learns from results chooses at once
Groups = dict[str, list[Trial]]  # by the program that they share


class Reporter(NamedTuple):
    """Functions that print what a person reads while trials run."""

    announce: Callable[[str, Groups], None]  # before a round
    estimate: Callable[[Lanes, int, str], None]
    # (lanes, number of trials, name of the group), after a group is compiled
    progress: Callable[[str, int, Target], Any]
    # (label, number of trials, target) -> an object with the functions `computed` and
    # `read`, which are called after segments


class Context(NamedTuple):
    """The arguments of a sweep, which are the same in all rounds."""

    base: Settings
    asked: Sweep
    space: Space
    store: Any
    lanes: Callable[[Settings], Lanes]  # of the settings of a group; made once
    reporter: Reporter
    stop_requested: Callable[[], int | None]  # the number of the signal, or None
    first_fresh_seed: int = FRESH_SEED
    shared: sharing.Shared = sharing.Shared()


def search(context: Context, method: Search) -> list[GroupResult]:
    """Runs all points of the search, in several rounds if it learns from results."""
    base, asked = context.base, context.asked
    state, is_adaptive = method.init(context.space, base.seed), learns(asked)
    name = "search" if context.space.dimensions else "run"
    wanted = MAX_POINTS if asked.trials is None else asked.trials
    done: list[GroupResult] = []
    while wanted > 0:
        count = min(wanted, ROUND) if is_adaptive else wanted
        state, found = method.ask(state, count)
        if not found:
            break
        made = trials_of(base, found, range(base.seed, base.seed + base.seeds))
        ran = _round(context, name, made)
        done, wanted = [*done, *ran], wanted - len(found)
        scores = choose.setting_scores([one for of in ran for one in of.scores])
        state = method.tell(state, [(one.point, one.score) for one in scores])
    return done


def fresh(context: Context, done: list[GroupResult]) -> list[GroupResult]:
    """Runs the best setting of each optimizer on seeds that were not used to choose."""
    scores = choose.setting_scores([one for of in done for one in of.scores])
    winners = [choose.best(own) for own in choose.by_optimizer(scores).values()]
    found = [winner.point for winner in winners if winner is not None]
    first = context.first_fresh_seed
    seeds = range(first, first + num_fresh_seeds(context))
    made = trials_of(context.base, found, seeds)
    return _round(context, "fresh", made) if made else []


def num_fresh_seeds(context: Context) -> int:
    """Returns the number of fresh seeds; a run chooses nothing and needs none."""
    return context.asked.fresh_seeds if context.space.dimensions else 0


def trials_of(base: Settings, found: list[Point], seeds: range) -> list[Trial]:
    """Makes the trials of every point with every seed, without repetitions."""
    made = [points.trial(base, point, seed) for point in found for seed in seeds]
    return list({one.id: one for one in made}.values())


def learns(asked: Sweep) -> bool:
    """Returns whether the search learns from results before it chooses more points."""
    return asked.search.partition("(")[0] == "tpe"


def _round(context: Context, name: str, made: list[Trial]) -> list[GroupResult]:
    """Runs new trials, and reads the results of the others.

    The new trials are appended to the journal as one list before any of them runs.
    """
    store = context.store
    before = rounds(stored.events(store), name)
    for label, going_on in extended.continuing(context.base, store, before):
        _append(context, name, going_on, {"continues": label})
    before = rounds(stored.events(store), name)
    known = {id for event in before for id in event["ids"]}
    new = [one for one in made if one.id not in known]
    if new:
        _append(context, name, new)
    wanted, done = {one.id for one in made}, []
    for event in rounds(stored.events(store), name):
        if wanted & set(event["ids"]) or extended.goes_on(context.base, store, event):
            again = [
                points.trial(context.base, one["point"], one["seed"])
                for one in event["trials"]
            ]
            done += _run(context, again, event)
    return done


def _append(
    context: Context, name: str, new: list[Trial], more: dict[str, Any] | None = None
) -> None:
    """Appends a list of trials to the journal, as a round of its own."""
    listed = [_trial_record(context, one) for one in new]
    event = {"ids": [one.id for one in new], "trials": listed, **(more or {})}
    stored.append(context.store, numbered(context.store, name, event))


def _trial_record(context: Context, one: Trial) -> dict[str, Any]:
    """Returns what the journal holds of a trial, with its scalar hyperparameters."""
    program = context.lanes(one.settings).program
    numbers = checked_hparams(program, one.numbers)
    # The text of a float32 is the shortest that names it: 0.001 and not 0.00100000005.
    hparams = {name: float(str(x)) for name, x in numbers.items() if not np.ndim(x)}
    base = dict(context.base.own)
    own = {k: v for k, v in one.settings.own if v != base.get(k)}
    varied = {"own": own} if own else {}
    return varied | {
        "point": one.point,
        "seed": one.seed,
        "group": one.group,
        "optimizer": one.optimizer,
        "schedule": _schedule_of(one),
        "hparams": hparams,
    }


def _run(
    context: Context, made: list[Trial], event: dict[str, Any]
) -> list[GroupResult]:
    """Runs the groups of a round, one after another."""
    groups, label = points.group(made), extension.label(event)
    context.reporter.announce(label, groups)
    done, watch, keep = [], None, _keep(context, label)
    for number, (group, own) in enumerate(groups.items(), 1):
        lanes = context.lanes(own[0].settings)
        plan, estimate = lanes.program.plan, context.reporter.estimate
        target = plan.problem.target
        watch = watch or context.reporter.progress(label, len(made), target)
        name = _name_of(own[0], number, len(groups))
        estimate = functools.partial(estimate, lanes, len(own), name)
        hooks = Hooks(
            keep=functools.partial(keep, target),
            round_hash=event["hash"],
            trunk=_trunk(context, label, lanes, own),
            kept=kept_blocks(plan, context.asked.keep_snapshots),
            on_segment=watch.computed,
            on_read=watch.read,
            on_ready=functools.cache(estimate),
            stop_requested=context.stop_requested,
        )
        if context.asked.halving is not None and label.startswith("search"):
            eta = context.asked.halving
            halve = halving.halve(plan, eta, own)
            hooks = hooks._replace(stops=halving.rungs(plan, eta), halve=halve)
        parts = []
        for place, part in enumerate(_cohorts(lanes, own, hooks)):
            prefix = f"{label}-{group}-{place:04d}"
            adopt = functools.partial(sharing.adopt, context.shared)
            if "continues" in event:
                adopt = extended.adopt
            adopt(context.store, prefix, lanes, part, event)
            with reading(lanes):
                parts.append(run_cohort(context.store, prefix, lanes, part, hooks))
        found = choose.join(parts)
        done.append(GroupResult(own, found, choose.trial_scores(own, found, target)))
    return done


def _trunk(context: Context, label: str, lanes: Lanes, own: list[Trial]) -> int:
    """Returns the blocks after which states are stored for longer trials; 0: never.

    The states of a sweep are large, so they are stored only with all its parameters,
    or where another record shares them.
    """
    asked, program = context.asked, lanes.program
    kept = ("all",) if context.space.dimensions else ("all", "best")
    is_kept = asked.keep_params in kept and not label.startswith("fresh")
    if asked.halving or not (is_kept or context.shared.after):
        return 0
    most = min(
        trunk_blocks(program.plan, checked_hparams(program, one.numbers)) for one in own
    )
    if not context.shared.after:
        return most
    blocks = context.shared.after // program.plan.block_steps
    return blocks if blocks <= most else 0


def _name_of(first: Trial, number: int, num_groups: int) -> str:
    """Returns the name of a group: its optimizer and schedule, as they were given."""
    optimizer = first.point.get("optimizer", first.optimizer)
    schedule = first.point.get("schedule", _schedule_of(first))
    place = f" ({number} of {num_groups} programs)" if num_groups > 1 else ""
    return f"{optimizer}, {schedule}{place}"


def _schedule_of(one: Trial) -> str:
    """Returns the schedule of a trial; constant for an optimizer without a rate.

    Such an optimizer is trained beside the default schedule of an experiment, and
    beside every other one it is refused.
    """
    return names.schedule_for(one.settings.optimizer, one.settings.schedule)


def _keep(context: Context, label: str) -> Callable[..., np.ndarray]:
    """Returns a function that chooses the trials whose parameters are stored.

    "best" stores the parameters of fresh seeds and of single runs. If a sweep has no
    fresh seeds, it stores those of every setting that is the best of its optimizer
    among the cohorts so far.
    """
    asked, best_scores = context.asked.keep_params, {}
    is_search = label.startswith("search")

    def keep(target: Target, cohort: list[Trial], found: Trials) -> np.ndarray:
        is_sound = found.status != "set aside"
        if asked == "none":
            return np.zeros_like(is_sound)
        if asked == "all" or not is_search:
            return is_sound
        is_kept = np.zeros_like(is_sound)
        if num_fresh_seeds(context):
            return is_kept
        scores = choose.setting_scores(choose.trial_scores(cohort, found, target))
        for optimizer, own in choose.by_optimizer(scores).items():
            winner = choose.best(own)
            if winner is None or winner.score >= best_scores.get(optimizer, np.inf):
                continue
            best_scores[optimizer] = winner.score
            ids = {one.trial.id for one in winner.trials}
            is_kept |= np.asarray([one.id in ids for one in cohort])
        return is_kept

    return keep


def _cohorts(lanes: Lanes, own: list[Trial], hooks: Hooks) -> Iterator[list[Trial]]:
    """Yields the cohorts of a group; with halving, one cohort of all its trials.

    They follow from the trials of the round, so that a command with more seeds finds
    the cohorts of an earlier one.
    """
    num_seeds = len({one.seed for one in own})
    size = cohort_size(lanes.program, lanes.width, num_seeds)
    size = len(own) if hooks.stops else size
    for at in range(0, len(own), size):
        yield own[at : at + size]
