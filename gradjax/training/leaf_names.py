"""The names of the leaves of a pytree, such as "Dense_0/kernel"."""

from typing import Any

import jax
import numpy as np

from gradjax.types import Params


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
