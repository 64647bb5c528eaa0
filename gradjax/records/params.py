"""Parameters of trials in a store: committed when a cohort ends, read by trial."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gradjax.records import extension
from gradjax.records import store as stored
from gradjax.training.leaf_names import path_name
from gradjax.types import Trials

Leaves = dict[str, np.ndarray]  # path of a leaf -> values
_LEAF, _STATE = "params/", "model_state/"  # before the paths of leaves
_TYPE = "dtype/"  # before both: the type of a leaf that an `.npz` does not have


def commit(
    store: Any,
    name: str,
    ids: list[str],
    found: Trials,
    keep: Callable[[Any, Trials], np.ndarray],
    cohort: Any,
) -> None:
    """Stores the parameters of the trials of a cohort that `keep` chooses.

    The state of their network is stored beside them.

    Args:
      store: open to write.
      name: the name of the cohort.
      ids: the ids of its trials.
      found: the results of its trials.
      keep: (cohort, found) -> bool[trials], whose parameters are stored.
      cohort: the trials.
    """
    arrays = arrays_of(ids, found, keep(cohort, found))
    stored.commit_params(store, name, arrays)


def arrays_of(ids: list[str], found: Any, is_kept: np.ndarray) -> Leaves:
    """Returns the arrays of a file of parameters.

    Args:
      ids: the ids of trials.
      found: the Trials; it may be None if nothing is kept.
      is_kept: bool[trials].
    """
    rows, arrays = np.flatnonzero(is_kept), {}
    if not len(rows):
        return {"trial": np.asarray(ids)[rows]}
    for start, tree in ((_LEAF, found.params), (_STATE, found.model_state)):
        for path, values in jax.tree.leaves_with_path(tree):
            leaf = f"{start}{path_name(path)}"
            arrays[leaf] = plain(values[rows])
            if arrays[leaf].dtype != values.dtype:
                arrays[f"{_TYPE}{leaf}"] = np.full(len(rows), values.dtype.name)
    return {"trial": np.asarray(ids)[rows], **arrays}


def leaves_of(store: Any, trial: str) -> tuple[Leaves, Leaves] | None:
    """Reads the parameters of a trial and the state of its network: path -> values.

    Returns:
      (parameters, state) in their types, the state without leaves where the network has
      none; None if they are not stored.

    Raises:
        Refusal: the file has been damaged.
    """
    one = _arrays_of(store, trial)
    return None if one is None else (_under(_LEAF, one), _under(_STATE, one))


def _arrays_of(store: Any, trial: str) -> Leaves | None:
    """Reads the stored leaves of a trial in their types; None if there are none."""
    for name in _likely_first(store, trial):
        arrays = stored.read(store, name)
        rows = np.flatnonzero(arrays["trial"] == trial)
        if rows.size:
            one = {path: values[rows[0]] for path, values in arrays.items()}
            kinds = _under(_TYPE, one)
            return one | {path: one[path].astype(kinds[path]) for path in kinds}
    return None


def _likely_first(store: Any, trial: str) -> list[str]:
    """Returns the names of the files that can hold the parameters of a trial.

    The first one is the most likely. The files of a round and a group hold its trials
    in order, so the place of the trial in its group says about which file it is. If the
    journal does not list the trial, these are all files.
    """
    names = list(stored.committed_params(store))
    for event in stored.events(store):
        if "round" not in event or trial not in event["ids"]:
            continue
        group = event["trials"][event["ids"].index(trial)]["group"]
        pairs = zip(event["ids"], event["trials"], strict=True)
        of = [id for id, one in pairs if one["group"] == group]
        start = f"{extension.label(event)}-{group}-"
        own = [name for name in names if name.startswith(start)]
        own = sorted(own, key=lambda name: (len(name), name))  # -9999 before -10000
        at = of.index(trial) * len(own) // len(of)
        order = sorted(range(len(own)), key=lambda k: abs(k - at))
        return [own[k] for k in order]
    return names


def _under(start: str, arrays: Leaves) -> Leaves:
    """Returns the arrays whose names begin with `start`, without this beginning."""
    return {k.removeprefix(start): x for k, x in arrays.items() if k.startswith(start)}


def plain(values: np.ndarray) -> np.ndarray:
    """Returns values in a type that an `.npz` preserves: bfloat16 as float32."""
    return values if values.dtype.kind in "biufc" else values.astype(np.float32)
