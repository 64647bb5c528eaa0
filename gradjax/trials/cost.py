"""The cost of a step of one trial, counted in its jaxpr before it is compiled."""

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.problems import state as model_states
from gradjax.types import Program, TrainState


class _Rates(NamedTuple):
    """The speed of a device, to an order of magnitude."""

    flops_per_s: float
    bytes_per_s: float
    overhead_s: float  # of a step in a compiled loop


# On 2 CPU cores the estimate is within a factor of two of the measured time for the
# tutorial MLP (200 us), the CNN (15 ms), an LSTM (65 ms) and a Transformer (120 ms).
# For one H200 see docs/results.
_RATES = {
    "cpu": _Rates(1e11, 1e10, 2e-5),
    "accelerator": _Rates(1e13, 1e12, 1e-4),
}


def state_bytes(program: Program) -> int:
    """Returns the size of one trial's training state, in bytes."""
    leaves = jax.tree.leaves(_state(program))
    return sum(x.size * x.dtype.itemsize for x in leaves)


def data_bytes(program: Program) -> int:
    """Returns the size of the arrays of all splits, in bytes."""
    leaves = jax.tree.leaves(program.plan.problem.data)
    return sum(x.nbytes for x in leaves if hasattr(x, "nbytes"))


def touched_bytes(program: Program) -> int:
    """Returns the bytes that a step of one trial touches: its state and its loss.

    Every intermediate result of the loss counts once, and so does that of a loop.
    """
    return state_bytes(program) + _computed_bytes(_loss(program).jaxpr)


def step_seconds(program: Program) -> float:
    """Estimates roughly the seconds that a step of one trial takes.

    The estimate depends only on the program and on the kind of device, so decisions
    that use it are the same in every process.
    """
    rates = _RATES["cpu" if jax.default_backend() == "cpu" else "accelerator"]
    moved_s = touched_bytes(program) / rates.bytes_per_s
    return rates.overhead_s + step_flops(program) / rates.flops_per_s + moved_s


def step_flops(program: Program) -> int:
    """Returns the multiplications and additions of a step.

    Those of matrix products and convolutions are counted. A gradient counts as three
    losses.
    """
    return 3 * _num_flops(_loss(program).jaxpr)


def has_loop(program: Program) -> bool:
    """Returns whether the loss has a loop, as that of a recurrent network over time."""

    def found(jaxpr: Any) -> bool:
        return any(
            equation.primitive.name in ("scan", "while")
            or any(map(found, _inner(equation)))
            for equation in jaxpr.eqns
        )

    return found(_loss(program).jaxpr)


def _loss(program: Program) -> Any:
    """Returns the jaxpr of the loss of a batch."""
    plan = program.plan
    data, batch = plan.problem.data, None
    if data is not None:
        indices = jax.ShapeDtypeStruct((plan.batch_size,), jnp.uint32)
        batch = jax.eval_shape(data.train.take, data.train.arrays, indices)
    key = jax.eval_shape(functools.partial(jax.random.key, 0))
    state, loss = _state(program), functools.partial(model_states.loss, plan.problem)
    return jax.make_jaxpr(loss)(state.params, batch, key, state.model_state)


def _state(program: Program) -> TrainState:
    """Returns the shapes of the training state."""
    return jax.eval_shape(program.init, program.hparams, np.uint32(0))


def _inner(equation: Any) -> Iterator[Any]:
    """Yields the jaxprs that an equation calls, as the body of a loop."""
    for value in equation.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if hasattr(one, "eqns") or hasattr(one, "jaxpr"):
                yield getattr(one, "jaxpr", one)


def _computed_bytes(jaxpr: Any) -> int:
    """Returns the size of all intermediate results; those of a loop count once."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [
            getattr(value, "jaxpr", value)
            for value in equation.params.values()
            if hasattr(value, "eqns") or hasattr(value, "jaxpr")
        ]
        total += sum(_computed_bytes(one) for one in inner)
        if not inner:
            total += sum(
                out.aval.size * np.dtype(out.aval.dtype).itemsize
                for out in equation.outvars
                if not jnp.issubdtype(out.aval.dtype, jax.dtypes.prng_key)
            )
    return total


def _num_flops(jaxpr: Any) -> int:
    """Returns the multiplications and additions of products and convolutions."""
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        times = equation.params["length"] if name == "scan" else 1
        total += times * sum(map(_num_flops, _inner(equation)))
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            depth = math.prod(shape[axis] for axis in contracted)
            total += 2 * depth * equation.outvars[0].aval.size
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            numbers = equation.params["dimension_numbers"]
            depth = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
            total += 2 * depth * equation.outvars[0].aval.size
    return total
