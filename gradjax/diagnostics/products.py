"""Products of curvature matrices with a vector: Hessian, Gauss-Newton and Fisher.

No matrix is formed. A Hessian product is the forward derivative of the gradient
(Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994). For several products
with one matrix, `hessian_operator` and `gauss_newton_operator` linearize the gradient
once, and a product is then the linear part alone. In floating-point operations of the
compiled programs, in units of one gradient:

    network                     jvp of grad   linearized   Gauss-Newton
    MLP 784-128-10                     1.52         1.02           1.50
    MLP 64-200-200-200-10              2.41         1.90           1.65
    cnn of 28x28 images                2.30         1.91           1.64
    Transformer, 2 blocks              2.67         1.96           1.67

What is linearized keeps the intermediate values of a gradient in memory, about 1.4 to 6
times as many bytes as the gradient itself takes. A loss that is a mean over chunks of
the data keeps only those of one chunk if the loss of a chunk is in `jax.checkpoint`; a
product then costs as much as with `hessian_product`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradjax.diagnostics.context import Loss
from gradjax.diagnostics.vectors import Space, check_like, space_of
from gradjax.errors import Refusal
from gradjax.types import Batch, Params

Tree = Any  # a pytree with the leaves of the parameters


def hessian_product(loss: Loss, params: Params, batch: Batch, tangent: Tree) -> Tree:
    """Computes H v, with the Hessian H of the loss in the parameters.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.
      tangent: v, a pytree like the parameters.

    Returns:
      A pytree like the parameters, in their types.

    Raises:
      Refusal: a leaf that is not of floats, another shape of the tangent, or a loss
        that is not one number.

    Source:
      Pearlmutter 1994: H v is the derivative of the gradient at params + t v at t = 0.
    """
    return jax.jvp(
        _gradient(loss, params, batch), (params,), (_like(tangent, params),)
    )[1]


def hessian_operator(
    loss: Loss, params: Params, batch: Batch = None
) -> Callable[[Tree], Tree]:
    """Linearizes the gradient once and returns v -> H v, for several products.

    Args:
      loss: (params, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of the loss, a pytree or None.

    Returns:
      A linear function of a pytree like the parameters, which returns another one.

    Raises:
      Refusal: as `hessian_product` does.
    """
    _, product = jax.linearize(_gradient(loss, params, batch), params)
    return lambda tangent: product(_like(tangent, params))


def gauss_newton_product(
    apply: Callable[..., Any],
    output_loss: Callable[[Any, Batch], jax.Array],
    params: Params,
    batch: Batch,
    tangent: Tree,
) -> Tree:
    """Computes J' H_out J v, the generalised Gauss-Newton matrix times a vector.

    J is the Jacobian of the outputs in the parameters, and H_out is the Hessian of the
    loss in the outputs. It is the Hessian of the loss without the curvature of the
    network, and for a linear network the Hessian itself.

    Args:
      apply: (params, batch) -> outputs, a pytree of floats.
      output_loss: (outputs, batch) -> f[]; the loss is output_loss(apply(...), batch).
      params: a pytree of floats.
      batch: the second argument of both functions, a pytree or None.
      tangent: v, a pytree like the parameters.

    Returns:
      A pytree like the parameters, in their types.

    Raises:
      Refusal: as `hessian_product` does.

    Source:
      Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient
      Descent", 2002.
    """
    return gauss_newton_operator(apply, output_loss, params, batch)(tangent)


def gauss_newton_operator(
    apply: Callable[..., Any],
    output_loss: Callable[[Any, Batch], jax.Array],
    params: Params,
    batch: Batch = None,
) -> Callable[[Tree], Tree]:
    """Linearizes the network once and returns v -> J' H_out J v.

    Args:
      apply: (params, batch) -> outputs, a pytree of floats.
      output_loss: (outputs, batch) -> f[].
      params: a pytree of floats.
      batch: the second argument of both functions, a pytree or None.

    Returns:
      A linear function of a pytree like the parameters, which returns another one.

    Raises:
      Refusal: as `hessian_product` does.
    """
    outputs, push, pull = _linearized(apply, params, batch)
    _, curve = jax.linearize(_gradient(output_loss, outputs, batch), outputs)
    return lambda tangent: pull(curve(push(_like(tangent, params))))


def fisher_product(
    apply: Callable[..., Any], params: Params, batch: Batch, tangent: Tree
) -> Tree:
    """Computes F v, with the Fisher matrix of a softmax classifier.

    F is the mean over all predictions of J' (diag(p) - p p') J, where p is the softmax
    of the logits. It is equal to the Gauss-Newton matrix of the mean cross-entropy. For
    a masked or weighted cross-entropy use `gauss_newton_product`.

    Args:
      apply: (params, batch) -> logits f[..., classes]; the predictions are all the
        axes before the last one.
      params: a pytree of floats.
      batch: the second argument of `apply`, a pytree or None.
      tangent: v, a pytree like the parameters.

    Returns:
      A pytree like the parameters, in their types.

    Raises:
      Refusal: a leaf that is not of floats, or another shape of the tangent.

    Source:
      Martens, "New Insights and Perspectives on the Natural Gradient Method", 2020.
    """
    logits, push, pull = _linearized(apply, params, batch)
    probabilities = jax.nn.softmax(logits)
    pushed = probabilities * push(_like(tangent, params))
    centred = pushed - probabilities * pushed.sum(-1, keepdims=True)
    num_predictions = max(1, logits.size // logits.shape[-1])
    return pull(centred / num_predictions)


class Curvature(NamedTuple):
    """The gradient and the Hessian of a loss at one point, on vectors f[n].

    Attributes:
      space: the vectors.
      gradient: f[n].
      product: (f[n]) -> f[n], the Hessian times a vector; linearized once.
    """

    space: Space
    gradient: jax.Array
    product: Callable[[jax.Array], jax.Array]


def curvature(loss: Loss, params: Params, batch: Batch) -> Curvature:
    """Linearizes the gradient at the parameters; the arguments of `hessian_operator`.

    Raises:
      Refusal: as `hessian_product` does.
    """
    space = space_of(params)
    grads, product = jax.linearize(_gradient(loss, params, batch), params)
    return Curvature(
        space,
        space.ravel(grads),
        lambda vector: space.ravel(product(space.tangent(vector))),
    )


def scalar(value: Any) -> jax.Array:
    """Returns the value of a loss; refuses a value that is not one float.

    Raises:
      Refusal: several values, such as (loss, aux), a shape or a type that is not f[].
    """
    if not hasattr(value, "dtype"):
        shown = type(value).__name__
        raise Refusal(f"the loss returned a {shown}; expected one number, f[]")
    if value.shape or not jnp.issubdtype(value.dtype, jnp.floating):
        shown = f"{value.dtype}{list(value.shape)}"
        raise Refusal(f"the loss returned {shown}; expected one number, f[]")
    return value


def _gradient(loss: Loss, params: Params, batch: Batch) -> Callable[[Params], Tree]:
    space_of(params)  # refuses what has no gradient
    return jax.grad(lambda params: scalar(loss(params, batch)))


def _like(tangent: Tree, params: Params) -> Tree:
    """Returns the tangent in the types of the parameters, after a check of shapes."""
    check_like("tangent", tangent, params)
    return jax.tree.map(
        lambda leaf, param: jnp.asarray(leaf, jnp.result_type(param)), tangent, params
    )


def _linearized(
    apply: Callable[..., Any], params: Params, batch: Batch
) -> tuple[Any, Callable[[Tree], Any], Callable[[Any], Tree]]:
    """Returns the outputs, v -> J v and u -> J' u."""
    space_of(params)
    outputs, push = jax.linearize(lambda params: apply(params, batch), params)
    transposed = jax.linear_transpose(push, params)
    return outputs, push, lambda outer: transposed(outer)[0]
