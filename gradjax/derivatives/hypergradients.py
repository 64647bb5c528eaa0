"""Hypergradients: derivatives of the final loss of a run in its hyperparameters.

A run is a pure function of (hyperparameters, seed). So its final loss has a gradient in
the learning rate, in every number of the optimizer, and in every point of a schedule
that is given as numbers:

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
from gradjax.problems import state as model_states
from gradjax.training import evaluation, numbers
from gradjax.training import step as steps
from gradjax.training.numbers import check_program
from gradjax.types import Hparams, Plan, Program, Splits, TrainState

Outcome = Callable[[Hparams, Any], jax.Array]
Hypergradient = Callable[[Hparams, Any], tuple[jax.Array, Hparams]]

# Optimizers whose derivative passes through a loop of unknown length. Backtracking is
# not one of them, because the rate that it finds is piecewise constant.
_SEARCHES = (optax.lbfgs, optax.scale_by_zoom_linesearch)
_CAUSE = (
    "in Adam-like rules a root has no derivative where an input is always 0, unless"
    " eps_root > 0: give eps_root=1e-16"
)


def outcome(program: Program, split: str = "validation") -> Outcome:
    """Returns the final loss of a run as a function of its hyperparameters.

        outcome(h, seed) = loss(params_T),  params_t+1, s_t+1 = step(params_t, s_t; h)

    It is the mean over the split, at the parameters for evaluation after the last step,
    as `gradjax.run` reports it. The function may be jitted, mapped over hyperparameters
    or seeds, and differentiated in forward mode (`jax.jvp`) and in reverse mode
    (`jax.grad`). Reverse mode stores about sqrt(T) states of the run and the
    intermediate values of the sqrt(T) steps between two of these, 2 sqrt(T) in all
    instead of T. It computes every step twice.

    Args:
      program: from `gradjax.program`.
      split: the split over which the mean is taken. A problem without data has only its
        own loss, so the split makes no difference there.

    Returns:
      A function (hparams, seed u32[]) -> f32[]. `hparams` replace the program's
      defaults: f32[] each, f32[n] for a list. Their bounds are not checked. The loss is
      NaN if the run diverged.

    Raises:
        Refusal: the split does not exist, or the problem's metrics have no loss.
    """
    plan = program.plan
    chosen = _split(plan, split)
    arrays = _arrays(plan, chosen)
    _check_loss(plan, chosen, arrays)

    def value(hparams: Hparams, seed: Any) -> jax.Array:
        return _outcome(plan, chosen, _numbers(program, hparams), seed, arrays)

    return value


def hypergradient(program: Program, split: str = "validation") -> Hypergradient:
    """Returns the final loss of a run and its gradient in all hyperparameters.

    One reverse pass computes the complete gradient, for any number of hyperparameters.
    Measured on 2 CPU cores, it takes the time of 3 runs (sgd, noisy_quadratic) to 7
    runs (adam, digits_mlp, with 15 MiB of memory for 1,600 steps and 4 for 100). See
    `outcome` for the formula and the memory.

    Adam-like optimizers divide by sqrt(nu + eps_root). If an input is always 0, as at
    the border of an image, nu is 0, the root has no derivative, and every gradient is
    NaN unless eps_root > 0; `adam(eps_root=1e-16)` is enough, and `checked` says so.
    The radam of optax has no gradient at all, because in its first steps it computes
    the root of a negative number and discards it. If an update rule is discontinuous,
    as one with a sign is, the gradient is that of the parts between the jumps.

    Above the largest stable learning rate, runs with slightly different hyperparameters
    move apart as fast as they grow. There the gradient is correct, but it is so large
    and so local that a step along it does not help.

    Args:
      program: from `gradjax.program`.
      split: as in `outcome`.

    Returns:
      A compiled function (hparams, seed u32[]) -> (f32[], gradients). The gradients
      have the keys and shapes of `program.hparams`: learning_rate, optimizer.*,
      schedule.*.

    Raises:
        Refusal: what `outcome` refuses, a program without hyperparameters, or a line
            search, whose loop has no fixed length and so no reverse derivative.
    """
    check_program(program)
    plan = program.plan
    chosen = _split(plan, split)
    arrays = _arrays(plan, chosen)
    _check_loss(plan, chosen, arrays)
    _check_reversible(program)
    value = functools.partial(_outcome, plan, chosen)
    both = jax.jit(jax.value_and_grad(value))  # its data are arguments, not constants

    def gradient(hparams: Hparams, seed: Any) -> tuple[jax.Array, Hparams]:
        try:
            return both(_numbers(program, hparams), jnp.asarray(seed, "uint32"), arrays)
        except ValueError as error:  # a loop in the user's own optimizer or loss
            if "Reverse-mode differentiation" not in str(error):
                raise
            raise Refusal(_irreversible("the optimizer or the loss")) from None

    return gradient


def require_finite(value: Any, grads: Hparams) -> tuple[float, Hparams]:
    """Checks that a hypergradient is finite, and returns it on the host.

    Args:
      value: f32[], the loss.
      grads: path -> gradient f32[...]; possibly only those that are needed.

    Returns:
      The loss and the gradients.

    Raises:
        Refusal: the run diverged, or a gradient is not finite; the line gives a remedy.
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
    """Computes the mean loss over the split after the last step: f32[]."""
    seed = jnp.asarray(seed, jnp.uint32)
    state = _train(plan, hparams, seed, arrays["train"])
    rule = plan.optimizer
    params = optimizers.eval_params(rule, state.opt_state, state.params)
    means = _means(plan, split, (params, state.model_state), arrays)
    return jnp.where(state.alive, means["loss"], jnp.nan)


def _train(plan: Plan, hparams: Hparams, seed: jax.Array, arrays: Any) -> TrainState:
    """Returns the state after the last step; the reverse pass recomputes the steps.

    The run is split into parts of sqrt(T) steps, and only the states between two parts
    are stored. Batches and keys are derived from the number of the step, so parts of
    any length take the same steps.
    """
    length = math.isqrt(plan.num_steps - 1) + 1
    full, rest = divmod(plan.num_steps, length)

    def take(num_steps: int, state: TrainState, start: Any) -> tuple[TrainState, None]:
        return scan(plan, num_steps, state, (hparams, seed), start, arrays)[0], None

    # Inside a scan XLA cannot merge a part with its recomputation.
    part = jax.checkpoint(functools.partial(take, length), prevent_cse=False)
    starts = jnp.arange(full, dtype=jnp.uint32) * jnp.uint32(length)
    state, _ = jax.lax.scan(part, steps.init(plan, hparams, seed), starts)
    if rest:
        last = jax.checkpoint(functools.partial(take, rest))
        state, _ = last(state, jnp.uint32(full * length))
    return state


def _means(
    plan: Plan, split: str, network: tuple[Any, Any], arrays: dict[str, Any]
) -> Any:
    """Computes the mean of each metric over the split: metric -> f32[].

    `network` holds the parameters of the network, and its state or None.
    """
    source, (params, model_state) = getattr(plan.problem.data, split, None), network
    own = arrays[split]
    return evaluation.evaluate(plan.problem, params, source, own, model_state)


def _numbers(program: Program, hparams: Hparams) -> Hparams:
    """Returns all numbers of the program, with those of `hparams` replaced."""
    for name in hparams:
        if name not in program.hparams:
            raise Refusal(numbers.unknown(program, name))
    given = {**program.hparams, **hparams}
    for path, default in program.hparams.items():
        shape, expected = np.shape(given[path]), np.shape(default)
        if shape != expected:
            raise Refusal(f"{path} has shape {shape}; expected {expected}")
    return {path: _number(value) for path, value in given.items()}


def _number(value: Any) -> jax.Array:
    """Returns the value as an array: in its own type if that is of floats."""
    dtype = getattr(value, "dtype", None)
    is_float = dtype is not None and jnp.issubdtype(dtype, jnp.floating)
    return jnp.asarray(value) if is_float else jnp.asarray(value, float)


def _split(plan: Plan, split: str) -> str:
    """Checks and returns the name of the split; "train" for a problem without data."""
    data = plan.problem.data
    names = Splits._fields
    if not isinstance(split, str) or split not in names:
        raise Refusal(expressions.unknown(split, names, "split"))
    if data is None:
        return "train"
    if getattr(data, split) is None:
        there = ", ".join(name for name in names if getattr(data, name) is not None)
        raise Refusal(f"split={split!r}: this problem has none; it has {there}")
    return split


def _arrays(plan: Plan, split: str) -> dict[str, Any]:
    """Returns split -> the arrays of its source, for training and for the split."""
    data = plan.problem.data
    if data is None:
        return {"train": None}
    if data.train.read is not None:
        raise Refusal(
            "hypergradient: the train split is streamed; a derivative through a run"
            " needs it in memory"
        )
    return {name: getattr(data, name).arrays for name in {"train", split}}


def _check_loss(plan: Plan, split: str, arrays: dict[str, Any]) -> None:
    """Refuses a problem whose metrics do not include the loss."""
    made = functools.partial(model_states.init, plan.problem)
    network = [
        jax.eval_shape(of, jax.random.key(0)) for of in (plan.problem.init, made)
    ]
    measured = functools.partial(_means, plan, split, arrays=arrays)
    names = jax.eval_shape(measured, network)
    if "loss" not in names:
        said = ", ".join(names)
        raise Refusal(f"the problem's metrics have no 'loss' to follow, only {said}")


def _check_reversible(program: Program) -> None:
    """Refuses a program without a hypergradient, before it is traced.

    Raises:
        Refusal: it has no hyperparameters, or its optimizer has a line search.
    """
    for node in nodes(program.plan.optimizer):
        if node.entry.make in _SEARCHES:
            raise Refusal(_irreversible(node.entry.make.__name__))
    if not program.hparams:
        raise Refusal("this program has no number to differentiate by")


def _irreversible(name: str) -> str:
    return (
        f"{name} has a loop of unknown length, as a line search does, so its runs have"
        " no gradient in reverse mode; jax.jvp of `outcome` works in forward mode"
    )
