"""Finds where the examples of a held-out split differ from those of training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gradjax.types import Source


class Difference(NamedTuple):
    """A leaf of a batch that is another one in a held-out split."""

    leaf: str  # such as batch['x']
    found: jax.ShapeDtypeStruct | None  # of one example; None: there is no such leaf
    expected: jax.ShapeDtypeStruct | None  # the same in training

    def __str__(self) -> str:
        """Returns the leaf with its type and shape in both splits."""
        return (
            f"an example of {self.leaf} is {_words(self.found)}, expected"
            f" {_words(self.expected)} as in training"
        )

    @property
    def is_of_rank(self) -> bool:
        """Returns whether both have the leaf, with another number of axes."""
        if self.found is None or self.expected is None:
            return False
        return len(self.found.shape) != len(self.expected.shape)


def differences(train: Source, other: Source) -> list[Difference]:
    """Compares the types and shapes of the examples that two sources give.

    Args:
      train: the source of training.
      other: that of a held-out split.

    Returns:
      The leaves with another number of axes, then those with another shape or type,
      and then those that only one of the two has. Nothing is computed.
    """
    expected, found = _examples(train), _examples(other)
    unequal = [
        Difference(leaf, found.get(leaf), expected.get(leaf))
        for leaf in dict.fromkeys([*expected, *found])
        if found.get(leaf) != expected.get(leaf)
    ]
    return sorted(unequal, key=lambda one: (not one.is_of_rank, None in one))


def _examples(source: Source) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns leaf -> the type and the shape of one example."""
    indices = jax.ShapeDtypeStruct((1,), jnp.uint32)
    batch = jax.eval_shape(source.take, source.arrays, indices)
    return {
        f"batch{jax.tree_util.keystr(path)}": jax.ShapeDtypeStruct(
            leaf.shape[1:], leaf.dtype
        )
        for path, leaf in jax.tree.leaves_with_path(batch)
    }


def _words(example: jax.ShapeDtypeStruct | None) -> str:
    return "absent" if example is None else f"{example.dtype}{list(example.shape)}"
