"""AMSGrad and NAdam with the forms of their papers, beside those of optax.

By default each is the function of optax with the same name, to the same bits.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

Number = Any  # f32[], or a float


class NAdamState(NamedTuple):
    """The moments, and the product of the momentum of all steps so far."""

    count: jax.Array  # i32[]
    product: jax.Array  # f32[]
    mu: Any
    nu: Any


def amsgrad(
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    mu_dtype: Any = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    max_before_correction: bool = False,
) -> optax.GradientTransformation:
    """AMSGrad: Adam whose second moment never decreases.

    optax takes the maximum of nu / (1 - b2^t), which is the one of an early step for a
    long time, because the correction is large there. The paper, PyTorch and Keras take
    the maximum of nu. With `max_before_correction` it is max(nu) / (1 - b2^t), as in
    PyTorch and Keras. The paper has no bias correction at all: both
    `bias_correction_mu` and `bias_correction_nu` are False.

    Source: Reddi et al. 2018, algorithm 2.
    """
    corrections = (bias_correction_mu, bias_correction_nu)
    if not max_before_correction:
        return optax.amsgrad(
            learning_rate, b1, b2, eps, eps_root, mu_dtype, *corrections
        )
    inner = optax.scale_by_amsgrad(b1, b2, mu_dtype=mu_dtype, bias_correction_nu=False)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        _, state = inner.update(updates, state, params)
        mu, nu = state.mu, state.nu_max
        if bias_correction_mu:
            mu = optax.tree.bias_correction(mu, b1, state.count)
        if bias_correction_nu:
            nu = optax.tree.bias_correction(nu, b2, state.count)
        return _ratio(mu, nu, eps, eps_root), state

    scaled = optax.GradientTransformation(inner.init, update)
    return optax.chain(scaled, optax.scale_by_learning_rate(learning_rate))


def nadam(
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    mu_dtype: Any = None,
    momentum_decay: Number | None = None,
) -> optax.GradientTransformation:
    """NAdam: Adam with Nesterov's momentum.

    optax uses the momentum b1 in every step. With a number as `momentum_decay`, usually
    0.004, the momentum of step t is b1 (1 - 0.96^(t momentum_decay) / 2), as in the
    paper and in PyTorch, and the bias correction is the product of these.

    Source: Dozat 2016, algorithm 2.
    """
    if momentum_decay is None:
        return optax.adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov=True)
    scaled = _scale_by_nadam(b1, b2, eps, eps_root, mu_dtype, momentum_decay)
    return optax.chain(scaled, optax.scale_by_learning_rate(learning_rate))


def nadamw(
    learning_rate: Number,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    mu_dtype: Any = None,
    weight_decay: Number = 1e-4,
    mask: Any = None,
    momentum_decay: Number | None = None,
) -> optax.GradientTransformation:
    """NAdam with the decoupled weight decay of AdamW; see `nadam`.

    Source: Dozat 2016; Loshchilov and Hutter 2019.
    """
    if momentum_decay is None:
        moments = (b1, b2, eps, eps_root, mu_dtype)
        return optax.adamw(learning_rate, *moments, weight_decay, mask, nesterov=True)
    return optax.chain(
        _scale_by_nadam(b1, b2, eps, eps_root, mu_dtype, momentum_decay),
        optax.add_decayed_weights(weight_decay, mask),
        optax.scale_by_learning_rate(learning_rate),
    )


def _scale_by_nadam(
    b1: Number,
    b2: Number,
    eps: Number,
    eps_root: Number,
    mu_dtype: Any,
    momentum_decay: Number,
) -> optax.GradientTransformation:
    """Scales by NAdam with the momentum schedule of its paper."""

    def momentum(step: jax.Array) -> jax.Array:
        return b1 * (1.0 - 0.5 * 0.96 ** (step * momentum_decay))

    def init(params: Any) -> NAdamState:
        dtype = jnp.promote_types(optax.tree.dtype(params, "highest"), jnp.float32)
        mu = optax.tree.zeros_like(params, dtype=mu_dtype)
        nu = optax.tree.zeros_like(params)
        return NAdamState(jnp.int32(0), jnp.ones((), dtype), mu, nu)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        dtype, count = state.product.dtype, state.count + 1
        now, later = (momentum(t.astype(dtype)) for t in (count, count + 1))
        product = (state.product * now).astype(dtype)
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, b2, 2)
        ahead = jax.tree.map(
            lambda m, g: (
                later / (1.0 - product * later) * m + (1.0 - now) / (1.0 - product) * g
            ).astype(g.dtype),
            mu,
            updates,
        )
        nu_hat = optax.tree.bias_correction(nu, b2, count)
        mu, nu = optax.tree.cast(mu, mu_dtype), optax.tree.cast_like(nu, state.nu)
        scaled = _ratio(ahead, nu_hat, eps, eps_root)
        return scaled, NAdamState(count, product, mu, nu)

    return optax.GradientTransformation(init, update)


def _ratio(mu: Any, nu: Any, eps: Number, eps_root: Number) -> Any:
    """Computes mu / (sqrt(nu + eps_root) + eps) for each leaf."""
    return jax.tree.map(lambda m, v: m / (jnp.sqrt(v + eps_root) + eps), mu, nu)
