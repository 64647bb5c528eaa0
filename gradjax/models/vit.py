"""A Transformer that reads an image as a sequence of patches."""

import flax.linen as nn
import jax

from gradjax.errors import Refusal
from gradjax.models.attention import check_heads, no_mask
from gradjax.models.module import from_module
from gradjax.models.sequences import rows
from gradjax.models.transformer import Stack
from gradjax.types import Model


class _ViT(nn.Module):
    patch: int
    width: int
    stack: Stack
    num_outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        stream = rows(
            nn.Dense(self.width, name="embedding"), patches_of(inputs, self.patch)
        )
        places = stream.shape[1:]
        stream += self.param("places", nn.initializers.normal(0.02), places)[None]
        stream = self.stack(stream, no_mask())
        return nn.Dense(self.num_outputs)(stream.mean(axis=1))


def patches_of(images: jax.Array, patch: int) -> jax.Array:
    """Divides images into square patches, in row-major order.

    Args:
      images: f32[batch, height, width, channels]; sides are multiples of `patch`.
      patch: side of a patch, in pixels.

    Returns:
      f32[batch, height / patch * width / patch, patch * patch * channels].
    """
    batch, height, width, channels = images.shape
    down, across = height // patch, width // patch
    grid = images.reshape(batch, down, patch, across, patch, channels)
    row_size = patch * patch * channels
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, down * across, row_size)


def vit(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    patch: int = 4,
    width: int = 64,
    depth: int = 3,
    heads: int = 4,
    dropout: float = 0.0,
) -> Model:
    """Makes a vision Transformer with learned positions and mean pooling.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: number of logits.
      patch: side of a patch, in pixels; both sides of the image must be multiples.
      width: size of the stream, a multiple of 2 * heads.
      depth: number of blocks, each with a relu layer of 4 * width units.
      heads: number of heads of each attention.
      dropout: dropout rate of the embeddings and of the output of each sublayer.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Raises:
      Refusal: the sides of the image are not multiples of patch, or width is not a
        multiple of 2 * heads.

    Source:
      Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021. Differs from the
      paper in the mean over all positions instead of a class token (as in Beyer, Zhai
      and Kolesnikov, "Better plain ViT baselines for ImageNet-1k", 2022), in relu
      instead of gelu, and in rotary positions in addition to the learned ones.
    """
    height, across = input_shape[:2]
    if height % patch or across % patch:
        fitting = [
            n for n in range(1, min(height, across) + 1) if height % n + across % n == 0
        ]
        raise Refusal(
            f"vit: patch={patch}: an image of {height}x{across} splits into patches of"
            f" {', '.join(map(str, fitting))}"
        )
    check_heads(width, heads)
    stack = Stack(depth, heads, 4 * width, dropout)
    return from_module(_ViT(patch, width, stack, num_outputs), input_shape)
