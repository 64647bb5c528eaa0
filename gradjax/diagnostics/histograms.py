"""Histograms of absolute values of parameters, gradients and updates."""

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.counts import as_whole
from gradjax.diagnostics import trees
from gradjax.errors import Refusal
from gradjax.types import Params

_MOST_BINS = 10_000


def log_edges(
    lowest: float = 1e-12, highest: float = 1e3, num_bins: int = 60
) -> np.ndarray:
    """Returns the edges of the bins, equally spaced on a log axis: f64[num_bins + 1].

    Raises:
        Refusal: not 0 < lowest < highest, or num_bins is not a whole number from 1 to
            10,000.
    """
    if not 0.0 < lowest < highest < np.inf:
        bounds = f"lowest={lowest!r}, highest={highest!r}"
        raise Refusal(f"{bounds}: expected 0 < lowest < highest")
    if not 1 <= (as_whole(num_bins) or 0) <= _MOST_BINS:
        raise Refusal(f"num_bins={num_bins!r}: expected 1 to {_MOST_BINS}")
    return np.geomspace(lowest, highest, num_bins + 1)


def log_histograms(
    params: Params,
    grads: Params,
    updates: Params,
    lowest: float = 1e-12,
    highest: float = 1e3,
    num_bins: int = 60,
) -> dict[str, jax.Array]:
    """Counts absolute values in bins of equal width on a log axis.

    Args:
      params: the parameters before the step.
      grads: the gradient of the batch.
      updates: what the step added to the parameters.
      lowest: the lower edge of the first bin.
      highest: the upper edge of the last bin.
      num_bins: the number of bins between them. The edges are those of `log_edges`.

    Returns:
      `params`, `grads` and `updates`, f32[num_bins + 2] each: the number of values
      below `lowest`, which include zeros; the number in each bin, which includes its
      lower edge; and the number from `highest` on, which include infinity and NaN.

    Raises:
        Refusal: see `log_edges`.
    """
    edges = log_edges(lowest, highest, num_bins)
    named = {"params": params, "grads": grads, "updates": updates}
    return {name: _counts(tree, edges) for name, tree in named.items()}


def _counts(tree: Params, edges: np.ndarray) -> jax.Array:
    """Counts the values of all leaves; sums of integers are exact up to 2^31."""
    counts = [_leaf_counts(x, edges) for x in jax.tree.leaves(trees.widened(tree))]
    return jnp.stack(counts).sum(axis=0).astype(jnp.float32)


def _leaf_counts(leaf: jax.Array, edges: np.ndarray) -> jax.Array:
    values = jnp.abs(leaf).ravel()
    bounds = jnp.asarray(edges, values.dtype)
    # searchsorted puts NaN after all edges.
    bins = jnp.searchsorted(bounds, values, side="right")
    return jnp.bincount(bins, length=len(edges) + 1)
