"""The Jacobian of a complete training step, as products with vectors."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics.context import TakeStep
from gradjax.diagnostics.vectors import Space, space_of
from gradjax.errors import Refusal
from gradjax.types import Hparams, Params

Leaves = list[jax.Array]
# (moving, frozen) -> the same after the step
_Step = Callable[[Any, Leaves], tuple[Any, Leaves]]


class Jacobian(NamedTuple):
    """The Jacobian of a step over the parameters and the state of the optimizer.

    Attributes:
      space: the vectors f[n] of what moves: the parameters, and the leaves of floats of
        the state.
      product: (f[n]) -> f[n]; linearized once.
      is_held: bool[n]: the step has no derivative at these elements, so they are held:
        a change of them remains as it is and changes nothing else.
    """

    space: Space
    product: Callable[[jax.Array], jax.Array]
    is_held: jax.Array


class _Split(NamedTuple):
    """The leaves of a state, in three kinds."""

    leaves: Leaves
    moving: tuple[int, ...]  # indices of leaves
    frozen: tuple[int, ...]

    def of(self, state: Any, kind: Sequence[int]) -> Leaves:
        """Returns the leaves of one kind of a state."""
        leaves = jax.tree.leaves(state)
        return [leaves[k] for k in kind]

    def merged(self, moving: Leaves, frozen: Leaves, tree: Any) -> Any:
        """Returns the state with other leaves of the two kinds."""
        leaves = list(self.leaves)
        for kind, values in ((self.moving, moving), (self.frozen, frozen)):
            for k, value in zip(kind, values, strict=True):
                leaves[k] = value
        return jax.tree.unflatten(tree, leaves)


def vectors(params: Params, opt_state: Any, frozen: str = "") -> Space:
    """Returns the vectors f[n] of the Jacobian; the arguments of `jacobian`.

    Raises:
      Refusal: as `jacobian` does.
    """
    split = _split(opt_state, frozen)
    return space_of((params, split.of(opt_state, split.moving)))


def jacobian(
    take_step: TakeStep,
    params: Params,
    opt_state: Any,
    hparams: Hparams,
    frozen: str = "",
) -> Jacobian:
    """Linearizes a training step at its parameters and the state of its optimizer.

    Leaves of the state that are not of floats, such as counters and keys, are held.

    A step with a root, such as Adam's, has no derivative where a second moment is 0,
    as for the weight of an input that is always 0. An element of which the derivative
    is not finite is held as well, if the step itself is finite there.

    Args:
      take_step: (params, opt_state, hparams) -> (params, opt_state), pure.
      params: a pytree of floats.
      opt_state: the state of the optimizer.
      hparams: the third argument of the step, a pytree.
      frozen: the name of a field of the state that is held at its value after the step,
        such as "nu" for the second moment; "": there is none. The step must update each
        element of the field by itself, and not forget the old value.

    Returns:
      The Jacobian; its products are NaN if the step is not finite.

    Raises:
      Refusal: a leaf of the parameters that is not of floats, a step that returns
        another structure, or no field of this name.
    """
    split = _split(opt_state, frozen)
    moving = (params, split.of(opt_state, split.moving))
    fixed = split.of(opt_state, split.frozen)
    tree = jax.tree.structure(opt_state)

    def step(moving: Any, fixed: Leaves) -> tuple[Any, Leaves]:
        state = split.merged(moving[1], fixed, tree)
        after, state = _checked(take_step(moving[0], state, hparams), params, tree)
        return (after, split.of(state, split.moving)), split.of(state, split.frozen)

    space = space_of(moving)
    found, product = _linear(step, moving, fixed)
    return _restricted(space, space.ravel(found), product)


def _linear(
    step: _Step, moving: Any, fixed: Leaves
) -> tuple[Any, Callable[[Any], Any]]:
    """Returns what moves after the step, and the linear map of its changes.

    The frozen leaves are held at their values *after* the step, which depend on the
    gradient: the change of a frozen leaf before the step is chosen so that there is
    none afterwards. The second map has no gradient in it, so it costs little.
    """
    (found, _), push = jax.linearize(lambda moving: step(moving, fixed), moving)
    if not fixed:
        return found, lambda tangent: push(tangent)[0]
    _, push_fixed = jax.linearize(lambda fixed: step(moving, fixed), fixed)
    _, slopes = push_fixed([jnp.ones_like(leaf) for leaf in fixed])

    def product(tangent: Any) -> Any:
        moved, drift = push(tangent)
        back = [-d / s for d, s in zip(drift, slopes, strict=True)]
        return jax.tree.map(jnp.add, moved, push_fixed(back)[0])

    return found, product


def _restricted(
    space: Space, after: jax.Array, product: Callable[[Any], Any]
) -> Jacobian:
    """Returns the Jacobian on the elements at which the step has a derivative."""
    ones = jnp.ones(space.size, space.dtype)
    image = space.ravel(product(space.tangent(ones)))
    is_held = jnp.isfinite(after) & ~jnp.isfinite(image)

    def restricted(vector: jax.Array) -> jax.Array:
        tangent = space.tangent(jnp.where(is_held, 0, vector))
        return jnp.where(is_held, vector, space.ravel(product(tangent)))

    return Jacobian(space, restricted, is_held)


def _split(opt_state: Any, frozen: str) -> _Split:
    """Splits the leaves of a state into those that move, are frozen and are held."""
    pairs, _ = jax.tree_util.tree_flatten_with_path(opt_state)
    moving, fixed = [], []
    for k, (path, leaf) in enumerate(pairs):
        kind = getattr(leaf, "dtype", None)
        if kind is None:
            kind = jnp.result_type(leaf)
        if not jnp.issubdtype(kind, jnp.floating):
            continue
        names = [jax.tree_util.keystr((part,), simple=True) for part in path]
        (fixed if frozen and frozen in names else moving).append(k)
    if frozen and not fixed:
        raise Refusal(f"frozen={frozen!r}: the state has no floats of this name")
    return _Split([leaf for _, leaf in pairs], tuple(moving), tuple(fixed))


def _checked(found: Any, params: Params, tree: Any) -> tuple[Params, Any]:
    """Refuses a step that returns another structure than it takes."""
    if not isinstance(found, tuple) or len(found) != 2:
        kind = type(found).__name__
        raise Refusal(f"take_step returned a {kind}; expected (params, opt_state)")
    for name, value, expected in (
        ("params", found[0], jax.tree.structure(params)),
        ("opt_state", found[1], tree),
    ):
        if jax.tree.structure(value) != expected:
            raise Refusal(f"take_step returned {name} of another structure")
    return found
