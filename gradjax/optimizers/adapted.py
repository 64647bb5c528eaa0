"""Thin versions of optax's factories whose own form does not fit a trial.

Here a random key is an argument, because it follows from the seed of the trial; a
learning rate may be traced and 0; a deprecation warning of optax is not shown; and a
backtracking line search counts its gradients.
"""

import functools
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from gradjax.optimizers import masks

Number = Any  # f32[], or a float
_LEAST_RATE = 1e-12
_THIRDS = 3  # a function value without gradient costs about a third of a gradient


class Counted(NamedTuple):
    """The state of a rule that evaluates the loss without its gradient."""

    inner_state: Any
    num_gradients: jax.Array  # i32[], whole ones of the last update
    thirds: jax.Array  # i32[], 0 to 2, that the next update counts


def dpsgd(
    learning_rate: Number,
    l2_norm_clip: Number,
    noise_multiplier: Number,
    momentum: Number | None = None,
    nesterov: bool = False,
    key: jax.Array | None = None,
) -> optax.GradientTransformation:
    """Differentially private SGD: clips each example's gradient and adds noise.

    g = (sum_i g_i min(1, C / |g_i|) + noise_multiplier C N(0, 1)) / batch, where C is
    `l2_norm_clip`. Differs from `optax.contrib.dpsgd` in that it takes a key, not a
    seed.

    Source: Abadi et al. 2016.
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
    """Sophia-H: divides the momentum by a diagonal estimate of the Hessian, and clips.

    The direction is clip(m / max(gamma h, eps), clip_threshold), where h is the moving
    average of Hutchinson's estimate u * (H u) with random signs u, updated every
    `update_interval` steps. Differs from `optax.contrib.sophia` in that the random
    signs follow from the key of the trial.

    Source: Liu et al. 2023.
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
    """Optimistic Adam in the first version of optax.

    optax deprecates this version in favour of `optimistic_adam_v2` and warns at each
    call, which here would be at each trace. So the warning is suppressed.

    Source: Daskalakis et al. 2018.
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
    """Orthogonalises the momentum of matrices as Muon does; other leaves are unchanged.

    Differs from `optax.contrib.scale_by_muon` in that leaves which are not matrices are
    allowed.

    Source: Jordan et al. 2024.
    """

    def is_flat_matrix(params: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim == 2, params)

    def numbers(params: Any) -> Any:
        return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(), params)

    muon = contrib.scale_by_muon(
        ns_steps=ns_steps,
        beta=beta,
        eps=eps,
        nesterov=nesterov,
        adaptive=adaptive,
        preconditioning=preconditioning,  # pyright: ignore[reportArgumentType]
        weight_dimension_numbers=numbers,
    )
    return optax.masked(muon, is_flat_matrix)


@functools.wraps(optax.scale_by_backtracking_linesearch)
def scale_by_backtracking_linesearch(
    *args: Any, **kwargs: Any
) -> optax.GradientTransformationExtraArgs:
    """Scales the update by a step size that decreases the loss enough.

    Differs from optax's in that its state counts gradients: 1 at the parameters, a
    third for each point of the search, as only the loss is computed there, and with
    `store_grad` two thirds for the gradient at the last point. A number of gradients
    is whole, so what is left of a third is counted in a later update.

    Source: Vaswani et al. 2019.
    """
    rule: Any = optax.scale_by_backtracking_linesearch(*args, **kwargs)

    def init(params: Any) -> Any:
        zero = jnp.zeros((), jnp.int32)
        return Counted(rule.init(params), zero, zero)

    def update(
        updates: Any, state: Any, params: Any = None, **extras: Any
    ) -> tuple[Any, Any]:
        updates, inner = rule.update(updates, state.inner_state, params, **extras)
        is_stored = inner.grad is not None
        spent = _THIRDS + inner.info.num_linesearch_steps + 2 * is_stored
        spent = jnp.asarray(state.thirds + spent, jnp.int32)
        return updates, Counted(inner, spent // _THIRDS, spent % _THIRDS)

    return optax.GradientTransformationExtraArgs(init, update)


def rprop(
    learning_rate: Number,
    eta_minus: Number = 0.5,
    eta_plus: Number = 1.2,
    min_step_size: Number = 1e-6,
    max_step_size: Number = 50.0,
) -> optax.GradientTransformation:
    """Resilient backpropagation: adapts the step of each parameter by gradient signs.

    Differs from `optax.rprop` in two points. There the learning rate is only the first
    step size; here it multiplies every step size and the bounds in every step, so that
    it may follow a schedule and start at 0. And optax applies each update one step
    late, so that its first step changes nothing; here it is applied at once, as in the
    paper and in PyTorch. After a change of sign a parameter stays for one step.

    Source: Riedmiller and Braun 1993, as iRprop- of Igel and Hüsken 2003.
    """
    inner = optax.scale_by_rprop(1.0, eta_minus, eta_plus, min_step_size, max_step_size)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        _, state = inner.update(updates, state, params)
        return state.prev_updates, state  # optax returns those of the step before

    at_once = optax.GradientTransformation(inner.init, update)
    return optax.chain(at_once, optax.scale(-learning_rate))


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
    """Prodigy: Adam with an estimate of the scale of the learning rate.

    Differs from `optax.contrib.prodigy` in that the learning rate is at least 1e-12,
    because at a rate of 0, where a warm-up starts, that function divides 0 by 0.

    Source: Mishchenko and Defazio 2023.
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
    """D-Adaptation for AdamW: estimates the scale of the learning rate.

    As in `prodigy`, the learning rate is at least 1e-12.

    Source: Defazio and Mishchenko 2023.
    """
    rate = jnp.maximum(learning_rate, _LEAST_RATE)
    return contrib.dadapt_adamw(rate, betas, eps, estim_lr0, weight_decay)


def masked(
    inner: optax.GradientTransformation, mask: Any = masks.matrices
) -> optax.GradientTransformationExtraArgs:
    """Applies a transform to the leaves of a mask; other leaves are unchanged."""
    return optax.masked(inner, mask)
