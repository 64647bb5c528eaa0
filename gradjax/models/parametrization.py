"""The maximal update parametrization (muP) of a network, from its shapes at two widths.

In muP the best learning rate of a network does not depend on its width. At the base
width it is the standard parametrization, to every bit; at other widths each leaf of the
parameters has its own initial scale and its own factor of the learning rate. Both
depend only on the axes of the leaf that grow with the width:

  leaf      growing axes        initial scale   factor, adam   factor, sgd
  input     only the last       1               1              n_out
  hidden    the last, others    n_in^(-1/2)     1 / n_in       n_out / n_in
  readout   not the last        1 / n_in        1 / n_in       1 / n_in
  fixed     none                1               1              1

Here n_out is the size of the last axis divided by its size at the base width, and n_in
likewise of the product of the other axes: in every layer of flax.linen the last axis is
that of the outputs. Biases, gains and embeddings of tokens are inputs.

What a network multiplies by a function of its width, as attention does, cannot be seen
from shapes: `python -m scripts.width_check` finds it.

Source: Yang et al., "Tensor Programs V: Tuning Large Neural Networks via Zero-Shot
Hyperparameter Transfer", 2022, table 3.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.errors import Refusal
from gradjax.types import Key, Model, Params, RateFactors

Shape = tuple[int, ...]


class Leaf(NamedTuple):
    """What muP says of one leaf of the parameters, relative to the base width."""

    kind: str  # "input", "hidden", "readout" or "fixed"
    scale: float  # of the initial values
    adam: float  # factor of the learning rate of rules like Adam
    sgd: float  # and of rules like SGD


Rule = Callable[[Shape, Shape], Leaf]


def rule(shape: Shape, base: Shape) -> Leaf:
    """Returns what muP says of a leaf, from its shape and that at the base width.

    Sizes are compared axis by axis: an axis grows with the width if its sizes differ.
    """
    fan_in = math.prod(shape[:-1]) / math.prod(base[:-1])
    fan_out = shape[-1] / base[-1] if shape else 1.0
    has_inputs, has_outputs = shape[:-1] != base[:-1], shape[-1:] != base[-1:]
    if has_inputs and has_outputs:
        return Leaf("hidden", fan_in**-0.5, 1.0 / fan_in, fan_out / fan_in)
    if has_inputs:
        return Leaf("readout", 1.0 / fan_in, 1.0 / fan_in, 1.0 / fan_in)
    if has_outputs:
        return Leaf("input", 1.0, 1.0, fan_out)
    return Leaf("fixed", 1.0, 1.0, 1.0)


def leaves(model: Model, base: Model, rule: Rule = rule) -> Any:
    """Returns a pytree of a Leaf for each leaf of the parameters.

    Args:
      model: the network at the width asked for.
      base: the same network at the base width.
      rule: (shape, shape at the base width) -> Leaf.

    Raises:
        Refusal: the parameters differ in a name or in the number of their axes.
    """
    shapes, base_shapes = _shapes(model), _shapes(base)
    _check(shapes, base_shapes)
    return jax.tree.map(lambda x, b: rule(x.shape, b.shape), shapes, base_shapes)


def maximal_update(
    model: Model, base: Model, family: str | None = None, rule: Rule = rule
) -> Model:
    """Makes a network in muP from the network at two widths.

    The initial values of a matrix are drawn as at the base width, in as many blocks as
    it takes, and multiplied by its scale. So the initialisers of the network may be any
    with independent entries, whatever fans they use. Vectors, which are biases and
    gains, have the initial values of the network at its own width.

    Args:
      model: the network at the width asked for, with the multipliers of muP where it
        multiplies by a function of its width.
      base: the same network at the base width, in the standard parametrization.
      family: "adam" or "sgd", the rates' factors for every optimizer; None: those of
        the family of each optimizer that gradjax knows.
      rule: as in `leaves`.

    Returns:
      The network with other initial parameters, and with `rate_factors`, which a
      program applies to the updates of the optimizer.

    Raises:
        Refusal: see `leaves`.
    """
    described = leaves(model, base, rule)
    scales = [one.scale for one in jax.tree.leaves(described, is_leaf=_is_leaf)]
    base_shapes = [leaf.shape for leaf in jax.tree.leaves(_shapes(base))]

    def init(key: Key) -> Params:
        own, structure = jax.tree.flatten(model.init(key))
        counts = [
            _num_blocks(leaf.shape, shape)
            for leaf, shape in zip(own, base_shapes, strict=True)
        ]
        drawn = {num: jax.tree.leaves(_draws(base, key, num)) for num in {*counts}}
        made = [
            leaf
            if leaf.ndim < 2
            else _joined(drawn[num][k], leaf.shape) * jnp.asarray(scale, leaf.dtype)
            for k, (leaf, num, scale) in enumerate(
                zip(own, counts, scales, strict=True)
            )
        ]
        return jax.tree.unflatten(structure, made)

    def factors(name: str) -> Any:
        return jax.tree.map(lambda one: getattr(one, name), described, is_leaf=_is_leaf)

    rates = RateFactors(factors("adam"), factors("sgd"), family)
    return model._replace(init=init, rate_factors=rates)


def _is_leaf(node: Any) -> bool:
    return isinstance(node, Leaf)


def _shapes(model: Model) -> Any:
    return jax.eval_shape(model.init, jax.random.key(0))


def _check(shapes: Any, base: Any) -> None:
    """Refuses two networks that differ in more than the sizes of axes."""
    ndims, base_ndims = (
        {
            jax.tree_util.keystr(path, simple=True, separator="/"): leaf.ndim
            for path, leaf in jax.tree.leaves_with_path(tree)
        }
        for tree in (shapes, base)
    )
    for name in [*ndims, *base_ndims]:
        if ndims.get(name) != base_ndims.get(name):
            raise Refusal(
                f"the network and that of the base width differ in {name}; expected the"
                " same parameters, whose sizes alone differ"
            )


def _num_blocks(shape: Shape, base: Shape) -> int:
    """Returns the number of blocks of the base shape that cover a matrix."""
    if len(shape) < 2:
        return 1
    return math.prod(-(-size // small) for size, small in zip(shape, base, strict=True))


def _draws(base: Model, key: Key, num: int) -> Params:
    """Draws initial parameters of the base width, [num, ...] each."""
    if num == 1:
        return jax.tree.map(lambda leaf: leaf[None], base.init(key))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num))
    return jax.vmap(base.init)(keys)


def _joined(blocks: jax.Array, shape: Shape) -> jax.Array:
    """Joins blocks [num, *base shape] to a grid, and cuts it to a shape."""
    small = blocks.shape[1:]
    counts = [-(-size // part) for size, part in zip(shape, small, strict=True)]
    grid = blocks.reshape(*counts, *small)
    order = [axis for k in range(len(shape)) for axis in (k, len(shape) + k)]
    whole = grid.transpose(order).reshape(np.multiply(counts, small))
    return whole[tuple(slice(size) for size in shape)]
