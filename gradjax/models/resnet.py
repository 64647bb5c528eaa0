"""A residual network with GroupNorm: nothing in it depends on the rest of a batch."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.models.convolution import Convolution
from gradjax.models.module import from_module
from gradjax.types import Model

_HE = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class _Block(nn.Module):
    features: int
    stride: int
    groups: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        hidden = _convolution(self.features, self.stride)(inputs)
        hidden = nn.relu(nn.GroupNorm(self.groups)(hidden))
        hidden = _convolution(self.features)(hidden)
        hidden = nn.GroupNorm(self.groups)(hidden)
        return nn.relu(hidden + shortcut(inputs, self.features, self.stride))


class _ResNet(nn.Module):
    depth: int
    width: int
    groups: int
    num_outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        hidden = _convolution(self.width)(inputs)
        hidden = nn.relu(nn.GroupNorm(self.groups)(hidden))
        for stage in range(3):
            for block in range(self.depth):
                stride = 2 if stage > 0 and block == 0 else 1
                features = self.width * 2**stage
                hidden = _Block(features, stride, self.groups)(hidden)
        return nn.Dense(self.num_outputs)(hidden.mean(axis=(1, 2)))


def _convolution(features: int, stride: int = 1) -> Convolution:
    return Convolution(features, is_padded=True, stride=stride, kernel_init=_HE)


def shortcut(inputs: jax.Array, features: int, stride: int) -> jax.Array:
    """What a block adds to: every `stride`-th place, and zeros for new channels.

    Args:
      inputs: f32[batch, h, w, channels].
      features: channels of the block's outputs, no fewer.
      stride: of the block.

    Returns:
      f32[batch, ceil(h / stride), ceil(w / stride), features].
    """
    new = features - inputs.shape[-1]
    kept = inputs[:, ::stride, ::stride]
    return jnp.pad(kept, ((0, 0), (0, 0), (0, 0), (0, new)))


def resnet(
    input_shape: tuple[int, int, int],
    num_outputs: int,
    depth: int = 1,
    width: int = 16,
    groups: int = 8,
) -> Model:
    """A residual network of 6 * depth + 2 layers for small images.

    A 3x3 convolution; three stages of `depth` blocks with `width`, 2 `width` and 4
    `width` channels, the second and the third at half the size of the one before; the
    mean over all places; Dense. A block is two 3x3 convolutions, each with a norm, and
    a shortcut without parameters. With depth=3 it has 269,722 on CIFAR-10.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: logits.
      depth: blocks a stage.
      width: channels of the first stage, a multiple of `groups`.
      groups: of channels, each normed together.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Raises:
      Refusal: a width that does not split into the groups.

    Source:
      He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2;
      Wu and He, "Group Normalization", ECCV 2018, where the paper has BatchNorm.
    """
    if width % groups:
        raise Refusal(f"resnet: width={width}: expected a multiple of groups={groups}")
    return from_module(_ResNet(depth, width, groups, num_outputs), input_shape)
