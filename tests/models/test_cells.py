"""The derivatives that are written out are those of the scan itself, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.models import cells

CELLS = {  # the function, the scan without its rule, the shapes of what it takes
    "lstm": (cells.lstm_states, cells._lstm, ((5, 2, 12), (3, 12)), ()),
    "gru": (cells.gru_states, cells._gru, ((5, 2, 9), (3, 9), (3,)), (None,)),
    "restarted gru": (
        cells.gru_states,
        cells._gru,
        ((5, 2, 9), (3, 9), (3,)),
        (np.asarray([[1, 1], [1, 0], [0, 1], [0, 1], [1, 1]], np.float64)[:, :, None],),
    ),
}


@pytest.fixture(params=CELLS)
def case(request):
    """(with the rule, without it, the arguments, a direction), each a scalar's."""
    ruled, scan, shapes, fixed = CELLS[request.param]
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        args, direction, (weights,) = (
            tuple(jnp.asarray(rng.normal(size=shape)) for shape in some)
            for some in (shapes, shapes, [(*shapes[0][:2], 3)])
        )

        def loss_of(function):
            return lambda args: (weights * jnp.sin(function(*args, *fixed))).sum()

        yield (
            loss_of(ruled),
            loss_of(lambda *args: scan(*args)[0]),
            args,
            direction,
        )


def close(found, expected):
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert one.dtype == jnp.float64
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


def test_values_and_gradients_are_the_scans(case):
    ruled, scan, args, _ = case
    close(
        jax.jit(jax.value_and_grad(ruled))(args),
        jax.jit(jax.value_and_grad(scan))(args),
    )


@pytest.mark.slow
@pytest.mark.parametrize("case", CELLS, indirect=True)
def test_forward_mode_and_curvature_are_the_scans(case):
    ruled, scan, args, direction = case

    def along(function):  # the slope, and how the gradient changes
        def both(args):
            return function(args), jax.grad(function)(args)

        return jax.jit(lambda a: jax.jvp(both, (a,), (direction,)))(args)

    close(along(ruled), along(scan))
