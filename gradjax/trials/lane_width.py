"""How many trials are mapped together, and how many are on their way together."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.types import Program, TrainState

Widths = tuple[tuple[int | None, int], ...]
# (bytes that a step of a trial touches, lanes mapped together), in rising order; None:
# any. Mapping saves what each operation costs beside its work, until lanes crowd each
# other out of the cache. Measured on 2 CPU cores, networks with Adam, us a trial-step:
#
#     touched   1 lane    2    4   16   64
#      74 kB       22         12   10    7   digits, 32 hidden units
#     197 kB       39         28   21   25   digits, 128
#     1.6 MB      165  151  187  274  289    MNIST, 128
#     2.9 MB      552  561                   MNIST, 256
#     5.4 MB    1,158 1,414 1,551            MNIST, 512
#     160 MB   86,000 107,000 105,000        MNIST, convolutions, batch 128
_WIDTHS: dict[str, Widths] = {
    "cpu": ((100_000, 64), (500_000, 16), (2_000_000, 2), (None, 1)),
    "accelerator": ((None, 256),),  # not measured
}
_MAX_COHORT_BYTES = 2**31  # of states, which are kept on the host between stretches
_COHORT = 64  # trials, at least: a stretch of them is seconds


def usual_widths() -> Widths:
    """The rule that was measured, for the device there is."""
    return _WIDTHS["cpu" if jax.default_backend() == "cpu" else "accelerator"]


def usual_width(program: Program, widths: Widths | None = None) -> int:
    """The width that was measured to be fast for a program of this size."""
    size = touched_bytes(program)
    return next(
        width
        for most_bytes, width in widths or usual_widths()
        if most_bytes is None or size <= most_bytes
    )


def capped(widths: Widths, num_trials: int, num_devices: int | None) -> Widths:
    """No wider than what keeps every device at work on so many trials."""
    used = len(jax.devices()) if num_devices is None else num_devices
    most = max(1, -(-num_trials // used))
    return tuple((size, min(width, most)) for size, width in widths)


def touched_bytes(program: Program) -> int:
    """What a step of one trial touches: its state and all that its loss computes."""
    plan, key = program.plan, jax.random.key(0)
    data, batch = plan.problem.data, None
    if data is not None:
        taken = jax.ShapeDtypeStruct((plan.batch_size,), jnp.uint32)
        batch = jax.eval_shape(data.train.take, data.train.arrays, taken)
    seen = jax.make_jaxpr(plan.problem.loss)(_state(program).params, batch, key)
    return state_bytes(program) + _computed_bytes(seen.jaxpr)


def cohort(program: Program, width: int) -> int:
    """Trials that are on their way together; a function of the program alone.

    As many as a person may wait for between two commits, and no more than the host has
    memory for the states of.
    """
    most = max(width, _MAX_COHORT_BYTES // max(1, state_bytes(program)))
    return min(max(_COHORT, 4 * width), most // width * width)


def state_bytes(program: Program) -> int:
    """Of one trial."""
    leaves = jax.tree.leaves(_state(program))
    return sum(x.size * x.dtype.itemsize for x in leaves)


def _state(program: Program) -> TrainState:
    """Shapes."""
    return jax.eval_shape(program.init, program.hparams, np.uint32(0))


def _computed_bytes(jaxpr: Any) -> int:
    """All intermediate results; those of a loop once."""
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
