import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import Refusal
from gradjax.diagnostics import landscape
from gradjax.diagnostics.trajectory import axes_around, principal_plane


def tree(values):
    return {"a": np.asarray(values[:2]).reshape(1, 2), "b": np.asarray(values[2:])}


def flat(one):
    return np.concatenate([np.ravel(one["a"]), np.ravel(one["b"])])


def test_a_straight_path_is_one_component():
    start, step = np.arange(5.0), np.asarray([1.0, -2.0, 0.5, 3.0, 0.0])
    points = [tree(start + t * step) for t in (0.0, 0.1, 0.7, 1.3, 2.0)]
    found = principal_plane(points)
    assert found.shares[0] == pytest.approx(1.0, abs=1e-12)
    length = np.linalg.norm(step)
    distances = np.asarray([2.0, 1.9, 1.3, 0.7, 0.0]) * length
    np.testing.assert_allclose(found.path[:, 0], distances, rtol=1e-12)
    np.testing.assert_allclose(found.path[:, 1], 0.0, atol=1e-12)
    np.testing.assert_allclose(flat(found.directions[0]), -step / length, atol=1e-6)


def test_a_path_in_a_plane_is_found_exactly():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(40, 2)))
    circle = np.linspace(0.0, 3.0, 12)
    plane = np.stack([3.0 * np.cos(circle), np.sin(circle)], axis=1)
    origin = rng.normal(size=40)
    points = [tree(origin + basis @ row) for row in plane]
    found = principal_plane(points)
    assert found.shares[:2].sum() == pytest.approx(1.0, abs=1e-12)
    assert found.shares.sum() == pytest.approx(1.0, abs=1e-12)
    vectors = np.stack([flat(one) for one in found.directions])
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(2), atol=1e-12)
    back = flat(found.origin) + found.path @ vectors
    expected = np.stack([flat(one) for one in points])
    np.testing.assert_allclose(back, expected, atol=1e-12)
    assert (found.path[0] >= 0.0).all() and not found.path[-1].any()


def test_shares_are_those_of_the_squared_distances_from_the_last_point():
    points = [np.asarray(p) for p in ([3.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0], [0, 0, 0])]
    found = principal_plane(points)
    np.testing.assert_allclose(found.shares, np.asarray([9.0, 4.0, 1.0]) / 14.0)


def test_the_surface_at_a_point_of_the_path_is_its_loss():
    points = [jnp.asarray([np.cos(t), np.sin(t), 2.0]) for t in (0.0, 0.5, 1.5)]

    def loss(w):
        return jnp.sum(w**4)

    found = principal_plane(points)
    for point, (x, y) in zip(points, found.path, strict=True):
        axes = ([x], [y])
        here = landscape.plane(loss, found.origin, found.directions, axes)
        assert float(here[0, 0]) == pytest.approx(float(loss(point)), rel=1e-5)


def test_bfloat16_points_have_directions_in_float32():
    points = [jnp.asarray(p, jnp.bfloat16) for p in ([1.0, 2.0], [0.0, 0.5])]
    found = principal_plane(points)
    assert {leaf.dtype for leaf in found.directions} == {np.dtype(np.float32)}
    assert np.linalg.norm(found.directions[0]) == pytest.approx(1.0)
    assert landscape.line(jnp.sum, points[0], found.directions[0], [1.0]).shape == (1,)


def test_axes_contain_the_path_with_a_margin():
    xs, ys = axes_around([[0.0, 0.0], [4.0, 0.1]], num_points=9, margin=0.25)
    assert xs.shape == ys.shape == (9,)
    np.testing.assert_allclose(xs[[0, -1]], [-1.0, 5.0])
    np.testing.assert_allclose(ys[[0, -1]], [0.05 - 2.0, 0.05 + 2.0])


REFUSED = {
    "a path of 1 points: expected two or more": lambda: principal_plane([np.ones(3)]),
    "all points of the path are equal, so": lambda: principal_plane([np.ones(3)] * 3),
    "parameters of at least two numbers": lambda: principal_plane([1.0, 2.0]),
    "different structures": lambda: principal_plane([np.ones(2), {"a": np.ones(2)}]),
    "leaves of shapes [3] and [2]": lambda: principal_plane([np.ones(2), np.ones(3)]),
    "point 1 of the path has a number that is not finite": lambda: principal_plane(
        [np.ones(2), np.asarray([1.0, np.nan])]
    ),
    "path has shape (2,)": lambda: axes_around([0.0, 1.0]),
    "num_points=1: expected": lambda: axes_around(np.eye(2), num_points=1),
    "margin=0.0: expected a positive number": lambda: axes_around(
        np.eye(2), margin=0.0
    ),
    "all points of the path are equal": lambda: axes_around(np.zeros((3, 2))),
}


@pytest.mark.parametrize("line", REFUSED)
def test_refuses_in_one_line(line):
    with pytest.raises(Refusal) as refused:
        REFUSED[line]()
    assert line in str(refused.value)


def test_points_may_be_pytrees_of_one_number_each():
    found = principal_plane([{"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 0.0}])
    assert jax.tree.map(np.shape, found.directions[0]) == {"a": (), "b": ()}
    assert found.shares[0] == pytest.approx(1.0)
