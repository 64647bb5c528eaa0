import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import Refusal, problems
from gradjax.diagnostics import landscape
from gradjax.diagnostics.directions import normalise_filters, random_direction

HESSIAN = np.diag([1.0, 4.0, 9.0]) + 0.5


def quadratic(params):
    w = jnp.concatenate([params["a"].ravel(), params["b"]])
    return 0.5 * w @ jnp.asarray(HESSIAN, w.dtype) @ w


POINT = {"a": np.asarray([[1.0], [-2.0]]), "b": np.asarray([0.5])}
DIRECTION = {"a": np.asarray([[0.3], [0.1]]), "b": np.asarray([-1.0])}


def flat(tree):
    return np.concatenate([tree["a"].ravel(), tree["b"]])


def net(params, inputs, labels):
    hidden = jnp.tanh(inputs @ params["w"] + params["b"][None])
    return jnp.mean((hidden @ params["v"] - labels) ** 2), {"aux": 1.0}


@pytest.fixture(scope="module")
def nets():
    def made(seed):
        keys = jax.random.split(jax.random.key(seed), 3)
        shapes = {"w": (4, 8), "b": (8,), "v": (8, 2)}
        drawn = zip(shapes.items(), keys, strict=True)
        return {name: jax.random.normal(key, shape) for (name, shape), key in drawn}

    inputs = jax.random.normal(jax.random.key(9), (16, 4))
    return made(0), made(1), (inputs, jnp.sin(inputs[:, :2]))


@pytest.mark.parametrize("chunk", [None, 1, 4, 100])
def test_a_line_on_a_quadratic_is_an_exact_parabola(chunk):
    a = np.linspace(-2.0, 3.0, 11)
    with jax.enable_x64(True):
        found = landscape.line(quadratic, POINT, DIRECTION, a, chunk=chunk)
        w, d = flat(POINT), flat(DIRECTION)
        parabola = [0.5 * w @ HESSIAN @ w, w @ HESSIAN @ d, 0.5 * d @ HESSIAN @ d]
        expected = np.polynomial.polynomial.polyval(a, parabola)
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.slow
def test_a_plane_has_the_loss_of_each_point_with_rows_along_the_second(nets):
    params, _, args = nets
    d, e = (random_direction(params, jax.random.key(k)) for k in (1, 2))
    xs, ys = np.linspace(-1.0, 1.0, 3), np.linspace(0.0, 2.0, 5)
    found = landscape.plane(net, params, (d, e), (xs, ys), *args, chunk=4)
    assert found.shape == (5, 3)
    for row, column in ((0, 0), (4, 0), (2, 1), (1, 2)):
        a, b = xs[column], ys[row]
        moved = jax.tree.map(lambda w, x, y, a=a, b=b: w + a * x + b * y, params, d, e)
        expected = net(moved, *args)[0]
        assert found[row, column] == pytest.approx(float(expected), rel=1e-5)


def test_one_program_serves_all_parameters(nets):
    params, other, args = nets
    direction = random_direction(params, jax.random.key(1))
    calls = []

    def loss(params, *args):
        calls.append(1)
        return net(params, *args)

    for start in (params, other):
        for scale in (1.0, 2.0):
            landscape.line(loss, start, direction, [0.0, scale], *args)
    # Once for the check of each call, and once when the program is compiled.
    assert len(calls) <= 4 + 2


def test_the_barrier_of_a_point_with_itself_is_0(nets):
    params, _, args = nets
    found = landscape.barrier(net, params, params, *args)
    assert float(found.height) == 0.0
    np.testing.assert_array_equal(found.losses, found.losses[0])
    assert landscape.barrier(quadratic, POINT, POINT).height == 0.0


def test_the_barrier_is_the_largest_height_above_the_chord():
    """Of (x^2 - 1)^2 + x from -1 to 1: 1 at 0, where the chord is 0."""

    def wells(x):
        return (x**2 - 1.0) ** 2 + x

    low, high = jnp.float32(-1.0), jnp.float32(1.0)
    found = landscape.barrier(wells, low, high)
    assert float(found.height) == pytest.approx(1.0, rel=1e-6)
    assert float(found.position) == pytest.approx(0.5)
    np.testing.assert_allclose(found.positions, np.linspace(0.0, 1.0, 21), rtol=1e-6)
    bowl = landscape.barrier(lambda x: x**2, low, high)
    assert float(bowl.height) == 0.0 and float(bowl.position) in (0.0, 1.0)


def test_the_ends_of_a_line_between_points_are_exact(nets):
    start, end, args = nets
    found = landscape.between(net, start, end, [0.0, 1.0, 0.5], *args)
    for k, one in enumerate((start, end)):
        alone = landscape.between(net, one, one, [0.0, 1.0, 0.5], *args)
        assert found[k] == alone[k]
    middle = jax.tree.map(lambda u, v: (u + v) / 2.0, start, end)
    assert found[2] == pytest.approx(float(net(middle, *args)[0]), rel=1e-5)


def test_a_loss_that_is_not_finite_is_no_barrier_of_0():
    def wall(x):
        return jnp.where(jnp.abs(x) < 0.3, jnp.inf, x**2)

    ends = jnp.float32(-1.0), jnp.float32(1.0)
    assert np.isinf(landscape.barrier(wall, *ends).height)
    assert np.isnan(landscape.barrier(jnp.log, *ends).height)
    assert np.isnan(landscape.barrier(lambda x: 1.0 / x, ends[0], 0.0 * ends[1]).height)


def norms(leaf):
    leaf = np.asarray(leaf, np.float64)
    return np.sqrt((leaf**2).sum(axis=tuple(range(leaf.ndim - 1))))


@pytest.mark.parametrize(
    "model", ["wine_mlp", pytest.param("digits_cnn", marks=pytest.mark.slow)]
)
def test_filters_of_a_direction_have_the_norms_of_the_parameters(model):
    params = jax.jit(problems.make(model).init)(jax.random.key(0))
    direction = jax.jit(random_direction)(params, jax.random.key(1))
    leaves = zip(jax.tree.leaves(direction), jax.tree.leaves(params), strict=True)
    for d, w in leaves:
        if w.ndim < 2:
            assert not d.any(), "a bias stays where it is"
        else:
            np.testing.assert_allclose(norms(d), norms(w), rtol=1e-5)
            assert np.abs(d - w).max() > 0.1 * np.abs(w).max()


def test_normalising_keeps_the_direction_of_each_filter():
    params = {"w": jnp.asarray([[3.0, 0.0], [4.0, 0.0]]), "b": jnp.ones(2)}
    direction = {"w": jnp.asarray([[0.0, 1.0], [2.0, 1.0]]), "b": jnp.asarray([2.0, 0])}
    found = normalise_filters(direction, params)
    np.testing.assert_allclose(found["w"], [[0.0, 0.0], [5.0, 0.0]])
    np.testing.assert_array_equal(found["b"], 0.0)
    both = normalise_filters(direction, params, vectors=True)
    np.testing.assert_allclose(both["b"], [np.sqrt(2.0), 0.0], rtol=1e-6)
    still = normalise_filters(jax.tree.map(jnp.zeros_like, direction), params)
    assert not still["w"].any(), "a filter of zeros stays 0 and is not NaN"


def test_bfloat16_parameters_move_in_float32(nets):
    params, other, args = nets
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    direction = random_direction(half, jax.random.key(1))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(direction))
    found = landscape.line(net, half, direction, [0.0, 0.5], *args)
    full = landscape.line(net, params, direction, [0.0, 0.5], *args)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, full, rtol=0.05)
    ends = jax.tree.map(lambda x: x.astype(jnp.bfloat16), other)
    assert np.isfinite(landscape.barrier(net, half, ends, *args).height)


def test_works_under_vmap_and_jit(nets):
    start, end, args = nets
    both = jax.tree.map(lambda *x: jnp.stack(x), start, end)

    @jax.jit
    @jax.vmap
    def heights(one):
        direction = random_direction(one, jax.random.key(3))
        losses = landscape.line(net, one, direction, [0.0, 1.0], *args)
        return losses, landscape.barrier(net, one, end, *args, num_points=5).height

    losses, barriers = heights(both)
    for k, one in enumerate((start, end)):
        direction = random_direction(one, jax.random.key(3))
        alone = landscape.line(net, one, direction, [0.0, 1.0], *args)
        np.testing.assert_allclose(losses[k], alone, rtol=1e-5)
        height = landscape.barrier(net, one, end, *args, num_points=5).height
        np.testing.assert_allclose(barriers[k], height, rtol=1e-4, atol=1e-6)


REFUSED = {
    "another structure": lambda: landscape.line(
        quadratic, POINT, {"a": POINT["a"]}, [0.0]
    ),
    "leaves of shapes [2] and [1]": lambda: landscape.line(
        quadratic, POINT, POINT | {"b": np.zeros(2)}, [0.0]
    ),
    "positions has shape (): expected f[points]": lambda: landscape.line(
        quadratic, POINT, DIRECTION, 0.5
    ),
    "axes has shape (0,): expected f[points]": lambda: landscape.plane(
        quadratic, POINT, (DIRECTION, DIRECTION), ([0.0], [])
    ),
    "chunk=0: expected a whole number from 1": lambda: landscape.line(
        quadratic, POINT, DIRECTION, [0.0], chunk=0
    ),
    "num_points=1: expected a whole number from 2": lambda: landscape.barrier(
        quadratic, POINT, POINT, num_points=1
    ),
    "the loss gives float32[3]: expected f[]": lambda: landscape.line(
        lambda w: w, jnp.ones(3), jnp.ones(3), [0.0]
    ),
    "the loss gives int32[]: expected f[]": lambda: landscape.line(
        lambda w: w.size, jnp.ones(3), jnp.ones(3), [0.0]
    ),
    "the loss fails": lambda: landscape.line(
        lambda w: w @ jnp.ones(4), jnp.ones(3), jnp.ones(3), [0.0]
    ),
    "no parameter has two axes or more": lambda: random_direction(
        jnp.ones(3), jax.random.key(0)
    ),
}


@pytest.mark.parametrize("line", REFUSED)
def test_refuses_in_one_line(line):
    with pytest.raises(Refusal) as refused:
        REFUSED[line]()
    assert line in str(refused.value) and "\n" not in str(refused.value)
