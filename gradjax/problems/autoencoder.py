"""Compression of images: the evidence lower bound of a variational autoencoder."""

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

_NUM_PAIRS = 4  # antithetic pairs of noise for evaluation
_NUM_DRAWN = 2  # images in the report
_SHADES = np.array(list(" .:-=+*#%@"))


def autoencoder(dataset: Dataset, model: Any) -> Problem:
    """Makes the problem of training an autoencoder on images.

    The loss is the mean over the batch of the negative evidence lower bound, in nats,

        sum_pixels (log(1 + exp(s)) - x s) + KL(N(mean, variance) || N(0, 1)),

    where the pixels x in [0, 1] are probabilities of a Bernoulli variable, s =
    decode(z) are logits, and z = mean + deviation * noise. The noise is drawn from the
    step's key, independently for each example. Evaluation averages over eight fixed
    draws, the same for every example, so it does not depend on the batches.

    Args:
      dataset: images u8[examples, height, width, channels]; labels are not used.
      model: a `models.vae.Autoencoder` for such images.

    Source:
      Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014. Results for
      binarised images are not comparable, because here the pixels stay grey.
    """
    scale = 1.0 / dataset.max_value
    draws = _fixed_draws(model.latent)

    def encode(params: Params, batch: Batch) -> tuple[jax.Array, ...]:
        """Returns pixels [batch, pixels], mean and log_variance [batch, latent]."""
        inputs = batch["image"].astype(jnp.float32) * scale
        return inputs.reshape(len(inputs), -1), *model.encode(params, inputs)

    def loss(
        params: Params, batch: Batch, key: Key
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        pixels, mean, log_variance = encode(params, batch)
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        codes = mean + jnp.exp(0.5 * log_variance) * noise
        surprise = bernoulli(model.decode(params, codes), pixels).mean()
        kl = divergence(mean, log_variance).mean()
        return surprise + kl, {"kl": kl}

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        pixels, mean, log_variance = encode(params, batch)
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
        _, mean, _ = encode(params, {"image": jnp.asarray(images)})
        chances = jax.nn.sigmoid(model.decode(params, mean)).reshape(images.shape)
        pairs = zip(images * scale, np.asarray(chances), strict=True)
        lines = [line for pair in pairs for line in _beside(*map(_draw, pair))]
        return Report({}, {"test images and their reconstructions": lines})

    target = Target("loss", None, "min")
    data = arrays.splits(dataset)
    return Problem(model.init, loss, metrics, data, target, report)


def autoencoder_of(
    expression: str, dataset: Dataset, precision: str = "float32"
) -> Any:
    """Makes the registered autoencoder that an expression names: `vae(latent=8)`.

    Raises:
        Refusal: the name or an argument is unknown, or a value is out of range.
    """
    from gradjax import models

    shape = tuple(dataset.train["image"].shape[1:])
    return network(expression, models.AUTOENCODERS, shape, precision=precision)


def is_autoencoder(expression: str) -> bool:
    """Says whether an expression names a registered autoencoder.

    Raises:
        Refusal: the text is not an expression.
    """
    from gradjax import models

    return expressions.parse(expression).name in models.AUTOENCODERS


def about(dataset: Dataset) -> dict[str, Any]:
    """Describes the data for the record, without the number of classes."""
    said = about_images(dataset)
    del said["num_classes"]
    return said


def bernoulli(logits: jax.Array, pixels: jax.Array) -> jax.Array:
    """Sums -log of the likelihood over pixels: f32[batch, pixels] -> f32[batch]."""
    return (jax.nn.softplus(logits) - pixels * logits).sum(axis=-1)


def divergence(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """Sums KL(N(mean, variance) || N(0, 1)): f32[batch, latent] -> f32[batch]."""
    terms = jnp.exp(log_variance) + mean**2 - 1.0 - log_variance
    return 0.5 * terms.sum(axis=-1)


def _fixed_draws(latent: int) -> np.ndarray:
    """Draws antithetic noise f32[8, latent] with mean 0 and variance 1 exactly."""
    noise = np.random.default_rng(0).normal(size=(_NUM_PAIRS, latent))
    noise /= np.sqrt((noise**2).mean(axis=0, keepdims=True))
    return np.concatenate([noise, -noise]).astype(np.float32)


def _draw(image: np.ndarray) -> list[str]:
    """Converts an image [height, width, channels] in [0, 1] to rows of characters."""
    shades = (image.mean(axis=-1) * (len(_SHADES) - 1)).round().astype(int)
    return ["".join(row) for row in _SHADES[shades]]


def _beside(left: list[str], right: list[str]) -> list[str]:
    return [f"{a} | {b}".rstrip() for a, b in zip(left, right, strict=True)]
