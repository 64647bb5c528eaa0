"""The plane in which a path of parameters moves most: its principal components.

With the points w_0, ..., w_n and the differences D, f[n + 1, parameters], of each point
from the last one, the singular value decomposition D = U S V' gives the directions: the
rows of V' with the two largest singular values. The path in the plane is D V, and
component k has the share s_k^2 / sum_j s_j^2 of the squared distances from w_n.

Source: Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 7.2. The
differences are from the last point and not from the mean, so that the plane contains
the last point, and the loss there is that of the trained network.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.counts import as_whole
from gradjax.errors import Refusal
from gradjax.types import Params


class Plane(NamedTuple):
    """The plane of a path's principal components, on the host.

    Attributes:
      origin: the last point of the path, a pytree.
      directions: two pytrees like it, orthogonal and of norm 1; at least float32. If
        the path is straight, the second one is an arbitrary one.
      path: f64[points, 2], the projected path; its last point is 0.
      shares: f64[components], of all components, in falling order; their sum is 1.
    """

    origin: Params
    directions: tuple[Params, Params]
    path: np.ndarray
    shares: np.ndarray


def principal_plane(points: Sequence[Params]) -> Plane:
    """Finds the plane of the two principal components of a path.

    The sign of a direction is such that the first point does not lie on its negative
    side. The work is done in float64 and takes 8 bytes for each parameter of each
    point, about three times.

    Args:
      points: the parameters along the path, at least two pytrees of one structure, with
        two numbers or more.

    Raises:
        Refusal: fewer than two points, different structures or shapes, a number that is
            not finite, or points that are all equal.
    """
    if len(points) < 2:
        raise Refusal(f"a path of {len(points)} points: expected two or more")
    rows = np.stack([_flat(point, points[0]) for point in points])
    if rows.shape[1] < 2:
        raise Refusal("a plane needs parameters of at least two numbers")
    if not np.isfinite(rows).all():
        bad = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise Refusal(f"point {bad} of the path has a number that is not finite")
    differences = rows - rows[-1]
    if not differences.any():
        raise Refusal("all points of the path are equal, so they span no plane")
    _, singular, components = np.linalg.svd(differences, full_matrices=False)
    squares = singular**2
    path = differences @ components[:2].T
    signs = np.where(path[0] < 0.0, -1.0, 1.0)
    first, second = (
        _tree(component, points[-1]) for component in components[:2] * signs[:, None]
    )
    shares = squares / squares.sum()
    path = path * signs + 0.0  # so that no number is -0
    return Plane(points[-1], (first, second), path, shares)


def axes_around(
    path: Any, num_points: int = 41, margin: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the axes of a grid around a projected path, for `landscape.plane`.

    The margin is a part of the longer side on each side. The shorter side has at least
    half the length of the longer one, so that a straight path has a surface around it.

    Args:
      path: f[points, 2].
      num_points: along each side, from 2.
      margin: above 0.

    Returns:
      (f64[num_points], f64[num_points]).

    Raises:
        Refusal: another shape, numbers that are not finite, a path of equal points,
            fewer than two points along a side, or a margin that is not positive.
    """
    points, count = np.asarray(path, np.float64), as_whole(num_points)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise Refusal(f"path has shape {points.shape}: expected finite f[points, 2]")
    if count is None or count < 2:
        raise Refusal(f"num_points={num_points!r}: expected a whole number from 2")
    if not 0.0 < margin < np.inf:
        raise Refusal(f"margin={margin!r}: expected a positive number")
    low, high = points.min(axis=0), points.max(axis=0)
    longest = float((high - low).max())
    if longest == 0.0:
        raise Refusal("all points of the path are equal")
    middle = (low + high) / 2.0
    half = np.maximum(high - low, longest / 2.0) / 2.0 + margin * longest
    xs, ys = np.linspace(middle - half, middle + half, count, axis=1)
    return xs, ys


def _flat(point: Params, first: Params) -> np.ndarray:
    """Returns the numbers of a point, f64[parameters]."""
    if jax.tree.structure(point) != jax.tree.structure(first):
        raise Refusal("the points of the path have different structures")
    leaves, others = jax.tree.leaves(point), jax.tree.leaves(first)
    for leaf, other in zip(leaves, others, strict=True):
        if np.shape(leaf) != np.shape(other):
            shapes = f"{list(np.shape(leaf))} and {list(np.shape(other))}"
            raise Refusal(f"the points of the path have leaves of shapes {shapes}")
    parts = [np.asarray(leaf).astype(np.float64).ravel() for leaf in leaves]
    return np.concatenate(parts) if parts else np.empty(0)


def _tree(values: np.ndarray, like: Params) -> Params:
    """Returns a pytree like another one from f64[parameters]."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([np.size(leaf) for leaf in leaves])
    parts = np.split(values, ends[:-1])
    made = [
        part.reshape(np.shape(leaf)).astype(
            jnp.promote_types(np.asarray(leaf).dtype, jnp.float32)
        )
        for part, leaf in zip(parts, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, made)
