"""A residual network with a norm of choice."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gradjax.errors import Refusal
from gradjax.models import remat
from gradjax.models.convolution import Convolution
from gradjax.models.module import from_module, from_module_with_state
from gradjax.types import Model

_MOMENTUM = 0.9  # of the running statistics of BatchNorm
_HE = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class _Block(nn.Module):
    features: int
    stride: int
    norm: str
    groups: int

    @nn.compact
    def __call__(self, inputs: jax.Array, is_training: bool) -> jax.Array:
        hidden = _convolution(self.features, self.stride)(inputs)
        hidden = nn.relu(_norm(self.norm, self.groups, is_training)(hidden))
        hidden = _convolution(self.features)(hidden)
        hidden = _norm(self.norm, self.groups, is_training)(hidden)
        return nn.relu(hidden + shortcut(inputs, self.features, self.stride))


class _ResNet(nn.Module):
    depth: int
    width: int
    norm: str
    groups: int
    num_outputs: int

    @nn.compact
    def __call__(self, inputs: jax.Array, is_training: bool = False) -> jax.Array:
        hidden = _convolution(self.width)(inputs)
        hidden = nn.relu(_norm(self.norm, self.groups, is_training)(hidden))
        for stage in range(3):
            for block in range(self.depth):
                stride = 2 if stage > 0 and block == 0 else 1
                features = self.width * 2**stage
                name = f"_Block_{stage * self.depth + block}"
                layer = remat.layer(_Block, name, 2)
                made = layer(features, stride, self.norm, self.groups)
                hidden = made(hidden, is_training)
        return nn.Dense(self.num_outputs)(hidden.mean(axis=(1, 2)))


def _norm(norm: str, groups: int, is_training: bool) -> Any:
    """Makes the norm of a name; "layer" is GroupNorm with one group."""
    if norm == "batch":
        return nn.BatchNorm(use_running_average=not is_training, momentum=_MOMENTUM)
    return nn.GroupNorm(groups if norm == "group" else 1)


def _convolution(features: int, stride: int = 1) -> Convolution:
    return Convolution(features, is_padded=True, stride=stride, kernel_init=_HE)


def shortcut(inputs: jax.Array, features: int, stride: int) -> jax.Array:
    """Computes a shortcut without parameters: subsampling, and zeros for new channels.

    Args:
      inputs: f32[batch, h, w, channels].
      features: channels of the block's outputs, at least those of the inputs.
      stride: the stride of the block.

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
    norm: str = "group",
) -> Model:
    """Makes a residual network of 6 * depth + 2 layers for small images.

    The layers are a 3x3 convolution; three stages of `depth` blocks with `width`, 2
    `width` and 4 `width` channels, where the second and the third stage halve the size
    of the image; the mean over all positions; and Dense. A block consists of two 3x3
    convolutions, each with a norm, and a shortcut without parameters. With depth=3
    there are 269,722 parameters on CIFAR-10.

    Args:
      input_shape: (height, width, channels) of one image.
      num_outputs: number of logits.
      depth: number of blocks per stage.
      width: channels of the first stage; with GroupNorm a multiple of `groups`.
      groups: number of groups of GroupNorm.
      norm: "group", "layer" (GroupNorm with one group) or "batch". With the first two
        the examples of a batch are independent. BatchNorm keeps a state, the running
        means and variances with a momentum of 0.9, which evaluation uses.

    Returns:
      A Model: apply(params, f32[batch, *input_shape]) -> f32[batch, num_outputs].

    Raises:
      Refusal: width is not a multiple of groups.

    Source:
      He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2,
      which has norm="batch" (Ioffe and Szegedy, "Batch Normalization", ICML 2015).
      GroupNorm is that of Wu and He, "Group Normalization", ECCV 2018.
    """
    if norm == "group" and width % groups:
        raise Refusal(f"resnet: width={width}: expected a multiple of groups={groups}")
    module = _ResNet(depth, width, norm, groups, num_outputs)
    make = from_module_with_state if norm == "batch" else from_module
    return make(module, input_shape)
