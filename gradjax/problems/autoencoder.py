"""Compress images: the evidence lower bound of a variational autoencoder."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax import expressions
from gradjax.data import arrays
from gradjax.problems.classification import about as about_images
from gradjax.problems.network import network
from gradjax.types import (
    Batch,
    Dataset,
    Key,
    MetricSums,
    Params,
    Problem,
    Report,
    Splits,
    Target,
)

_NUM_PAIRS = 4  # of noise and its opposite, for evaluation
_NUM_DRAWN = 2
_SHADES = np.array(list(" .:-=+*#%@"))


def autoencoder(dataset: Dataset, model: Any) -> Problem:
    """Images to codes of a few numbers and back.

    The loss is the mean over the batch of the negative evidence lower bound, in nats,

        sum_pixels (log(1 + exp(s)) - x s) + KL(N(mean, variance) || N(0, 1)),

    with pixels x in [0, 1] as chances of a Bernoulli variable, logits s = decode(z) and
    z = mean + deviation * noise, the noise drawn from the step's key, anew for each
    example. Evaluation averages over eight fixed draws, the same for every example, so
    it is the same number however the examples are batched.

    Args:
      dataset: images u8[examples, height, width, channels]; labels are not used.
      model: a `models.vae.Autoencoder` of such images.

    Source:
      Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014. Figures of
      images made black or white by chance are others: here the pixels stay grey.
    """
    scale = 1.0 / dataset.max_value
    draws = _fixed_draws(model.latent)

    def encoded(params: Params, batch: Batch) -> tuple[jax.Array, ...]:
        """(pixels f32[batch, pixels], mean and log_variance f32[batch, latent])."""
        inputs = batch["image"].astype(jnp.float32) * scale
        return inputs.reshape(len(inputs), -1), *model.encode(params, inputs)

    def loss(
        params: Params, batch: Batch, key: Key
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        pixels, mean, log_variance = encoded(params, batch)
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        codes = mean + jnp.exp(0.5 * log_variance) * noise
        surprise = bernoulli(model.decode(params, codes), pixels).mean()
        kl = divergence(mean, log_variance).mean()
        return surprise + kl, {"kl": kl}

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        pixels, mean, log_variance = encoded(params, batch)
        deviation = jnp.exp(0.5 * log_variance)

        def surprise_of(noise: jax.Array) -> jax.Array:
            codes = mean + deviation * noise[None]
            return bernoulli(model.decode(params, codes), pixels).sum()

        count = jnp.float32(len(pixels))
        surprise = jax.lax.map(surprise_of, draws).mean()
        kl = divergence(mean, log_variance).sum()
        return {"loss": (surprise + kl, count), "kl": (kl, count)}

    def report(params: Params, _data: Splits) -> Report:
        images = dataset.test["image"][:_NUM_DRAWN]
        _, mean, _ = encoded(params, {"image": jnp.asarray(images)})
        chances = jax.nn.sigmoid(model.decode(params, mean)).reshape(images.shape)
        pairs = zip(images * scale, np.asarray(chances), strict=True)
        lines = [line for pair in pairs for line in _beside(*map(_drawn, pair))]
        return Report({}, {"test images, and what their codes say of them": lines})

    target = Target("loss", None, "min")
    data = arrays.splits(dataset)
    return Problem(model.init, loss, metrics, data, target, report)


def autoencoder_of(expression: str, dataset: Dataset) -> Any:
    """The registered autoencoder that an expression names: `vae(latent=8)`.

    Raises:
        Refusal: unknown name or argument, or a value that it cannot have.
    """
    from gradjax import models

    shape = tuple(dataset.train["image"].shape[1:])
    return network(expression, models.AUTOENCODERS, shape)


def is_autoencoder(expression: str) -> bool:
    """Whether an expression names a registered autoencoder.

    Raises:
        Refusal: it is no expression.
    """
    from gradjax import models

    return expressions.parse(expression).name in models.AUTOENCODERS


def about(dataset: Dataset) -> dict[str, Any]:
    """What a record must say of the data: no classes, for there is none to predict."""
    said = about_images(dataset)
    del said["num_classes"]
    return said


def bernoulli(logits: jax.Array, pixels: jax.Array) -> jax.Array:
    """-log of the likelihood, summed: f32[batch, pixels] -> [batch]."""
    return (jax.nn.softplus(logits) - pixels * logits).sum(axis=-1)


def divergence(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """KL(N(mean, variance) || N(0, 1)), summed: f32[batch, latent] -> [batch]."""
    terms = jnp.exp(log_variance) + mean**2 - 1.0 - log_variance
    return 0.5 * terms.sum(axis=-1)


def _fixed_draws(latent: int) -> np.ndarray:
    """f32[8, latent]: noise and its opposite, of mean 0 and variance 1 exactly."""
    noise = np.random.default_rng(0).normal(size=(_NUM_PAIRS, latent))
    noise /= np.sqrt((noise**2).mean(axis=0, keepdims=True))
    return np.concatenate([noise, -noise]).astype(np.float32)


def _drawn(image: np.ndarray) -> list[str]:
    """Rows of characters, from [height, width, channels] in [0, 1]."""
    shades = (image.mean(axis=-1) * (len(_SHADES) - 1)).round().astype(int)
    return ["".join(row) for row in _SHADES[shades]]


def _beside(left: list[str], right: list[str]) -> list[str]:
    return [f"{a} | {b}".rstrip() for a, b in zip(left, right, strict=True)]
