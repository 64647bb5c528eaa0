"""Decompositions of matrices in lanes, which could stop JAX on a CPU for ever."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import problems
from gradjax.diagnostics.registry import DIAGNOSTICS
from gradjax.optimizers import decompositions as in_turn
from gradjax.training.program import with_diagnostics
from gradjax.trials import decompositions, lane_width


@pytest.fixture(scope="module")
def network():
    return problems.make("digits_mlp")


def program_of(problem, optimizer):
    return gradjax.program(problem, optimizer, num_steps=9, batch_size=8)


def whitened(learning_rate=0.1):
    """An optimizer of the user, whose update is the nearest orthogonal matrix."""

    def update(grads, state, _params=None):
        def one(g):
            if g.ndim != 2:
                return -learning_rate * g
            u, _, v = jnp.linalg.svd(g, full_matrices=False)
            return -learning_rate * u @ v

        return jax.tree.map(one, grads), state

    return optax.GradientTransformation(lambda _: optax.EmptyState(), update)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a fault of CPUs alone")
@pytest.mark.parametrize(
    ("optimizer", "name"),
    [("adam", None), ("soap", None), ("kron", None), (whitened, "svd")],
)
def test_what_lanes_must_not_map_is_found(network, optimizer, name):
    program = program_of(network, optimizer)
    assert decompositions.name_of(program) == name
    assert (lane_width.default_width(program) == 1) == (name is not None)


@pytest.mark.slow
def test_lanes_in_turn_have_the_curves_of_single_runs(network):
    given = {"learning_rate": [0.01, 0.03, 0.1]}
    found = gradjax.sweep(
        network, whitened, given, num_steps=5, batch_size=8, lane_width=2, trace_every=1
    )
    program = gradjax.program(network, whitened, num_steps=5, batch_size=8)
    for k, rate in enumerate(given["learning_rate"]):
        alone = gradjax.run(program, {"learning_rate": rate})
        np.testing.assert_allclose(
            found.trace["loss"].values[k], alone.trace["loss"].values, rtol=1e-4
        )


@pytest.mark.slow
def test_the_lanes_of_a_run_are_mapped_as_they_are_without_diagnostics(network):
    """In turn they could have other last bits, so a diagnostic must not ask for it."""
    program = program_of(network, "adam")._replace(executables={})
    every = f"[{', '.join(f'{name}(every=4)' for name in sorted(DIAGNOSTICS))}]"
    measured = with_diagnostics(program, every)
    assert len(measured.plan.diagnostics) == len(DIAGNOSTICS)
    assert decompositions.name_of(measured) is None


def test_a_matrix_has_the_same_bits_beside_others():
    matrices = jax.random.normal(jax.random.key(0), (5, 7, 7))
    upper = jnp.triu(matrices) + 9 * jnp.eye(7)[None]
    symmetric = matrices + matrices.transpose(0, 2, 1)
    for function, arguments in (
        (in_turn.eigh, (symmetric,)),
        (in_turn.orthogonal, (matrices,)),
        (in_turn.solve_transposed, (upper, matrices)),
    ):
        mapped = jax.jit(jax.vmap(function))(*arguments)
        for k in range(5):
            alone = jax.jit(function)(*(one[k] for one in arguments))
            rows = jax.tree.map(lambda x, k=k: x[k], mapped)
            jax.tree.map(np.testing.assert_array_equal, rows, alone)
    np.testing.assert_allclose(
        upper[0].T @ in_turn.solve_transposed(upper[0], matrices[0]),
        matrices[0],
        atol=1e-4,
    )
