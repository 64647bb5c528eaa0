"""Gradient transformations for use in `chain`.

They only transform gradients; on their own they do not descend. The exception is
`scale_by_learning_rate`, which changes the sign and has a learning rate:
`chain(scale_by_adam, scale_by_learning_rate)` is Adam.
"""

import optax
from optax import contrib

from gradjax.optimizers import adapted, measures
from gradjax.types import Entry


def _plain(make: object, static: tuple[str, ...] = ()) -> Entry:
    return Entry(make, rate=None, static=static)  # pyright: ignore[reportArgumentType]


TRANSFORMS: dict[str, Entry] = {
    "adaptive_grad_clip": _plain(optax.adaptive_grad_clip),
    "add_decayed_weights": _plain(optax.add_decayed_weights),
    "add_noise": Entry(optax.add_noise, rate=None, key="key"),
    "apply_every": _plain(optax.apply_every, ("k",)),
    "centralize": _plain(optax.centralize),
    "clip": _plain(optax.clip),
    "clip_by_block_rms": _plain(optax.clip_by_block_rms),
    "clip_by_global_norm": _plain(optax.clip_by_global_norm),
    "differentially_private_aggregate": Entry(
        contrib.differentially_private_aggregate,
        rate=None,
        gradient="per_example",
        key="key",
    ),
    "ema": _plain(optax.ema),
    "identity": _plain(optax.identity),
    "keep_params_nonnegative": _plain(optax.keep_params_nonnegative),
    "masked": Entry(adapted.masked, rate=None, inner=("inner",)),
    "normalize": _plain(contrib.normalize),
    "normalize_by_update_norm": _plain(optax.normalize_by_update_norm),
    "reduce_on_plateau": Entry(
        contrib.reduce_on_plateau,
        rate=None,
        static=("factor", "patience", "rtol", "atol", "cooldown", "accumulation_size"),
        needs=("value",),
    ),
    "scale": _plain(optax.scale),
    "scale_by_acprop": _plain(contrib.scale_by_acprop),
    "scale_by_adadelta": _plain(optax.scale_by_adadelta),
    "scale_by_adam": _plain(optax.scale_by_adam),
    "scale_by_adamax": _plain(optax.scale_by_adamax),
    "scale_by_adan": _plain(optax.scale_by_adan),
    "scale_by_ademamix": _plain(contrib.scale_by_ademamix),
    "scale_by_adopt": _plain(contrib.scale_by_adopt),
    "scale_by_amsgrad": _plain(optax.scale_by_amsgrad),
    "scale_by_backtracking_linesearch": Entry(
        adapted.scale_by_backtracking_linesearch,
        rate=None,
        static=("max_backtracking_steps",),
        needs=("value", "grad", "value_fn"),
        step_size=measures.searched_step,
        num_gradients=measures.backtracked_gradients,
    ),
    "scale_by_belief": _plain(optax.scale_by_belief),
    "scale_by_factored_rms": _plain(
        optax.scale_by_factored_rms, ("step_offset", "min_dim_size_to_factor")
    ),
    "scale_by_galore": _plain(contrib.scale_by_galore, ("rank", "update_proj_gap")),
    "scale_by_lbfgs": _plain(optax.scale_by_lbfgs, ("memory_size",)),
    "scale_by_learning_rate": Entry(optax.scale_by_learning_rate),
    "scale_by_lion": _plain(optax.scale_by_lion),
    "scale_by_muon": _plain(adapted.scale_by_muon, ("ns_steps",)),
    "scale_by_novograd": _plain(optax.scale_by_novograd),
    "scale_by_optimistic_gradient": _plain(optax.scale_by_optimistic_gradient),
    "scale_by_param_block_norm": _plain(optax.scale_by_param_block_norm),
    "scale_by_param_block_rms": _plain(optax.scale_by_param_block_rms),
    "scale_by_polyak": Entry(
        optax.scale_by_polyak,
        rate=None,
        needs=("value",),
        step_size=measures.over_gradients,
    ),
    "scale_by_radam": _plain(optax.scale_by_radam),
    "scale_by_rms": _plain(optax.scale_by_rms),
    "scale_by_rss": _plain(optax.scale_by_rss),
    "scale_by_sign": _plain(optax.scale_by_sign),
    "scale_by_simplified_ademamix": _plain(contrib.scale_by_simplified_ademamix),
    "scale_by_sm3": _plain(optax.scale_by_sm3),
    "scale_by_stddev": _plain(optax.scale_by_stddev),
    "scale_by_trust_ratio": _plain(optax.scale_by_trust_ratio),
    "scale_by_yogi": _plain(optax.scale_by_yogi),
    "scale_by_zoom_linesearch": Entry(
        optax.scale_by_zoom_linesearch,
        rate=None,
        static=("max_linesearch_steps",),
        needs=("value", "grad", "value_fn"),
        step_size=measures.searched_step,
        num_gradients=measures.searched_gradients,
    ),
    "set_to_zero": _plain(optax.set_to_zero),
    "trace": _plain(optax.trace),
    "zero_nans": _plain(optax.zero_nans),
}
