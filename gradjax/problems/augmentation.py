"""Augmentations: random changes of images that keep their class.

They are drawn inside the compiled program.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradjax import expressions
from gradjax.types import Key

Augment = Callable[[jax.Array, Key], jax.Array]  # images to images of the same shape

MARGIN = 4  # pixels of zero padding on each side before a random crop
# Digits have no default augmentation, because a flipped digit is another one or none,
# and centred digits gain nothing from shifts.
_USUAL = {
    "cifar10": "crop_and_flip",
    "cifar10_jpeg_subset": "crop_and_flip",
    "cifar100": "crop_and_flip",
    "svhn_cropped": "crop",
}


def random_crop(images: jax.Array, key: Key) -> jax.Array:
    """Shifts each image by -4 to 4 pixels in both directions and pads it with zeros.

    All 81 shifts are equally likely.

    Args:
      images: [batch, height, width, channels].
      key: the random key of this batch.

    Returns:
      Images of the same shape.

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
    # The indices are always in range, so the gather need not check them.
    place = padded.at[image, rows[:, :, None], columns[:, None]]
    return place.get(mode="promise_in_bounds")


def random_flip(images: jax.Array, key: Key) -> jax.Array:
    """Mirrors each image left to right with probability 1/2.

    Args:
      images: [batch, height, width, channels].
      key: the random key of this batch.

    Returns:
      Images of the same shape.
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
    """Returns the augmentation with this name, or None for the name "none".

    Raises:
      Refusal: the name is unknown.
    """
    return expressions.lookup(name, AUGMENTATIONS, "augmentation")


def usual(dataset_name: str) -> str:
    """Returns the name of the default augmentation for a data set."""
    return _USUAL.get(dataset_name, "none")
