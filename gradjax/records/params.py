"""Parameters of trials in a store: committed when a cohort ends, read by trial."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gradjax.records import store as stored
from gradjax.types import Params, Trials

Leaves = dict[str, np.ndarray]  # path of a leaf -> values
_LEAF, _STATE = "params/", "model_state/"  # before the paths of leaves


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
    rows = np.flatnonzero(keep(cohort, found))
    arrays = {}
    for start, tree in ((_LEAF, found.params), (_STATE, found.model_state)):
        leaves = jax.tree.leaves_with_path(tree) if len(rows) else []
        arrays |= {f"{start}{path_name(path)}": _plain(x[rows]) for path, x in leaves}
    stored.commit_params(store, name, {"trial": np.asarray(ids)[rows], **arrays})


def leaves_of(store: Any, trial: str) -> tuple[Leaves, Leaves] | None:
    """Reads the parameters of a trial and the state of its network: path -> values.

    Returns:
      (parameters, state), the state without leaves where the network has none; None if
      they are not stored.

    Raises:
        Refusal: the file has been damaged.
    """
    for name in stored.committed_params(store):
        arrays = stored.read(store, name)
        rows = np.flatnonzero(arrays["trial"] == trial)
        if rows.size:
            one = {path: values[rows[0]] for path, values in arrays.items()}
            return _under(_LEAF, one), _under(_STATE, one)
    return None


def _under(start: str, arrays: Leaves) -> Leaves:
    """Returns the arrays whose names begin with `start`, without this beginning."""
    return {k.removeprefix(start): x for k, x in arrays.items() if k.startswith(start)}


def like(tree: Any, leaves: dict[str, np.ndarray]) -> Params:
    """Returns parameters in the structure and the types of a tree, from its paths."""

    def leaf(path: Any, x: Any) -> np.ndarray:
        return leaves[path_name(path)].astype(x.dtype)

    return jax.tree.map_with_path(leaf, tree)


def nest(leaves: dict[str, np.ndarray]) -> Params:
    """Returns parameters as nested dictionaries, from the paths of their leaves."""
    tree: dict[str, Any] = {}
    for name, value in leaves.items():
        *parents, last = map(_unescape, name.split("/"))
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def path_name(path: Any) -> str:
    """Returns the name of a leaf's path in its tree, such as "Dense_0/kernel".

    A "/" inside of a key is written as "%2F", and a "%" as "%25", so different leaves
    have different names. A tree that is one array has the name "params".
    """
    keys = [jax.tree_util.keystr((key,), simple=True) for key in path]
    return "/".join(map(_escape, keys)) or "params"


def _escape(key: str) -> str:
    return key.replace("%", "%25").replace("/", "%2F")


def _unescape(key: str) -> str:
    return key.replace("%2F", "/").replace("%25", "%")


def _plain(values: np.ndarray) -> np.ndarray:
    """Returns values in a type that an `.npz` preserves: bfloat16 as float32."""
    return values if values.dtype.kind in "biufc" else values.astype(np.float32)
