"""Sums over the gradients of the examples of a batch, with bounded memory.

The gradients of `chunk` examples are computed together and added to sums before those
of the next chunk are computed, so that at most `chunk` gradients are stored. On a CPU
those of a large network are faster in small chunks: the gradients of 64 examples of a
bag of 8,000 x 256 took 242 ms in chunks of 32 and 30 ms one by one, and those of 32
examples of a Transformer of 2.4 MB took 398 ms in one chunk and 192 ms in chunks of 2
(two cores).

The sums are of deviations from the gradient of the batch, e_i = g_i - g. Differences of
raw sums, such as sum ||g_i||^2 - B ||g||^2, lose all digits in float32 where the noise
is small.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.counts import as_whole
from gradjax.diagnostics import trees
from gradjax.diagnostics.context import Loss
from gradjax.diagnostics.vectors import dot
from gradjax.errors import Refusal
from gradjax.types import Batch, Params

_MOST_TOGETHER = 32
_CHUNK_BYTES = 2**23


class Deviations(NamedTuple):
    """Sums of the deviations e_i of the gradients of B examples from that of the batch.

    Attributes:
      num_examples: B, at least 2.
      square: f32[], ||g||^2, of the gradient of the batch.
      squares: f32[batch], ||e_i||^2.
      products: f32[batch], the inner products of e_i and g.
      coordinates: the sum of e_i^2 for each parameter, a tree like the parameters.
    """

    num_examples: int
    square: jax.Array
    squares: jax.Array
    products: jax.Array
    coordinates: Params

    @property
    def trace(self) -> jax.Array:
        """The trace of the covariance of the gradients of single examples: f32[]."""
        return self.squares.sum() / (self.num_examples - 1)


def count(batch: Batch, least: int = 2) -> int:
    """Returns the number of examples of a batch.

    Raises:
        Refusal: there is no batch, or it has fewer examples than `least`.
    """
    leaves = jax.tree.leaves(batch)
    if not leaves:
        raise Refusal("there is no batch: a loss without data has no noise of examples")
    found = jnp.shape(leaves[0])[0] if jnp.ndim(leaves[0]) else 0
    if found < least:
        raise Refusal(f"a batch of {found}: expected at least {least} examples")
    return found


def one(loss: Loss) -> Loss:
    """Returns the loss of one example, whose leaves have no axis of the batch."""
    return lambda params, example: loss(
        params, jax.tree.map(lambda leaf: leaf[None], example)
    )


def each_loss(loss: Loss, params: Params, batch: Batch) -> jax.Array:
    """Computes the loss of each example: f32[batch]."""
    return jax.vmap(one(loss), (None, 0))(params, batch)


def deviations(
    loss: Loss,
    params: Params,
    batch: Batch,
    grads: Params,
    chunk: int | None = None,
) -> Deviations:
    """Computes the sums of the deviations of the gradients of single examples.

    Args:
      loss: (params, batch) -> f32[], the mean of the losses of the examples. A network
        that normalises by the batch has no loss of one example.
      params: the parameters.
      batch: leaves [batch, ...].
      grads: the gradient of the loss of this batch, the mean of the g_i.
      chunk: the number of gradients that are computed together; None: `usual_chunk`.

    Raises:
        Refusal: the batch has fewer than 2 examples, or chunk is not a whole number of
            at least 1.
    """
    num_examples = count(batch)
    mean = trees.widened(grads)
    gradient = jax.grad(one(loss))

    def part(examples: Batch) -> tuple[Params, tuple[jax.Array, jax.Array]]:
        def deviation(example: Batch) -> Params:
            return trees.difference(gradient(params, example), mean)

        away = jax.vmap(deviation)(examples)
        along = jax.vmap(lambda e: trees.dot(e, mean))(away)
        sums = jax.tree.map(_sum_of_squares, away)
        return sums, (jax.vmap(trees.square)(away), along)

    chunk = usual_chunk(params) if chunk is None else chunk
    sums, (squares, products) = over_chunks(part, batch, chunk)
    return Deviations(num_examples, trees.square(mean), squares, products, sums)


def _sum_of_squares(values: jax.Array) -> jax.Array:
    """Computes the sum of the squares along the first axis: f[count, ...] -> f[...].

    The sum is a product with ones, because XLA on a CPU is slow at sums along the first
    axis: `signal_to_noise` of 32 gradients of 100,000 elements took 13 ms with such a
    sum, and takes 4 ms with the product.
    """
    squares = jnp.reshape(values * values, (len(values), -1))
    ones = jnp.ones(len(values), values.dtype)
    return dot(ones, squares).reshape(values.shape[1:])


def usual_chunk(params: Params) -> int:
    """Returns how many gradients are computed together, in each lane of a sweep.

    On a CPU they are as many as take 8 MiB, at least 1 and at most 32, a power of 2; on
    an accelerator 32.
    """
    if jax.default_backend() != "cpu":
        return _MOST_TOGETHER
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(params))
    most = min(_MOST_TOGETHER, max(1, _CHUNK_BYTES // max(1, size)))
    return 1 << most.bit_length() - 1


def over_chunks(
    part: Callable[[Batch], tuple[Any, Any]], batch: Batch, chunk: int
) -> tuple[Any, Any]:
    """Applies a function to chunks of a batch, one after the other.

    Args:
      part: examples [chunk, ...] -> (sums, a pytree; values with leaves [chunk, ...]).
        It is also called with the examples that remain, which are fewer.
      batch: leaves [batch, ...].
      chunk: the number of examples of a call; a larger one than the batch is the batch.

    Returns:
      The total of the sums, and the values with leaves [batch, ...].

    Raises:
        Refusal: chunk is not a whole number of at least 1.
    """
    if (as_whole(chunk) or 0) < 1:
        raise Refusal(f"chunk={chunk!r}: expected a whole number of at least 1")
    size = count(batch, 1)
    chunk = min(int(chunk), size)
    num_chunks, rest = divmod(size, chunk)
    parts = jax.tree.map(
        lambda x: x[: size - rest].reshape(num_chunks, chunk, *x.shape[1:]), batch
    )
    first = jax.tree.map(lambda x: x[0], parts)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(part, first)[0]
    )

    def advance(total: Any, examples: Batch) -> tuple[Any, Any]:
        sums, values = part(examples)
        return jax.tree.map(jnp.add, total, sums), values

    total, values = jax.lax.scan(advance, zeros, parts)
    values = jax.tree.map(lambda x: x.reshape(size - rest, *x.shape[2:]), values)
    if not rest:
        return total, values
    sums, last = part(jax.tree.map(lambda x: x[size - rest :], batch))
    total = jax.tree.map(jnp.add, total, sums)
    joined = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), values, last)
    return total, joined
