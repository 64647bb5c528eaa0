import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradjax.diagnostics import angles

CURVATURES = jnp.asarray([0.1, 0.4, 1.0])  # from h to L


def descend(rate, num_steps=200, optimizer=None):
    """The values of both diagnostics at each step, measured in a compiled loop."""
    optimizer = optimizer or optax.sgd(rate)
    start = {"a": jnp.asarray([1.0, -2.0, 0.5])}

    def step(carry, _):
        params, state, turned, moved = carry
        grads = {"a": CURVATURES * params["a"]}
        updates, state = optimizer.update(grads, state, params)
        after = optax.apply_updates(params, updates)
        one, turned = angles.angles(grads, updates, turned)
        two, moved = angles.distances(after, moved)
        return (after, state, turned, moved), (one, two, updates, after)

    memories = angles.angles_memory(start), angles.distances_memory(start)
    carry = (start, optimizer.init(start), *memories)
    return start, jax.lax.scan(step, carry, None, num_steps)[1]


@pytest.mark.parametrize(
    ("rate", "limit"), [(0.9, 1.0), (1.7, 1.0), (1.9, -1.0), (2.1, -1.0)]
)
def test_successive_gradients_of_descent_are_parallel_or_opposite(rate, limit):
    """The bound between both is 2 / (L + h) = 1.818."""
    _, (found, *_) = descend(rate)
    np.testing.assert_allclose(found["successive"][-1], limit, atol=1e-4)
    np.testing.assert_allclose(found["layer_successive"]["a"][-1], limit, atol=1e-4)


def test_the_first_measurement_has_no_angle_to_a_gradient_before():
    _, (found, *_) = descend(0.5, 2)
    assert np.isnan(found["successive"][0]) and np.isfinite(found["successive"][1])


def test_sgd_goes_along_the_gradient_and_ascent_against_it():
    _, (found, *_) = descend(0.5, 3)
    np.testing.assert_allclose(found["descent"], 1.0, rtol=1e-6)
    _, (found, *_) = descend(-0.5, 3)
    np.testing.assert_allclose(found["descent"], -1.0, rtol=1e-6)


def test_a_cosine_is_that_of_numpy():
    _, (found, _, updates, after) = descend(0.1, 5, optax.adam(0.1))
    before = after["a"][-1] - updates["a"][-1]
    grads, step = CURVATURES * before, updates["a"][-1]
    expected = -(grads @ step) / np.linalg.norm(grads) / np.linalg.norm(step)
    np.testing.assert_allclose(found["descent"][-1], expected, rtol=1e-5)


def test_vectors_whose_squares_overflow_together_have_a_cosine():
    large, small = {"a": jnp.full(2, 1e18)}, {"a": jnp.full(2, 1e-18)}
    found, memory = angles.angles(large, small, angles.angles_memory(large))
    np.testing.assert_allclose(found["descent"], -1.0, rtol=1e-6)
    found, _ = angles.angles(large, small, memory)
    np.testing.assert_allclose(found["successive"], 1.0, rtol=1e-6)


def test_the_length_of_the_path_is_the_sum_of_the_updates():
    start, (_, found, updates, after) = descend(1.9, 50)
    steps = np.linalg.norm(np.asarray(updates["a"], np.float64), axis=1)
    np.testing.assert_allclose(found["path_length"], np.cumsum(steps), rtol=1e-5)
    distance = np.linalg.norm(after["a"] - start["a"][None], axis=1)
    np.testing.assert_allclose(found["from_start"], distance, rtol=1e-5)
    np.testing.assert_allclose(found["layer_from_start"]["a"], distance, rtol=1e-5)
    assert found["straightness"][-1] < 0.7 and found["straightness"][0] == 1.0


def test_distances_of_bfloat16_are_float32():
    start = {"a": jnp.ones(3, jnp.bfloat16)}
    after = {"a": start["a"] + 1}
    found, memory = angles.distances(after, angles.distances_memory(start))
    assert found["from_start"].dtype == memory["length"].dtype == jnp.float32
    np.testing.assert_allclose(found["from_start"], 3**0.5, rtol=1e-6)
