"""Changes of an image that keep its class, drawn inside the program."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradjax import expressions
from gradjax.types import Key

Augment = Callable[[jax.Array, Key], jax.Array]  # images to images of the same shape

MARGIN = 4  # pixels of zeros around an image before a window of its size is cut
# Flipped, a digit is another one or none; centred ones gain nothing from shifts.
_USUAL = {
    "cifar10": "crop_and_flip",
    "cifar10_jpeg_subset": "crop_and_flip",
    "cifar100": "crop_and_flip",
    "svhn_cropped": "crop",
}


def random_crop(images: jax.Array, key: Key) -> jax.Array:
    """Each image shifted by -4 to 4 pixels either way; zeros come in at the edges.

    All 81 shifts are equally likely.

    Args:
      images: [batch, height, width, channels].
      key: of this batch.

    Source:
      He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """
    batch, height, width, _ = images.shape
    edge = (MARGIN, MARGIN)
    padded = jnp.pad(images, ((0, 0), edge, edge, (0, 0)))
    down, across = jax.random.randint(key, (2, batch), 0, 2 * MARGIN + 1)
    rows = down[:, None] + jnp.arange(height)[None]
    columns = across[:, None] + jnp.arange(width)[None]
    image = jnp.arange(batch)[:, None, None]
    # A gather of whole pixels: the indices are in range, so none is checked.
    place = padded.at[image, rows[:, :, None], columns[:, None]]
    return place.get(mode="promise_in_bounds")


def random_flip(images: jax.Array, key: Key) -> jax.Array:
    """Each image mirrored left to right, or not, with equal chances.

    Args:
      images: [batch, height, width, channels].
      key: of this batch.
    """
    is_flipped = jax.random.bernoulli(key, shape=images.shape[:1])
    return jnp.where(is_flipped[:, None, None, None], images[:, :, ::-1], images)


def _crop_and_flip(images: jax.Array, key: Key) -> jax.Array:
    crop_key, flip_key = jax.random.split(key)
    return random_flip(random_crop(images, crop_key), flip_key)


AUGMENTATIONS: dict[str, Augment | None] = {
    "crop": random_crop,
    "crop_and_flip": _crop_and_flip,
    "flip": random_flip,
    "none": None,
}


def augmentation(name: str) -> Augment | None:
    """The augmentation of that name; None of "none".

    Raises:
      Refusal: unknown name.
    """
    return expressions.lookup(name, AUGMENTATIONS, "augmentation")


def usual(dataset_name: str) -> str:
    """What a data set is trained with where nothing is asked for."""
    return _USUAL.get(dataset_name, "none")
