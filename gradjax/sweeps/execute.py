"""Trains the trials of a group with everything kept: killed at any instant, it goes on.

A unit is one stretch of all trials of a cohort that live; it is computed, committed,
and never computed again. The states between two stretches are kept apart, the last two
of them: they are as large as all networks together.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax.errors import Interrupted
from gradjax.records import store as kept_in
from gradjax.sweeps import attempts
from gradjax.sweeps.points import Trial
from gradjax.trials import batches, results
from gradjax.trials.batches import Going, Lanes
from gradjax.types import Trials

Halving = Callable[[Going, tuple[int, int]], None]  # writes stopped_step
OnStretch = Callable[[int, int, Going], None]  # (block steps done, of all, trials)
_SNAPSHOT_S = 2.0  # what a kill may cost: states are written no more often than that,
_SNAPSHOT_PART = 30  # and no more often than they take a thirtieth of the time


class Hooks(NamedTuple):
    """What is done between two stretches."""

    stops: tuple[int, ...] = ()  # blocks at which `halve` has to be asked
    halve: Halving = lambda *_: None  # called after each stretch
    on_stretch: OnStretch = lambda *_: None  # after each, computed or read
    on_ready: Callable[[], None] = lambda: None  # compiled, and about to run
    stop_requested: Callable[[], int | None] = lambda: None  # the signal's number


def run_group(
    store: Any, prefix: str, lanes: Lanes, group: list[Trial], hooks: Hooks
) -> Trials:
    """Runs a cohort to its end, from wherever an earlier process left it.

    Args:
      store: open, of this sweep.
      prefix: of the names of its units: the round, the group and the cohort.
      lanes: the program of the group.
      group: its trials.
      hooks: what is done between two stretches.

    Returns:
      Trials, in the order of `group`.

    Raises:
        Interrupted: a signal asked for a stop; the stretch and its states are kept.
    """
    plan, times = lanes.program.plan, [0.0, 0.0]
    going = batches.begun(lanes, [t.numbers for t in group], [t.seed for t in group])
    ids = np.asarray([one.id for one in group])
    stretches = list(batches.segments(lanes, hooks.stops))
    names = [f"{prefix}-{first:06d}" for first, _ in stretches]
    known, snapshot = _resumed(store, names)
    due = time.monotonic() + _SNAPSHOT_S
    for k, (name, stretch) in enumerate(zip(names, stretches, strict=True)):
        rows = going.alive
        if not len(rows):
            break
        if k < known:
            results.enter_entries(plan, going.book, stretch, kept_in.read(store, name))
        else:
            if k == known and snapshot is not None:
                _put_states(going, rows, snapshot)
            times[0] = lanes.ready().compile_s
            hooks.on_ready()
            start = time.perf_counter()
            attempts.advance(store, name, lanes, going, stretch)
            times[1] += time.perf_counter() - start
            entries = results.entries(plan, going.book, rows, stretch)
            kept_in.commit(
                store,
                name,
                entries | {"trial": ids[rows]},
                steps=min(sum(stretch) * plan.block_steps, plan.num_steps),
                num_steps=plan.num_steps,
            )
        hooks.halve(going, stretch)
        going = batches.survivors(going)
        is_last = k == len(names) - 1
        number = hooks.stop_requested()
        is_due = number is not None or time.monotonic() > due
        if k >= known and not is_last and is_due:
            start = time.monotonic()
            kept_in.snapshot(store, name, _states(going))
            now = time.monotonic()
            due = now + max(_SNAPSHOT_S, _SNAPSHOT_PART * (now - start))
        if number is not None:
            raise Interrupted(number, f"unit {name}")
        taken = min(sum(stretch) * plan.block_steps, plan.num_steps)
        hooks.on_stretch(taken, plan.num_steps, going)
    return batches.ended(lanes, going, (times[0], times[1]))


def _resumed(store: Any, names: list[str]) -> tuple[int, dict[str, np.ndarray] | None]:
    """(stretches that need not be computed, the states after the last of them).

    All that are committed, if it is the last one too; else as many as there are states
    for: what was committed beyond them is computed again, and must be the same.
    """
    done = kept_in.committed(store)
    count = next((k for k, name in enumerate(names) if name not in done), len(names))
    if count == len(names) or count == 0:
        return count, None
    if all(len(kept_in.read(store, name)["rows"]) for name in names[:count]):
        found = kept_in.latest_snapshot(store)
        if found is not None and found[0] in names[:count]:
            return names.index(found[0]) + 1, found[1]
    return 0, None


def _states(going: Going) -> dict[str, np.ndarray]:
    leaves = jax.tree.leaves((going.book.state, going.book.params))
    kept = {f"leaf/{k}": leaf[going.alive] for k, leaf in enumerate(leaves)}
    return kept | {"rows": going.alive}


def _put_states(going: Going, rows: np.ndarray, kept: dict[str, np.ndarray]) -> None:
    if not np.array_equal(rows, kept["rows"]):
        raise RuntimeError("a snapshot of other trials than those that live")
    leaves = jax.tree.leaves((going.book.state, going.book.params))
    for k, leaf in enumerate(leaves):
        leaf[rows] = kept[f"leaf/{k}"]
