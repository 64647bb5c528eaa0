"""The optax optimizers: which of their arguments is the rate, and what they need."""

from typing import Any

import jax
import optax
from optax import contrib

from gradjax.types import Entry, Params


def _value_of(state: Any, field: str) -> Any:
    """The leaf called `field`, wherever it stands in an optimizer's state."""
    return optax.tree_utils.tree_get(state, field)


def _schedule_free_params(opt_state: Any, params: Params) -> Params:
    """The averaged iterate x of Defazio et al. 2024, at which the loss is reported."""

    def is_averaging(node: Any) -> bool:
        return isinstance(node, contrib.ScheduleFreeState)

    states = filter(is_averaging, jax.tree.leaves(opt_state, is_leaf=is_averaging))
    return contrib.schedule_free_eval_params(next(states), params)


OPTIMIZERS: dict[str, Entry] = {
    "adabelief": Entry(optax.adabelief),
    "adadelta": Entry(optax.adadelta, rate=("learning_rate", 1.0)),
    "adafactor": Entry(
        optax.adafactor, static=("min_dim_size_to_factor", "decay_offset")
    ),
    "adagrad": Entry(optax.adagrad, rate=("learning_rate", 1e-2)),
    "adam": Entry(optax.adam),
    "adamax": Entry(optax.adamax),
    "adamaxw": Entry(optax.adamaxw),
    "adamw": Entry(optax.adamw),
    "adan": Entry(optax.adan),
    "amsgrad": Entry(optax.amsgrad),
    "lamb": Entry(optax.lamb, rate=("learning_rate", 1e-2)),
    "lars": Entry(optax.lars, rate=("learning_rate", 1.0)),
    "lbfgs": Entry(
        optax.lbfgs,
        rate=None,
        static=("memory_size",),
        needs=("value", "grad", "value_fn"),
        step_size=lambda state: _value_of(state, "learning_rate"),
    ),
    "lion": Entry(optax.lion, rate=("learning_rate", 1e-4)),
    "momo": Entry(contrib.momo, rate=("learning_rate", 1.0), needs=("value",)),
    "muon": Entry(contrib.muon, rate=("learning_rate", 1e-2), static=("ns_steps",)),
    "nadam": Entry(optax.nadam),
    "nadamw": Entry(optax.nadamw),
    "novograd": Entry(optax.novograd, rate=("learning_rate", 1e-2)),
    "optimistic_gradient_descent": Entry(
        optax.optimistic_gradient_descent, rate=("learning_rate", 1e-1)
    ),
    "polyak_sgd": Entry(
        optax.polyak_sgd, rate=("max_learning_rate", 1.0), needs=("value",)
    ),
    "prodigy": Entry(
        contrib.prodigy,
        rate=("learning_rate", 1.0),
        step_size=lambda state: _value_of(state, "estim_lr"),
    ),
    "radam": Entry(optax.radam),
    "rmsprop": Entry(optax.rmsprop),
    "schedule_free_adamw": Entry(
        contrib.schedule_free_adamw,
        rate=("learning_rate", 2.5e-3),
        static=("warmup_steps",),
        eval_params=_schedule_free_params,
    ),
    "sgd": Entry(optax.sgd, rate=("learning_rate", 1e-1)),
    "sign_sgd": Entry(optax.sign_sgd, rate=("learning_rate", 1e-4)),
    "yogi": Entry(optax.yogi),
}

# What a chain may hold beside an optimizer: they change gradients, they do not descend.
TRANSFORMS: dict[str, Entry] = {
    "adaptive_grad_clip": Entry(optax.adaptive_grad_clip, rate=None),
    "add_decayed_weights": Entry(optax.add_decayed_weights, rate=None),
    "centralize": Entry(optax.centralize, rate=None),
    "clip": Entry(optax.clip, rate=None),
    "clip_by_block_rms": Entry(optax.clip_by_block_rms, rate=None),
    "clip_by_global_norm": Entry(optax.clip_by_global_norm, rate=None),
    "normalize_by_update_norm": Entry(optax.normalize_by_update_norm, rate=None),
    "zero_nans": Entry(optax.zero_nans, rate=None),
}

WRAPPERS: dict[str, Entry] = {
    "chain": Entry(optax.chain, rate=None, inner=True),
}
