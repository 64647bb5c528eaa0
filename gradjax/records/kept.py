"""Kept snapshots: the states of trials after some blocks, from which a replay starts.

    kept_snapshots/<cohort>-kept-<block>.npz

Such a file has the state of each trial that was still active, `state/<k>` [trials, ...]
for each leaf k, and the ids `trial` of these trials. A state is that of training and of
the kept parameters; the memories of diagnostics are left out, because a replay has
diagnostics of its own.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax.files import read_npz
from gradjax.records import extension
from gradjax.records import store as stored

KIND = "kept_snapshot"


class Kept(NamedTuple):
    """The state of one trial in a kept snapshot."""

    steps: int  # that the trial had taken
    name: str  # of the file
    row: int  # of the trial in the file


def commit(
    store: Any,
    cohort: str,
    trials: tuple[list[str], np.ndarray, Any],
    blocks: int,
    **metadata: Any,
) -> None:
    """Stores the states of the active trials of a cohort, as `store.commit` does.

    Args:
      store: open to write.
      cohort: the start of the names of the cohort's segments.
      trials: (ids of all trials, i64[...] the rows of active trials, the states of all
        trials as a pytree [trials, ...]).
      blocks: the number of blocks that the trials have taken.
      metadata: further fields of its line in the journal, with `steps`.

    Raises:
        Refusal: see `store.commit`.
    """
    name, arrays, about = file_of(cohort, trials, blocks)
    stored.commit_states(store, name, arrays, kind=KIND, **about, **metadata)


def file_of(
    cohort: str, trials: tuple[list[str], np.ndarray, Any], blocks: int
) -> tuple[str, dict[str, np.ndarray], dict[str, Any]]:
    """Returns the name, the arrays and the fields of a kept snapshot; see `commit`."""
    ids, rows, states = trials
    arrays = {
        f"state/{k}": storable(np.asarray(leaf)[rows])
        for k, leaf in enumerate(jax.tree.leaves(states))
    }
    arrays["trial"] = np.asarray(ids)[rows]
    return f"{cohort}-kept-{blocks:06d}", arrays, {"blocks": blocks}


def of_trial(store: Any, trial: str) -> list[Kept]:
    """Returns the kept states of a trial, in the order of their steps.

    Those of a shorter run that the trial continues are among them, up to the end of the
    trunk that both share.
    """
    found = []
    for id, is_own in _ids(stored.events(store), trial):
        for name, line in stored.committed_states(store, KIND).items():
            if not is_own and line["blocks"] > _trunk(store, name):
                continue
            ids = read_npz(store.folder / line["file"], only="trial")["trial"].tolist()
            found += [Kept(line["steps"], name, ids.index(id))] if id in ids else []
    return sorted(found)


def read(store: Any, kept: Kept) -> list[np.ndarray]:
    """Returns the leaves of a kept state, in the types of an `.npz`.

    Raises:
        Refusal: the file was damaged after the store was opened.
    """
    arrays = stored.read(store, kept.name)
    count = sum(name.startswith("state/") for name in arrays)
    return [arrays[f"state/{k}"][kept.row] for k in range(count)]


def put(state: Any, leaves: list[np.ndarray]) -> bool:
    """Writes a kept state into every row of a state [trials, ...].

    Returns:
      False, and nothing is written, if the state has other leaves.
    """
    into = jax.tree.leaves(state)
    shapes = [(storable(x[:0]).dtype, x.shape[1:]) for x in into]
    if shapes != [(x.dtype, x.shape) for x in leaves]:
        return False
    for old, new in zip(into, leaves, strict=True):
        old[...] = np.asarray(new).view(old.dtype)
    return True


def storable(values: np.ndarray) -> np.ndarray:
    """Returns the same bits in a type that an `.npz` preserves: bfloat16 as uint16."""
    if values.dtype.kind in "biufc":
        return values
    return values.view(f"u{values.dtype.itemsize}")


def _ids(events: list[dict[str, Any]], trial: str) -> list[tuple[str, bool]]:
    """Returns (id, True) of a trial and (id, False) of the ones that it continues."""
    found, rounds = [(trial, True)], [one for one in events if "round" in one]
    for event in reversed(rounds):
        last = found[-1][0]
        if "continues" not in event or last not in event["ids"]:
            continue
        place = event["ids"].index(last)
        before = [
            one["ids"][place]
            for one in rounds
            if extension.label(one) == event["continues"]
        ]
        found += [(id, False) for id in before[:1]]
    return found


def _trunk(store: Any, name: str) -> int:
    """Returns the blocks of a cohort that a longer run has taken over; 0: none."""
    cohort = name.rpartition("-kept-")[0]
    states = stored.committed_states(store).get(f"{cohort}-states", {})
    return states.get("blocks", 0)
