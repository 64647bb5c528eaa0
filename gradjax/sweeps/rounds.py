"""The rounds of a sweep: lists of trials, appended before they run.

Each is a pure function of the plan and of what is committed. So the same command goes
on after any kill, and with more trials or seeds it runs the new.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax.records import store as kept_in
from gradjax.sweeps import choose, points
from gradjax.sweeps.choose import Done
from gradjax.sweeps.execute import Hooks, OnStretch, run_group
from gradjax.sweeps.points import Trial
from gradjax.trials import lane_width as widths_of
from gradjax.trials.batches import Lanes
from gradjax.types import Point, Search, Series, Settings, Space, Sweep, Target, Trials

FRESH_SEED = 2**31  # the first of those that no search uses
MAX_POINTS = 100_000  # of a grid
ROUND = 16  # points of a search that learns, before it is told
Groups = dict[str, list[Trial]]  # by the program that they share


class Sweeping(NamedTuple):
    """What stays the same throughout one sweep."""

    base: Settings
    asked: Sweep
    space: Space
    store: Any
    lanes: Callable[[Settings], Lanes]  # of a group, made once
    announce: Callable[[str, Groups], None]  # what a round is, before it starts
    estimate: Callable[[Lanes, int, Settings], None]  # (_, trials, _), once compiled
    progress: Callable[[str, int, Target], OnStretch]  # (label, trials, target)
    stop_requested: Callable[[], int | None]  # the number of the signal that asked


def searched(sweeping: Sweeping, method: Search) -> list[Done]:
    """All points that the search gives, in rounds where it learns from them."""
    base, asked = sweeping.base, sweeping.asked
    state, is_adaptive = method.init(sweeping.space, base.seed), learns(asked)
    wanted = MAX_POINTS if asked.trials is None else asked.trials
    done: list[Done] = []
    while wanted > 0:
        state, found = method.ask(state, min(wanted, ROUND) if is_adaptive else wanted)
        if not found:
            break
        made = trials_of(base, found, range(base.seed, base.seed + base.seeds))
        ran = _round(sweeping, "search", made)
        done, wanted = [*done, *ran], wanted - len(found)
        settings = choose.scored([row for one in ran for row in one.rows])
        state = method.tell(state, [(one.point, one.score) for one in settings])
    return done


def fresh(sweeping: Sweeping, done: list[Done]) -> list[Done]:
    """The best setting of each optimizer, on seeds that chose nothing."""
    settings = choose.scored([row for one in done for row in one.rows])
    winners = [choose.best(own) for own in choose.by_optimizer(settings).values()]
    found = [winner.point for winner in winners if winner is not None]
    seeds = range(FRESH_SEED, FRESH_SEED + sweeping.asked.fresh_seeds)
    made = trials_of(sweeping.base, found, seeds)
    return _round(sweeping, "fresh", made) if made else []


def trials_of(base: Settings, found: list[Point], seeds: range) -> list[Trial]:
    """Every point with every seed; what comes twice, once."""
    made = [points.trial(base, point, seed) for point in found for seed in seeds]
    return list({one.id: one for one in made}.values())


def learns(asked: Sweep) -> bool:
    """Whether the search is told what was seen before it says more."""
    return asked.search.partition("(")[0] == "tpe"


def rounds(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Those of that name in the journal, in order."""
    return [event for event in events if event.get("round") == name]


def _round(sweeping: Sweeping, name: str, made: list[Trial]) -> list[Done]:
    """Runs trials that are new, and reads those that are not.

    What is new is appended to the journal as one list before any of it runs.
    """
    store = sweeping.store
    before = rounds(kept_in.events(store), name)
    known = {id for event in before for id in event["ids"]}
    new = [one for one in made if one.id not in known]
    if new:
        listed = [
            {"point": one.point, "seed": one.seed, "group": one.group} for one in new
        ]
        ids = [one.id for one in new]
        event = {"round": name, "number": len(before), "ids": ids, "trials": listed}
        kept_in.append(store, event | {"hash": points.digest(event)})
    wanted, done = {one.id for one in made}, []
    for event in rounds(kept_in.events(store), name):
        if wanted & set(event["ids"]):
            again = [
                points.trial(sweeping.base, one["point"], one["seed"])
                for one in event["trials"]
            ]
            done += _ran(sweeping, f"{name}-{event['number']}", again)
    return done


def _ran(sweeping: Sweeping, prefix: str, made: list[Trial]) -> list[Done]:
    """The groups of a round, one after the other."""
    groups = points.grouped(made)
    sweeping.announce(prefix, groups)
    done, on_stretch = [], None
    for group, own in groups.items():
        lanes = sweeping.lanes(own[0].settings)
        target = lanes.program.plan.problem.target
        on_stretch = on_stretch or sweeping.progress(prefix, len(made), target)
        estimate = functools.partial(
            sweeping.estimate, lanes, len(own), own[0].settings
        )
        hooks = _hooks(sweeping, prefix, lanes, own)._replace(
            on_ready=functools.cache(estimate), on_stretch=on_stretch
        )
        label = f"{prefix}-{group}"
        parts = [
            run_group(sweeping.store, f"{label}-{number:04d}", lanes, part, hooks)
            for number, part in enumerate(_cohorts(lanes, own, hooks))
        ]
        found = _joined(parts)
        done.append(Done(own, found, choose.rows(own, found, target)))
    return done


def _hooks(sweeping: Sweeping, prefix: str, lanes: Lanes, own: list[Trial]) -> Hooks:
    """Halving in the search alone."""
    plan, eta = lanes.program.plan, sweeping.asked.halving
    hooks = Hooks(stop_requested=sweeping.stop_requested)
    if eta is None or not prefix.startswith("search"):
        return hooks
    halve = choose.halving(plan, eta, plan.problem.target, own)
    return hooks._replace(stops=choose.rungs(plan, eta), halve=halve)


def _cohorts(lanes: Lanes, own: list[Trial], hooks: Hooks) -> Iterator[list[Trial]]:
    """Trials that go side by side; where some are stopped at rungs, all of them."""
    size = len(own) if hooks.stops else widths_of.cohort(lanes.program, lanes.width)
    for at in range(0, len(own), size):
        yield own[at : at + size]


def _joined(parts: list[Trials]) -> Trials:
    """The cohorts of a group as one, without their parameters: many are too large."""
    bare = [part._replace(params={}, trace={}, compile_s=0, run_s=0) for part in parts]
    joined = jax.tree.map(
        lambda *xs: np.concatenate(xs) if np.ndim(xs[0]) else xs[0], *bare
    )
    trace = {
        name: Series(
            series.steps, np.concatenate([part.trace[name].values for part in parts])
        )
        for name, series in parts[0].trace.items()
    }
    return joined._replace(
        trace=trace,
        compile_s=max(part.compile_s for part in parts),
        run_s=sum(part.run_s for part in parts),
    )
