"""optax's rules whose own factories do not fit a trial: the same rules, thinly.

A random key must be an argument, so that the trial's seed can give it, and a warning
that a user can do nothing about stays out of the way.
"""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from gradjax.optimizers import masks

Number = Any  # f32[], or a float
_LEAST_RATE = 1e-12


def dpsgd(
    learning_rate: Number,
    l2_norm_clip: Number,
    noise_multiplier: Number,
    momentum: Number | None = None,
    nesterov: bool = False,
    key: jax.Array | None = None,
) -> optax.GradientTransformation:
    """Differentially private SGD: clip each example's gradient, sum, add noise.

    g = (sum_i g_i min(1, C / |g_i|) + noise_multiplier C N(0, 1)) / batch. Abadi et al.
    2016. Differs from `optax.contrib.dpsgd` in taking a key, not a seed.
    """
    private = contrib.differentially_private_aggregate(
        l2_norm_clip, noise_multiplier, key
    )
    return optax.chain(private, optax.sgd(learning_rate, momentum, nesterov))


def sophia(
    learning_rate: Number,
    b1: Number = 0.965,
    b2: Number = 0.99,
    eps: Number = 1e-8,
    weight_decay: Number = 1e-4,
    weight_decay_mask: Any = None,
    gamma: Number = 0.01,
    clip_threshold: Number | None = 1.0,
    update_interval: int = 10,
    key: jax.Array | None = None,
) -> optax.GradientTransformation:
    """Sophia-H: the momentum over a clipped diagonal of the Hessian.

    clip(m / max(gamma h, eps), 1), with h the moving average of Hutchinson's estimate
    u * (H u), u = +-1, renewed every `update_interval` steps. Liu et al. 2023. Differs
    from `optax.contrib.sophia` in the probes' key, which is the trial's.
    """
    probe = contrib.hutchinson_estimator_diag_hessian(key)
    return contrib.sophia(
        learning_rate,
        b1=b1,
        b2=b2,
        eps=eps,
        weight_decay=weight_decay,
        weight_decay_mask=weight_decay_mask,
        gamma=gamma,
        clip_threshold=clip_threshold,
        update_interval=update_interval,
        hessian_diagonal_fn=probe,
    )


def optimistic_adam(
    learning_rate: Number,
    optimism: Number | None = None,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    eps_root: Number = 0.0,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
) -> optax.GradientTransformation:
    """Optimistic Adam, Daskalakis et al. 2018, as optax had it first.

    It is deprecated there for `optimistic_adam_v2`, and says so at each call; built in
    the step it would do so at each trace.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return optax.optimistic_adam(
            learning_rate,
            optimism,
            b1,
            b2,
            eps,
            eps_root,
            mu_dtype,
            nesterov=nesterov,
        )


def scale_by_muon(
    ns_steps: int = 5,
    beta: Number = 0.95,
    eps: Number = 1e-8,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
) -> optax.GradientTransformation:
    """Muon's orthogonal momentum, of the matrices; other leaves stay as they are.

    Jordan et al. 2024. `optax.contrib.scale_by_muon` takes nothing but matrices.
    """

    def is_flat_matrix(params: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim == 2, params)

    def numbers(params: Any) -> Any:
        return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(), params)

    made = contrib.scale_by_muon(
        ns_steps=ns_steps,
        beta=beta,
        eps=eps,
        nesterov=nesterov,
        adaptive=adaptive,
        preconditioning=preconditioning,  # pyright: ignore[reportArgumentType]
        weight_dimension_numbers=numbers,
    )
    return optax.masked(made, is_flat_matrix)


def rprop(
    learning_rate: Number,
    eta_minus: Number = 0.5,
    eta_plus: Number = 1.2,
    min_step_size: Number = 1e-6,
    max_step_size: Number = 50.0,
) -> optax.GradientTransformation:
    """Resilient backpropagation: a step for each parameter, from signs alone.

    Riedmiller and Braun 1993. In `optax.rprop` the rate is the first step and nothing
    else. Here it multiplies the steps, their bounds too, throughout, so that it may
    follow a schedule, and start at 0.
    """
    steps = optax.rprop(1.0, eta_minus, eta_plus, min_step_size, max_step_size)
    return optax.chain(steps, optax.scale(learning_rate))


def prodigy(
    learning_rate: Number,
    betas: tuple[Number, Number] = (0.9, 0.999),
    beta3: Number | None = None,
    eps: Number = 1e-8,
    estim_lr0: Number = 1e-6,
    estim_lr_coef: Number = 1.0,
    weight_decay: Number = 0.0,
    safeguard_warmup: bool = False,
) -> optax.GradientTransformation:
    """Prodigy, Mishchenko and Defazio 2023, which finds its scale.

    `optax.contrib.prodigy` divides 0 by 0 at a rate of 0, where a warm-up starts; here
    the rate is at least 1e-12.
    """
    return contrib.prodigy(
        jnp.maximum(learning_rate, _LEAST_RATE),
        betas,
        beta3,
        eps,
        estim_lr0,
        estim_lr_coef,
        weight_decay,
        safeguard_warmup,
    )


def dadapt_adamw(
    learning_rate: Number,
    betas: tuple[Number, Number] = (0.9, 0.999),
    eps: Number = 1e-8,
    estim_lr0: Number = 1e-6,
    weight_decay: Number = 0.0,
) -> optax.GradientTransformation:
    """D-Adaptation for AdamW, Defazio and Mishchenko 2023, which finds its scale.

    As `prodigy` is, at a rate of at least 1e-12.
    """
    rate = jnp.maximum(learning_rate, _LEAST_RATE)
    return contrib.dadapt_adamw(rate, betas, eps, estim_lr0, weight_decay)


def masked(
    inner: optax.GradientTransformation, mask: Any = masks.matrices
) -> optax.GradientTransformationExtraArgs:
    """A transform of some of the leaves; the others stay as they are."""
    return optax.masked(inner, mask)
