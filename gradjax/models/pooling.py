"""Max-pooling, and a bias and relu after it, with a derivative that is computed once.

The usual order is convolution, bias, relu, pool. Bias and relu are monotone, so they
commute with the maximum. Pooling first gives the same function, with bias and relu on a
quarter of the values.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp


@jax.custom_jvp
def relu_of_max_pool(inputs: jax.Array, bias: jax.Array) -> jax.Array:
    """Computes relu(max_pool(inputs) + bias), and its derivative in both arguments.

    Of equal values in a square the first, row by row, has the derivative, as with the
    windows of jax.lax.

    Args:
      inputs: f[b, h, w, c].
      bias: f[c].

    Returns:
      f[b, h // 2, w // 2, c].
    """
    return nn.relu(max_pool(inputs) + bias[None, None, None])


@relu_of_max_pool.defjvp
def _relu_of_max_pool_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Takes the tangent of the largest value, and divides it by one.

    On a CPU, XLA computes most operations again for each of the nine slices that the
    next convolution takes of them. It does not do so with a division. `one` is computed
    from a bias, so that XLA does not know its value. With the derivatives of
    `maximum`, a Gauss-Newton product of the network in cnn.py took 1.9 to 2.0
    gradients; without the division it takes 1.5 to 1.7, and with it 1.4 to 1.5.
    """
    (inputs, bias), (tangent, bias_tangent) = primals, tangents
    outputs = relu_of_max_pool(inputs, bias)
    values, slopes = _parts(_quads(inputs)), _parts(_quads(tangent))
    is_left = values[0] >= values[1], values[2] >= values[3]
    is_upper = jnp.maximum(*values[:2]) >= jnp.maximum(*values[2:])
    upper = jnp.where(is_left[0], *slopes[:2])
    pooled = jnp.where(is_upper, upper, jnp.where(is_left[1], *slopes[2:]))
    slope = jnp.where(outputs > 0, pooled + bias_tangent[None, None, None], 0)
    given = jax.lax.stop_gradient(bias[0])
    one = 1 + 0 * jnp.where(jnp.isfinite(given), given, 0)
    return outputs, slope / one


def relu_of_overlapping_max_pool(inputs: jax.Array, bias: jax.Array) -> jax.Array:
    """Computes relu(max_pool_overlapping(inputs) + bias), with a bias f[c]."""
    return nn.relu(max_pool_overlapping(inputs) + bias[None, None, None])


def max_pool(inputs: jax.Array) -> jax.Array:
    """Computes 2x2 max-pooling of [b, h, w, c]; drops an odd last row or column."""
    upper_left, upper_right, lower_left, lower_right = _parts(_quads(inputs))
    upper = jnp.maximum(upper_left, upper_right)
    return jnp.maximum(upper, jnp.maximum(lower_left, lower_right))


def max_pool_overlapping(inputs: jax.Array) -> jax.Array:
    """Computes 3x3 max-pooling with stride 2: [b, h, w, c] -> [b, ceil(h / 2), ...].

    The padding is "SAME" as in other libraries: an odd size is padded on both sides, an
    even size only at the end.
    """
    return _greatest_of_three(_greatest_of_three(inputs, 1), 2)


def _quads(inputs: jax.Array) -> jax.Array:
    """Returns squares of 2x2 values: [b, h, w, c] -> [b, h // 2, 2, w // 2, 2, c]."""
    batch, height, width, channels = inputs.shape
    even = inputs[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(batch, height // 2, 2, width // 2, 2, channels)


def _parts(quads: jax.Array) -> list[jax.Array]:
    """Returns the four values of each square, row by row, each [b, h', w', c]."""
    return [quads[:, :, row, :, column] for row in (0, 1) for column in (0, 1)]


def _greatest_of_three(values: jax.Array, axis: int) -> jax.Array:
    """Computes the maximum over three neighbours along an axis, with stride 2."""
    size = values.shape[axis]
    margins = [(0, 0)] * values.ndim
    margins[axis] = (size % 2, 1)
    padded = jnp.pad(values, margins, constant_values=-jnp.inf)
    stop = 2 * ((size + 1) // 2) - 1
    first, second, third = (
        jax.lax.slice_in_dim(padded, start, start + stop, 2, axis) for start in range(3)
    )
    return jnp.maximum(jnp.maximum(first, second), third)
