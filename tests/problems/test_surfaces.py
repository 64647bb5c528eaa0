import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import problems
from gradjax.problems import SURFACES

FROM_THE_PAPERS = {  # (x, y): value, each by hand
    "beale": {(0.0, 0.0): 14.203125, (1.0, 1.0): 14.203125, (3.0, 0.5): 0.0},
    "booth": {(0.0, 0.0): 74.0, (-6.0, -4.0): 882.0, (1.0, 3.0): 0.0},
    "branin": {
        (0.0, 6.0): 20.0 - 10.0 / (8 * np.pi),
        (np.pi, 2.275): 0.397887357729739,
    },
    "himmelblau": {(0.0, 0.0): 170.0, (3.0, 2.0): 0.0, (1.0, 1.0): 106.0},
    "plateau": {(0.0, 0.0): 0.0, (4.0, 3.0): 25 / 26, (1.0, 0.0): 0.5},
    "rastrigin": {(0.0, 0.0): 0.0, (1.0, 1.0): 2.0, (0.5, 0.0): 20.25},
    "rosenbrock": {(-1.2, 1.0): 24.2, (1.0, 1.0): 0.0, (0.0, 0.0): 1.0},
    "saddle": {(0.0, 0.0): 0.0, (2.0, 0.0): 2.0, (0.0, 1.0): -0.25},
    "styblinski_tang": {(0.0, 0.0): 0.0, (1.0, 1.0): -10.0, (-2.0, 0.0): -29.0},
}


def test_every_surface_has_its_numbers():
    assert FROM_THE_PAPERS.keys() == SURFACES.keys()


@pytest.mark.parametrize("name", SURFACES)
def test_values_by_hand(name):
    for (x, y), value in FROM_THE_PAPERS[name].items():
        with jax.enable_x64(True):
            found = float(SURFACES[name].function(x, y))
        assert found == pytest.approx(value, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", SURFACES)
def test_nothing_in_the_domain_is_lower(name):
    """On a grid as a picture draws it, which a surface takes whole."""
    surface = SURFACES[name]
    with jax.enable_x64(True):
        x, y = np.meshgrid(*(np.linspace(*lim, 401) for lim in surface[-2:]))
        values = np.asarray(surface.function(x, y))
    assert values.shape == x.shape
    assert values.min() >= surface.minimum - 1e-12
    nearest = np.unravel_index(values.argmin(), values.shape)
    found = np.asarray([x[nearest], y[nearest]])
    distances = np.linalg.norm(np.asarray(surface.minimisers) - found[None], axis=1)
    assert distances.min() < 0.2


@pytest.mark.parametrize("name", SURFACES)
def test_the_domain_holds_the_start_and_the_minima(name):
    surface = SURFACES[name]
    for x, y in (surface.start, *surface.minimisers):
        assert surface.xlim[0] <= x <= surface.xlim[1]
        assert surface.ylim[0] <= y <= surface.ylim[1]


def test_a_start_and_its_noise_may_be_chosen():
    problem = problems.make("rosenbrock(start=(2, -1))")
    for seed in (0, 1):
        assert problem.init(jax.random.key(seed)).tolist() == [2.0, -1.0]
    noisy = problems.make("rosenbrock(noise=0.5)")
    keys = jax.vmap(jax.random.key)(np.arange(400))
    starts = np.asarray(jax.jit(jax.vmap(noisy.init))(keys))
    np.testing.assert_allclose(starts.mean(axis=0), [-1.2, 1.0], atol=0.1)
    np.testing.assert_allclose(starts.std(axis=0), 0.5, atol=0.05)


@pytest.mark.slow
def test_gradient_descent_ends_at_the_saddle_from_its_line_only():
    def end(start):
        problem = problems.make(f"saddle(start={start})")
        return gradjax.run(gradjax.program(problem, "sgd(0.1)", num_steps=200)).params

    np.testing.assert_allclose(end((1.0, 0.0)), [0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(end((1.0, 0.01)), [0.0, 1.0], atol=1e-4)
    np.testing.assert_allclose(end((1.0, -0.01)), [0.0, -1.0], atol=1e-4)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B"])
@pytest.mark.slow
def test_lbfgs_finds_on_rosenbrock_what_scipy_finds(method, lbfgs_result):
    from scipy.optimize import minimize, rosen, rosen_der

    start = SURFACES["rosenbrock"].start
    scipys = minimize(rosen, start, jac=rosen_der, method=method)
    np.testing.assert_allclose(lbfgs_result.params, scipys.x, atol=1e-3)
    assert lbfgs_result.trace["loss"].values[0] == pytest.approx(rosen(start), rel=1e-6)
    losses = lbfgs_result.trace["loss"].values
    solved_in = int(np.argmax(losses < 1e-6))
    assert 0 < solved_in <= 1.5 * scipys.nit


@pytest.fixture(scope="module")
def lbfgs_result():
    problem = problems.make("rosenbrock")
    return gradjax.run(gradjax.program(problem, "lbfgs", num_steps=50))


def test_our_gradient_of_rosenbrock_is_scipys():
    from scipy.optimize import rosen_der, rosen_hess

    loss = problems.make("rosenbrock").loss

    def value(params):
        return loss(params, None, None)[0]

    with jax.enable_x64(True):
        both = jax.jit(
            lambda params: (jax.grad(value)(params), jax.hessian(value)(params))
        )
        for point in np.random.default_rng(0).normal(size=(5, 2)):
            gradient, hessian = both(jnp.asarray(point))
            np.testing.assert_allclose(gradient, rosen_der(point))
            np.testing.assert_allclose(hessian, rosen_hess(point))
