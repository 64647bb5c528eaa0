"""A stretch that killed the process before is taken with care.

The operating system ends a process that takes too much memory, and nothing in the
process can see it coming. So the journal says which stretch was begun. One that was
begun and never committed runs again a batch at a time; a batch that was begun alone
twice and never ended is set aside, and the rest goes on.
"""

from collections import Counter
from typing import Any

import numpy as np

from gradjax.records import faults
from gradjax.records import store as kept_in
from gradjax.trials import batches
from gradjax.trials.batches import Going, Lanes

_KILLS = 2  # of a batch that ran alone, before it is set aside


def advance(
    store: Any, name: str, lanes: Lanes, going: Going, stretch: tuple[int, int]
) -> None:
    """The trials that live, one stretch on; the book is written to.

    Args:
      store: open, of this sweep.
      name: of the unit that is to be committed.
      lanes: the program.
      going: the trials; those of a batch that is set aside are marked.
      stretch: (first block, blocks).
    """
    lanes.ready()  # what compiling takes is not this stretch's fault
    deaths = _deaths(store)
    if name not in kept_in.committed(store):
        kept_in.append(store, {"begun": name})
    faults.reached("stretch:begun")
    if not deaths[name]:
        batches.advanced(lanes, going, stretch)
        return
    store.say(f"{name} was begun and never ended: now one batch at a time")
    for at in range(0, len(going.alive), lanes.width):
        rows = going.alive[at : at + lanes.width]
        label = f"{name}/{rows[0]}"
        if deaths[label] >= _KILLS:
            _set_aside(store, going, rows, deaths[label])
            continue
        kept_in.append(store, {"begun": label})
        faults.reached("batch:begun")
        batches.advanced(lanes, going._replace(alive=rows), stretch)
        kept_in.append(store, {"ended": label})


def _deaths(store: Any) -> Counter[str]:
    """How often each stretch and each batch was begun and did not end."""
    events = kept_in.events(store)
    begun = Counter(event["begun"] for event in events if "begun" in event)
    begun.subtract(event["ended"] for event in events if "ended" in event)
    for name in kept_in.committed(store):
        begun.pop(name, None)
    return begun


def _set_aside(store: Any, going: Going, rows: np.ndarray, deaths: int) -> None:
    store.say(
        f"trials {rows[0]} to {rows[-1]} of this group ended the process"
        f" {deaths} times: they are set aside, the others go on"
    )
    going.book.is_set_aside[rows] = True
