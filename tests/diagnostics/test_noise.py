import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.diagnostics import noise
from gradjax.errors import Refusal
from tests.diagnostics import noisy_quadratic as known

MEMORY = noise.noise_scale_parts_memory(known.PARAMS)


def of_examples(params, batch, grads, memory, _key):
    return noise.noise_scale(known.loss, params, batch, grads, memory, 16, decay=1.0)


def of_parts(num_parts):
    def measure(params, batch, _grads, memory, _key):
        return noise.noise_scale_parts(
            known.loss, params, batch, memory, num_parts, decay=1.0
        )

    return measure


@pytest.mark.parametrize("measure", [of_examples, of_parts(2), of_parts(8)])
def test_noise_scale_of_known_noise_is_its_closed_form(measure):
    found = known.measured(measure, MEMORY, 1000, 32)
    expected = known.TRACE / known.SQUARE
    assert found["noise_scale"][-1] == pytest.approx(expected, rel=0.1)
    assert found["mean_trace"][-1] == pytest.approx(known.TRACE, rel=0.1)
    assert found["mean_squared_gradient"][-1] == pytest.approx(known.SQUARE, rel=0.05)


def test_parts_of_one_example_are_the_estimate_from_examples():
    batch = known.draw(jax.random.key(0), 12)
    grads = jax.grad(known.loss)(known.PARAMS, batch)
    one, _ = of_examples(known.PARAMS, batch, grads, MEMORY, None)
    other, _ = of_parts(12)(known.PARAMS, batch, None, MEMORY, None)
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], rtol=1e-5)


def test_both_estimates_are_the_formulas_of_the_paper():
    batch = known.draw(jax.random.key(1), 10)
    rows = np.asarray(
        jax.vmap(lambda x: jax.grad(known.loss)(known.PARAMS, x[None]))(batch)
    )
    rows = rows.astype(np.float64)
    mean, size = rows.mean(axis=0), len(rows)
    norms = (rows**2).sum(axis=1).mean()
    found, _ = of_examples(
        known.PARAMS, batch, jnp.asarray(mean, jnp.float32), MEMORY, 0
    )
    trace = size * (norms - mean @ mean) / (size - 1)
    square = (size * mean @ mean - norms) / (size - 1)
    np.testing.assert_allclose(found["trace"], trace, rtol=1e-5)
    np.testing.assert_allclose(found["squared_gradient"], square, rtol=1e-5)
    found, _ = of_parts(2)(known.PARAMS, batch, None, MEMORY, None)
    halves = rows.reshape(2, 5, -1).mean(axis=1)
    small, large = (halves**2).sum(axis=1).mean(), mean @ mean
    trace = (small - large) / (1 / 5 - 1 / 10)
    np.testing.assert_allclose(found["trace"], trace, rtol=1e-4)
    square = (10 * large - 5 * small) / (10 - 5)
    np.testing.assert_allclose(found["squared_gradient"], square, rtol=1e-4)


def test_the_scale_is_the_ratio_of_means_with_their_weights():
    decay, values, memory = 0.5, [], MEMORY
    for key in range(3):
        batch = known.draw(jax.random.key(key), 8)
        grads = jax.grad(known.loss)(known.PARAMS, batch)
        found, memory = noise.noise_scale(
            known.loss, known.PARAMS, batch, grads, memory, decay=decay
        )
        values.append((found["trace"], found["squared_gradient"]))
    weights = np.asarray([0.25, 0.5, 1.0])
    above, below = weights @ np.asarray(values)
    np.testing.assert_allclose(found["noise_scale"], above / below, rtol=1e-5)
    np.testing.assert_allclose(found["mean_trace"], above / weights.sum(), rtol=1e-5)


def test_pure_noise_has_no_scale():
    batch = jnp.asarray([[1.0], [-1.0]])
    found, _ = noise.noise_scale(
        lambda p, x: (x * p[None]).mean(), jnp.ones(1), batch, jnp.zeros(1), MEMORY
    )
    assert found["squared_gradient"] == -1.0 and np.isnan(found["noise_scale"])


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_a_decay_out_of_range_is_refused(decay):
    batch = known.draw(jax.random.key(0), 4)
    with pytest.raises(Refusal, match="decay="):
        noise.noise_scale_parts(known.loss, known.PARAMS, batch, MEMORY, decay=decay)


@pytest.mark.parametrize("num_parts", [1, 5, 2.0])
def test_a_number_of_parts_out_of_range_is_refused(num_parts):
    batch = known.draw(jax.random.key(0), 4)
    with pytest.raises(Refusal, match="num_parts=.*expected 2 to 4"):
        noise.noise_scale_parts(known.loss, known.PARAMS, batch, MEMORY, num_parts)
