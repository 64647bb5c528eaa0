"""Rates of convergence on quadratics, measured against their closed forms."""

import jax
import numpy as np
import pytest

import gradjax
from gradjax import problems
from gradjax.problems.quadratic import rotation_of, spectrum_of


def root(condition):
    return np.sqrt(condition)


# The rule's rate and momentum at (largest, smallest) = (1, 1 / condition), the factor
# by which the distance to the minimum shrinks a step, and the power of t before it.
RULES = {
    # Polyak 1963: 2 / (L + mu).
    "gradient_descent": (
        "sgd",
        lambda k: (2 / (1 + 1 / k), None),
        lambda k: (k - 1) / (k + 1),
        0,
    ),
    # Polyak 1964: 4 / (sqrt L + sqrt mu)^2; a double root at both ends.
    "heavy_ball": (
        "sgd(momentum=0.5)",
        lambda k: (
            4 / (1 + 1 / root(k)) ** 2,
            ((root(k) - 1) / (root(k) + 1)) ** 2,
        ),
        lambda k: (root(k) - 1) / (root(k) + 1),
        1,
    ),
    # Nesterov 2004, (2.2.22): 1 / L; a double root at the smallest curvature.
    "nesterov": (
        "sgd(momentum=0.5, nesterov=True)",
        lambda k: (1.0, (root(k) - 1) / (root(k) + 1)),
        lambda k: 1 - 1 / root(k),
        1,
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("condition", "rotated"),
    [
        (25.0, True),
        *(
            pytest.param(*values, marks=pytest.mark.slow)
            for values in ((25.0, False), (100.0, True), (100.0, False))
        ),
    ],
)
def test_the_contraction_is_the_closed_form(rule, condition, rotated):
    expression, numbers, contraction, power = RULES[rule]
    problem = problems.make(f"quadratic(condition={condition}, rotated={rotated})")
    program = gradjax.program(problem, expression, num_steps=150)
    rate, momentum = numbers(condition)
    hparams = {"learning_rate": rate}
    if momentum is not None:
        hparams["optimizer.momentum"] = momentum
    losses = gradjax.run(program, hparams, seed=1).trace["loss"].values
    # The loss goes as (t^power factor^t)^2; in even steps, as heavy ball oscillates.
    steps = np.flatnonzero(losses > 1e-30)[-60:]  # below, a float32 ends
    distances = np.sqrt(losses[steps].astype(np.float64)) / steps**power
    measured = np.exp(np.polyfit(steps, np.log(distances), 1)[0])
    assert measured == pytest.approx(contraction(condition), abs=4e-3)


@pytest.mark.parametrize(("factor", "grows"), [(0.99, False), (1.01, True)])
def test_gradient_descent_is_stable_up_to_two_over_the_largest_curvature(factor, grows):
    problem = problems.make("quadratic(condition=50)")
    rate = factor * 2 / problem.minimum.curvature[1]
    program = gradjax.program(problem, "sgd", num_steps=1_000)
    losses = gradjax.run(program, {"learning_rate": rate}).trace["loss"].values
    assert (losses[-1] > losses[0]) is np.bool_(grows)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 16])
def test_the_noisy_model_settles_where_theory_says(batch_size):
    rate, dim = 0.5, 500
    problem = problems.make(f"noisy_quadratic(dim={dim}, batch_size={batch_size})")
    program = gradjax.program(problem, "sgd", num_steps=8_000)
    trace = gradjax.run(program, {"learning_rate": rate}).trace
    curvatures = 1 / np.arange(1, dim + 1)
    settled = 0.5 * (rate * curvatures / (batch_size * (2 - rate * curvatures))).sum()
    # The slowest coordinate forgets in dim / rate = 1,000 steps.
    seen = trace["expected_loss"].values[4_000:].mean()
    assert seen == pytest.approx(settled, rel=0.05)


def test_spectra():
    for spectrum in ("log", "linear", "two"):
        found = spectrum_of(7, 1e3, spectrum)
        assert found.shape == (7,) and (np.diff(found) >= 0).all()
        np.testing.assert_allclose(found[[0, -1]], [1e-3, 1.0], rtol=1e-12)
    np.testing.assert_allclose(spectrum_of(3, 100.0, "log"), [0.01, 0.1, 1.0])
    np.testing.assert_allclose(spectrum_of(3, 2.0, "linear"), [0.5, 0.75, 1.0])
    np.testing.assert_allclose(spectrum_of(5, 4.0, "two"), [0.25, 0.25, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(spectrum_of(4, 1.0, "log"), np.ones(4))


def test_the_rotation_is_one_and_its_seed_another():
    rotation = rotation_of(6, seed=3)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(6), atol=1e-12)
    assert not np.allclose(rotation, rotation_of(6, seed=4))


def test_a_condition_beyond_float32_keeps_its_smallest_curvature():
    """A rounded Hessian has eigenvalues below 0 there; this one has them to 1 %."""
    problem = problems.make("quadratic(dim=8, condition=1e9)")
    rotation = rotation_of(8, seed=0)
    least = np.asarray(rotation[0], np.float32)
    value = problem.loss(jax.numpy.asarray(least), None, None)[0]
    assert value == pytest.approx(0.5e-9, rel=0.01)


@pytest.mark.slow
def test_sparse_gradients_touch_few_coordinates():
    problem = problems.make("sparse_gradients")
    params = problem.init(None)
    keys = jax.random.split(jax.random.key(0), 500)
    grad = jax.grad(problem.loss, has_aux=True)
    grads = jax.jit(jax.vmap(lambda key: grad(params, None, key)[0]))(keys)
    touched = (grads != 0).sum(axis=1)
    harmonic = (1 / np.arange(1, 101)).sum()
    assert touched.mean() == pytest.approx(harmonic, rel=0.05)
    assert touched.max() < 20
