"""Computes segments again that ended the process, one call at a time.

The operating system ends a process that takes too much memory, and the process cannot
foresee this. So the journal records which segment was begun. A segment that was begun
twice and never committed is computed again with one call of the lanes at a time; once
is not enough, because most kills have another reason than the segment. If a single call
was begun twice and never ended, its trials are set aside, and the others continue.
"""

from collections import Counter
from typing import Any

import numpy as np

from gradjax.records import faults
from gradjax.records import store as stored
from gradjax.trials import batches
from gradjax.trials.batches import Active
from gradjax.trials.lanes import Lanes
from gradjax.trials.results import BlockRange

# Ends of the process in one segment, before its calls are made one at a time, and in a
# single call, before its trials are set aside.
_KILLS = 2


def advance(
    store: Any, name: str, lanes: Lanes, active: Active, blocks: BlockRange
) -> Active:
    """Computes a segment of every active trial, as `batches.advance` does.

    Args:
      store: open to write.
      name: the name of the segment that will be committed.
      lanes: the program.
      active: the trials.
      blocks: (first block, number of blocks) of the segment.

    Returns:
      The trials that are still active; those set aside are marked in the results.
    """
    lanes.ready()  # first, because a kill while it compiles must not be counted
    deaths = _deaths(store)
    if not stored.is_committed(store, "segment", name):
        stored.append(store, {"begun": name})
    faults.reach("segment:begun")
    is_alone = len(active.own.seed) == 1  # one trial cannot be separated
    if deaths[name] < _KILLS or is_alone:
        return batches.advance(lanes, active, blocks)
    store.say(
        f"{name} was begun {deaths[name]} times and never ended: now one call at a time"
    )
    for at in range(0, len(active.rows), lanes.width):
        rows = active.rows[at : at + lanes.width]
        label = f"{name}/{rows[0]}"
        if deaths[label] >= _KILLS:
            _set_aside(store, active, rows, deaths[label])
            continue
        stored.append(store, {"begun": label})
        faults.reach("call:begun")
        batches.advance(lanes, active._replace(rows=rows), blocks)
        stored.append(store, {"ended": label})
    return batches.survivors(active)


def _deaths(store: Any) -> Counter[str]:
    """Counts how often each segment and each call was begun and did not end."""
    events = stored.events(store)
    begun = Counter(event["begun"] for event in events if "begun" in event)
    begun.subtract(event["ended"] for event in events if "ended" in event)
    for name in [one for one in begun if stored.is_committed(store, "segment", one)]:
        del begun[name]
    return begun


def _set_aside(store: Any, active: Active, rows: np.ndarray, deaths: int) -> None:
    store.say(
        f"trials {rows[0]} to {rows[-1]} of this group ended the process {deaths}"
        " times: they are set aside, the others go on"
    )
    active.results.is_set_aside[rows] = True
