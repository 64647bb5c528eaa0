"""Finds decompositions of matrices that must not be mapped over lanes on a CPU.

On a CPU a batch of matrices is computed on the threads that run the program, and calls
that wait for each other there stop for ever (`optimizers.decompositions`). soap and
kron compute one matrix after the other; galore and optimizers of the user may not. The
lanes of such a program are computed in turn, and its usual lane width is 1.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax

from gradjax.training import measuring
from gradjax.types import Program

_PARALLEL = {
    *("cholesky", "eig", "eigh", "geqrf", "geqp3", "hessenberg", "householder_product"),
    *("lu", "qr", "schur", "svd", "triangular_solve", "tridiagonal", "ormqr"),
}
_KEY = "decomposition"  # in the cache of a program


def name_of(program: Program) -> str | None:
    """Returns the name of such a decomposition in a step; None on an accelerator."""
    if jax.default_backend() != "cpu":
        return None
    if _KEY not in program.executables:
        names = set(_names(_jaxpr(program).jaxpr))
        program.executables[_KEY] = min(names & _PARALLEL, default=None)
    return program.executables[_KEY]


def _jaxpr(program: Program) -> Any:
    """Returns the jaxpr of a step of one trial, with its measurements."""
    own = measuring.shaped_inputs(program.plan, program.hparams)
    state = jax.eval_shape(program.init, own.hparams, own.seed)
    first = partial(measuring.first_step, program.plan)
    return jax.make_jaxpr(first)(state, own)


def _names(jaxpr: Any) -> Iterator[str]:
    """Yields the names of the primitives that vmap would give an axis of lanes.

    A function with a rule of its own for vmap is left out.
    """
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        if equation.primitive.name == "custom_vmap_call":
            continue
        for value in equation.params.values():
            for one in value if isinstance(value, tuple | list) else (value,):
                if hasattr(one, "eqns") or hasattr(one, "jaxpr"):
                    yield from _names(getattr(one, "jaxpr", one))
