"""Every network of images learns one batch, in lanes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gradjax import data, problems
from gradjax.models import MODELS
from gradjax.problems.autoencoder import autoencoder, autoencoder_of

SMALL = {
    "all_cnn": ("all_cnn(width=8, input_dropout=0.0, dropout=0.0)", 0.01),
    "cnn": ("cnn(channels=(8, 16))", 0.01),
    "cnn_2c2d": ("cnn_2c2d(width=32)", 0.003),
    "cnn_3c3d": ("cnn_3c3d(widths=(32, 16))", 0.003),
    "logistic": ("logistic", 0.1),
    "mlp": ("mlp(widths=(32, 16))", 0.01),
    "resnet": ("resnet(width=8)", 0.01),
    "vit": ("vit(width=16, depth=2)", 0.01),
}


def learns(problem, rate):
    """Losses f32[lanes, steps] of Adam on 32 images."""
    import optax

    batch = jax.tree.map(lambda leaf: leaf[:32], problem.data.train.arrays)
    optimizer = optax.adam(rate)

    def train(seed):
        key = jax.random.key(seed)
        params = problem.init(key)

        def step(carry, i):
            params, state = carry
            loss_key = jax.random.fold_in(key, i)
            (value, _), grads = jax.value_and_grad(problem.loss, has_aux=True)(
                params, batch, loss_key
            )
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), value

        start = params, optimizer.init(params)
        return jax.lax.scan(step, start, jnp.arange(51))[1]

    return jax.jit(jax.vmap(train))(jnp.arange(2))


def test_every_network_is_here():
    assert set(SMALL) == set(MODELS)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.slow
def test_the_loss_of_one_batch_halves_in_50_steps(name):
    expression, rate = SMALL[name]
    dataset = data.load("digits")
    problem = problems.classification(dataset, problems.model_for(expression, dataset))
    losses = np.asarray(learns(problem, rate))
    assert losses.shape == (2, 51) and np.isfinite(losses).all()
    assert (losses[:, -1] < 0.5 * losses[:, 0]).all(), losses[:, [0, -1]]


@pytest.mark.slow
def test_an_autoencoder_learns_one_batch():
    """What the pixels' greys leave to learn halves; their own entropy stays."""
    dataset = data.load("digits")
    problem = autoencoder(dataset, autoencoder_of("vae(widths=(32,))", dataset))
    pixels = dataset.train["image"][:32] / dataset.max_value
    entropy = special.entr(pixels) + special.entr(1.0 - pixels)
    least = entropy.reshape(32, -1).sum(axis=1).mean()
    losses = np.asarray(learns(problem, 0.01)) - least
    assert (losses[:, -1] > 0.0).all()
    assert (losses[:, -1] < 0.5 * losses[:, 0]).all(), losses[:, [0, -1]]
