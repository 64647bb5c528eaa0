"""Rounds: lists of trials that are appended to the journal before they run.

Each round is a pure function of the plan and of what is committed. So the same command
resumes after any kill, and a command with more trials or seeds runs only the new ones.
A run is one round of a space without dimensions.
"""

from typing import Any

import numpy as np

from gradjax.records import store as stored
from gradjax.sweeps import choose, extended, groups, points
from gradjax.sweeps.choose import GroupResult
from gradjax.sweeps.context import Context, num_fresh_seeds
from gradjax.sweeps.listing import numbered, rounds
from gradjax.sweeps.points import Trial
from gradjax.training.numbers import checked_hparams
from gradjax.types import Point, Search, Settings, Sweep

MAX_POINTS = 100_000  # of a grid
ROUND = 16  # points that a search which learns from results chooses at once


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
            done += groups.run(context, again, event)
    return done


def _append(
    context: Context, name: str, new: list[Trial], more: dict[str, Any] | None = None
) -> None:
    """Appends a list of trials to the journal, as a round of its own."""
    listed = [_trial_record(context, one) for one in new]
    event = {"ids": [one.id for one in new], "trials": listed, **(more or {})}
    if context.executor is not None:
        event["is_batched"] = True  # in all further commands, too
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
        "schedule": groups.schedule_of(one),
        "hparams": hparams,
    }
