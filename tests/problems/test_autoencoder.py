"""The evidence lower bound against numpy, and its evaluation against a large sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gradjax import Refusal, data
from gradjax.problems import autoencoder as problems

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def dataset():
    return data.load("digits")


@pytest.fixture(scope="module")
def problem(dataset):
    model = problems.autoencoder_of("vae(widths=(16,), latent=2)", dataset)
    return problems.autoencoder(dataset, model)


def batch_of(problem, start, stop):
    return jax.tree.map(lambda leaf: leaf[start:stop], problem.data.train.arrays)


@pytest.mark.parametrize(("mean", "variance"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 4.0)])
def test_the_divergence_is_the_integral(mean, variance):
    posterior, prior = stats.norm(mean, variance**0.5), stats.norm()

    def integrand(z):
        return posterior.pdf(z) * (posterior.logpdf(z) - prior.logpdf(z))

    expected, _ = integrate.quad(integrand, -25, 25)
    ours = problems.divergence(
        jnp.full((1, 1), mean), jnp.log(jnp.full((1, 1), variance))
    )
    assert float(ours[0]) == pytest.approx(expected, abs=1e-4)


def test_the_likelihood_is_bernoullis():
    rng = np.random.default_rng(0)
    logits, pixels = rng.normal(size=(3, 7)), rng.uniform(size=(3, 7)).round()
    chances = 1 / (1 + np.exp(-logits))
    expected = -stats.bernoulli(chances).logpmf(pixels).sum(axis=1)
    ours = problems.bernoulli(jnp.float32(logits), jnp.float32(pixels))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_loss_at_a_network_of_zeros_is_log_two_a_pixel(problem):
    params = jax.tree.map(jnp.zeros_like, problem.init(KEY))
    value, aux = problem.loss(params, batch_of(problem, 0, 8), KEY)
    assert float(value) == pytest.approx(64 * np.log(2), rel=1e-6)
    assert float(aux["kl"]) == 0.0


@pytest.mark.slow
def test_evaluation_is_near_the_mean_over_the_noise_and_fixed(problem):
    params = jax.jit(problem.init)(KEY)
    batch = batch_of(problem, 0, 64)
    metrics = jax.jit(problem.metrics)
    one, other = (metrics(params, batch, jax.random.key(seed)) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    total, count = one["loss"]
    keys = jax.random.split(KEY, 400)
    losses = jax.jit(jax.vmap(lambda key: problem.loss(params, batch, key)[0]))(keys)
    assert losses.std() > 0.01, "the noise counts here"
    assert float(total / count) == pytest.approx(float(losses.mean()), rel=0.02)


@pytest.mark.slow
def test_evaluation_is_the_same_however_it_is_batched(problem):
    params = problem.init(KEY)
    metrics = jax.jit(problem.metrics)
    whole = metrics(params, batch_of(problem, 0, 30), KEY)
    parts = [
        metrics(params, batch_of(problem, start, start + 10), KEY)
        for start in (0, 10, 20)
    ]
    summed = jax.tree.map(lambda *values: sum(values), *parts)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), whole, summed
    )


@pytest.mark.slow
def test_the_report_draws_images_beside_their_copies(problem):
    said = problem.report(problem.init(KEY), problem.data)
    (lines,) = said.texts.values()
    assert len(lines) == 2 * 8
    assert all(line[8:11] == " | " for line in lines) and "@" in "".join(lines)


def test_the_record_says_no_classes(dataset):
    assert "num_classes" not in problems.about(dataset)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("vae(laten=2)", "did you mean 'latent'"),
        ("vae(latent=0)", "expected a whole number from 1"),
        ("mlp", "unknown model 'mlp'"),
    ],
)
def test_a_bad_expression_is_refused(dataset, expression, expected):
    with pytest.raises(Refusal, match=expected):
        problems.autoencoder_of(expression, dataset)
