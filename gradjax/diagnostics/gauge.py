"""The stability gauge of a run: how far a step is from its edge of stability."""

from typing import Any

import jax
import jax.numpy as jnp

from gradjax.diagnostics.context import TakeStep
from gradjax.diagnostics.jacobian import vectors
from gradjax.diagnostics.stability import Headroom, headroom
from gradjax.types import Batch, Hparams, Key, Params, Plan, Program, TrainState

Values = dict[str, jax.Array]


def gauge_memory(params: Params, opt_state: Any, frozen: str = "") -> jax.Array:
    """Returns the start of the first measurement in a run: f[n], zeros."""
    size = vectors(params, opt_state, frozen)
    return jnp.zeros(size.size, size.dtype)


def stability_gauge(
    take_step: TakeStep,
    params: Params,
    opt_state: Any,
    hparams: Hparams,
    plan: Plan,
    key: Key,
    memory: jax.Array,
    num_products: int = 50,
    tolerance: float = 0.01,
    frozen: str = "",
) -> tuple[Values, jax.Array]:
    """Measures how far the step of a run is from its edge of stability.

    Adam and RMSprop without `frozen="nu"` have an edge near 0 while some second moments
    are tiny, as in the first steps or for weights whose gradient is nearly 0: the
    step is then nearly the sign of the gradient there, and its derivative is huge.

    It takes about 4 to 10 times `num_products` products with the Jacobian of the step
    on its batch, each about the cost of a Hessian product.

    Args:
      take_step: (params, opt_state, hparams) -> (params, opt_state).
      params: the parameters before the step.
      opt_state: the state of the optimizer before the step.
      hparams: the hyperparameters at this step, after the schedule.
      plan: the static part of the run; it names the learning rates.
      key: of the random directions.
      memory: the eigenvector of the last measurement.
      num_products: the number of products with the Jacobian at each factor.
      tolerance: the largest high / low - 1 of the bracket of the factor.
      frozen: "nu" holds the second moment of Adam and RMSprop.

    Returns:
      `""`: the headroom, the factor on the rate at which the leftmost eigenvalue is -1,
      which is 1 at the edge; `low` and `high`: its bracket; `eigenvalue`, `imaginary`
      and `residual`: the leftmost eigenvalue at the rate of this step; `held`: the
      number of elements at which the step has no derivative. And the new memory.

    Raises:
      Refusal: as `headroom` does.
    """
    found = headroom(
        take_step,
        params,
        opt_state,
        hparams,
        plan.optimizer.rates,
        key=key,
        num_products=num_products,
        tolerance=tolerance,
        frozen=frozen,
        start=memory,
    )
    values = {
        "": found.factor,
        "low": found.low,
        "high": found.high,
        "eigenvalue": found.now.real,
        "imaginary": found.now.imaginary,
        "residual": found.now.residual,
        "held": found.now.num_held,
    }
    return values, found.now.vector


def of_program(
    program: Program,
    hparams: Hparams,
    state: TrainState,
    batch: Batch,
    *,
    key: Key,
    step: int | jax.Array = 0,
    num_products: int = 50,
    tolerance: float = 1e-3,
    frozen: str = "",
) -> Headroom:
    """Computes the headroom of a state of a program.

    Compile it with the state and the batch as arguments:

        gauge = jax.jit(lambda state, batch, key: of_program(
            program, program.hparams, state, batch, key=key))

    Args:
      program: of `gradjax.program`.
      hparams: those of the run, before the schedule; the others are the program's.
      state: a TrainState, as `program.init` and `program.step` return it.
      batch: the examples of the step; None for a problem without data.
      key: of the random directions, and of the randomness of the step.
      step: the number of the step, which the schedule takes.
      num_products: as in `headroom`.
      tolerance: likewise.
      frozen: likewise.

    Returns:
      Headroom.

    Raises:
      Refusal: as `headroom` does.
    """
    i = jnp.asarray(step, jnp.uint32)
    gauge_key, step_key = jax.random.split(key)

    def take_step(params: Params, opt_state: Any, hparams: Hparams) -> Any:
        before = state._replace(params=params, opt_state=opt_state)
        after, _ = program.step(before, batch, hparams, step_key, i)
        return after.params, after.opt_state

    return headroom(
        take_step,
        state.params,
        state.opt_state,
        {**program.hparams, **hparams},
        program.plan.optimizer.rates,
        key=gauge_key,
        num_products=num_products,
        tolerance=tolerance,
        frozen=frozen,
    )
