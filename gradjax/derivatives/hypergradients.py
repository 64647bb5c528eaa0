"""Hypergradients: the derivative of a whole run with respect to its numbers.

A run is a pure function of (hyperparameters, seed), so the loss that it ends with has a
gradient in the learning rate, in every number of the optimizer, and in every point of a
schedule given as numbers:

    program = gradjax.program(problem, "sgd(momentum=0.9)", [1.0] * 16, num_steps=100)
    value, grads = hypergradient(program)({"learning_rate": 0.1}, 0)
    grads["schedule.values"]  # f32[16]
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradjax import expressions, optimizers
from gradjax.derivatives.scan import scan
from gradjax.errors import Refusal
from gradjax.optimizers.build import nodes
from gradjax.training import evaluation
from gradjax.training import step as steps
from gradjax.types import Hparams, Plan, Program, Splits, TrainState

Outcome = Callable[[Hparams, Any], jax.Array]
Hypergradient = Callable[[Hparams, Any], tuple[jax.Array, Hparams]]

# A loop of unknown length on the way of the gradient. Backtracking is none: the rate
# that it finds is one of a few, and steps from one to the next.
_SEARCHES = (optax.lbfgs, optax.scale_by_zoom_linesearch)
_CAUSE = (
    "in Adam-like rules a root has no derivative where an input is always 0, unless"
    " eps_root > 0: give eps_root=1e-16"
)


def outcome(program: Program, split: str = "validation") -> Outcome:
    """The loss that a run ends with, as a function of its numbers.

        outcome(h, seed) = loss(params_T),  params_t+1, s_t+1 = step(params_t, s_t; h)

    It is what `gradjax.run` reports at the end: the mean over the split at the
    parameters for evaluation. It may be jitted, mapped over numbers or seeds, and
    differentiated, forward (`jax.jvp`) as well as backward (`jax.grad`). Backward it
    keeps the states of about sqrt(T) steps and what the steps between two of them need,
    2 sqrt(T) of either instead of T, and takes every step twice.

    Args:
      program: from `gradjax.program`.
      split: over which the loss is the mean. A problem without data has but its own
        loss, whatever the split.

    Returns:
      A function (hparams, seed u32[]) -> f32[]. `hparams` replace the program's
      defaults, f32[] each, f32[n] of a list; nothing looks at their bounds. The loss is
      NaN where the run diverged.

    Raises:
        Refusal: there is no such split, or the problem's metrics have no loss.
    """
    plan = program.plan
    chosen = _split(plan, split)
    arrays = _arrays(plan, chosen)
    _check_loss(plan, chosen, arrays)

    def value(hparams: Hparams, seed: Any) -> jax.Array:
        return _outcome(plan, chosen, _numbers(program, hparams), seed, arrays)

    return value


def hypergradient(program: Program, split: str = "validation") -> Hypergradient:
    """The loss that a run ends with, and its gradient in every number of the program.

    One reverse pass gives all of them, whatever their count. Measured on 2 CPU cores it
    costs 3 runs (sgd, noisy_quadratic) to 7 (adam, digits_mlp: 15 MiB at 1,600 steps,
    4 at 100). See `outcome` for the formula and for the memory.

    Adam-like rules divide by sqrt(nu + eps_root). Where an input is always 0, as at the
    border of an image, nu is 0, the root has no derivative, and every gradient is NaN
    unless eps_root > 0: `adam(eps_root=1e-16)` is enough. `checked` says so. optax's
    radam has none at all: in its first steps it takes the root of a negative number and
    drops it. Where a rule jumps, as one that takes a sign does, the gradient is that
    between the jumps.

    Above the largest stable rate two runs drift apart as fast as they grow. A gradient
    there is right, and so large and local that no step along it helps.

    Args:
      program: from `gradjax.program`.
      split: as in `outcome`.

    Returns:
      A compiled function (hparams, seed u32[]) -> (f32[], gradients), which have the
      keys and shapes of `program.hparams`: learning_rate, optimizer.*, schedule.*.

    Raises:
        Refusal: as `outcome`; a program without numbers; a line search, whose loop ends
            when it is done and so cannot be gone through backward.
    """
    plan = program.plan
    chosen = _split(plan, split)
    arrays = _arrays(plan, chosen)
    _check_loss(plan, chosen, arrays)
    _check_reversible(program)
    value = functools.partial(_outcome, plan, chosen)
    both = jax.jit(jax.value_and_grad(value))  # data are its arguments, not constants

    def gradient(hparams: Hparams, seed: Any) -> tuple[jax.Array, Hparams]:
        try:
            return both(_numbers(program, hparams), jnp.asarray(seed, "uint32"), arrays)
        except ValueError as error:  # of one's own rule or loss: known when traced
            if "Reverse-mode differentiation" not in str(error):
                raise
            raise Refusal(_no_way_back("the optimizer or the loss")) from None

    return gradient


def checked(value: Any, grads: Hparams) -> tuple[float, Hparams]:
    """What `hypergradient` gave, on the host, if all of it is finite.

    Args:
      value: f32[].
      grads: by path, f32[...] each; a part of them where only those matter.

    Raises:
        Refusal: the run diverged, or a gradient is not finite, with what to do.
    """
    loss, found = float(value), jax.device_get(grads)
    if not math.isfinite(loss):
        raise Refusal(f"the run ends with a loss of {loss}: lower its learning rate")
    bad = [path for path, grad in found.items() if not np.isfinite(grad).all()]
    if bad:
        raise Refusal(f"the gradient in {', '.join(bad)} is not finite: {_CAUSE}")
    return loss, found


def _outcome(
    plan: Plan, split: str, hparams: Hparams, seed: Any, arrays: dict[str, Any]
) -> jax.Array:
    """f32[]: the loss over the split after the last step."""
    seed = jnp.asarray(seed, jnp.uint32)
    state = _trained(plan, hparams, seed, arrays["train"])
    rule = plan.optimizer
    params = optimizers.eval_params(rule, state.opt_state, state.params)
    means = _means(plan, split, params, arrays)
    return jnp.where(state.alive, means["loss"], jnp.nan)


def _trained(plan: Plan, hparams: Hparams, seed: jax.Array, arrays: Any) -> TrainState:
    """The state after the last step, in blocks of sqrt(T) steps that are recomputed.

    Batches and keys are derived from the number of the step, so blocks of any length
    take the same steps.
    """
    length = math.isqrt(plan.num_steps - 1) + 1
    full, rest = divmod(plan.num_steps, length)

    def taken(num_steps: int, state: TrainState, start: Any) -> tuple[TrainState, None]:
        return scan(plan, num_steps, state, (hparams, seed), start, arrays)[0], None

    # Inside a scan XLA cannot merge a block with its repetition.
    block = jax.checkpoint(functools.partial(taken, length), prevent_cse=False)
    starts = jnp.arange(full, dtype=jnp.uint32) * jnp.uint32(length)
    state, _ = jax.lax.scan(block, steps.init(plan, hparams, seed), starts)
    if rest:
        last = jax.checkpoint(functools.partial(taken, rest))
        state, _ = last(state, jnp.uint32(full * length))
    return state


def _means(plan: Plan, split: str, params: Any, arrays: dict[str, Any]) -> Any:
    """Metric -> f32[]: the mean over the split."""
    source = getattr(plan.problem.data, split, None)
    return evaluation.evaluate(plan.problem, params, source, arrays[split])


def _numbers(program: Program, hparams: Hparams) -> Hparams:
    """All of the program's numbers, with `hparams` in their place."""
    for name in hparams:
        if name not in program.hparams:
            raise Refusal(expressions.unknown(name, program.hparams, "hyperparameter"))
    given = {**program.hparams, **hparams}
    for path, default in program.hparams.items():
        shape, expected = np.shape(given[path]), np.shape(default)
        if shape != expected:
            raise Refusal(f"{path} has shape {shape}; expected {expected}")
    return {path: _number(value) for path, value in given.items()}


def _number(value: Any) -> jax.Array:
    """As it is where it has a type of floats, else f32."""
    dtype = getattr(value, "dtype", None)
    is_float = dtype is not None and jnp.issubdtype(dtype, jnp.floating)
    return jnp.asarray(value) if is_float else jnp.asarray(value, jnp.float32)


def _split(plan: Plan, split: str) -> str:
    """The split; "train" of a problem without data."""
    data = plan.problem.data
    names = Splits._fields
    if split not in names:
        raise Refusal(expressions.unknown(split, names, "split"))
    if data is None:
        return "train"
    if getattr(data, split) is None:
        there = ", ".join(name for name in names if getattr(data, name) is not None)
        raise Refusal(f"split={split!r}: this problem has none; it has {there}")
    return split


def _arrays(plan: Plan, split: str) -> dict[str, Any]:
    """What the sources of training and of the split take from."""
    data = plan.problem.data
    if data is None:
        return {"train": None}
    return {name: getattr(data, name).arrays for name in {"train", split}}


def _check_loss(plan: Plan, split: str, arrays: dict[str, Any]) -> None:
    """Refuses a problem whose held-out measures do not include the loss."""
    params = jax.eval_shape(plan.problem.init, jax.random.key(0))
    measured = functools.partial(_means, plan, split, arrays=arrays)
    names = jax.eval_shape(measured, params)
    if "loss" not in names:
        said = ", ".join(names)
        raise Refusal(f"the problem's metrics have no 'loss' to follow, only {said}")


def _check_reversible(program: Program) -> None:
    """Refuses what has no hypergradient, before it is traced.

    Raises:
        Refusal: no numbers, or a rule that searches along a line.
    """
    for node in nodes(program.plan.optimizer):
        if node.entry.make in _SEARCHES:
            raise Refusal(_no_way_back(node.entry.make.__name__))
    if not program.hparams:
        raise Refusal("this program has no number to differentiate by")


def _no_way_back(name: str) -> str:
    return (
        f"{name} has a loop that ends when it is done, as a line search does: its runs"
        " have no gradient backward; jax.jvp of `outcome` goes forward"
    )
