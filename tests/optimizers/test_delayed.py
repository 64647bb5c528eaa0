"""Delayed gradients against the closed form of their edge, and a loop by hand."""

import numpy as np
import pytest

import gradjax


@pytest.fixture
def parabola():
    return gradjax.problem(lambda x, _batch, _key: (0.5 * x**2, {}), 1.0)


@pytest.mark.parametrize("delay", [0, 1, 2, 5])
@pytest.mark.parametrize(("factor", "grows"), [(0.97, False), (1.03, True)])
@pytest.mark.slow
def test_gradient_descent_is_stable_up_to_the_closed_form(
    delay, factor, grows, parabola
):
    edge = 2 * np.sin(np.pi / (4 * delay + 2))
    program = gradjax.program(parabola, f"delayed(sgd, delay={delay})", num_steps=600)
    losses = gradjax.run(program, {"learning_rate": factor * edge}).trace["loss"].values
    assert bool(losses[-50:].max() > losses[:50].max()) is grows


def test_momentum_gets_old_gradients_and_nothing_moves_before_the_first(parabola):
    program = gradjax.program(
        parabola, "delayed(sgd(0.1, momentum=0.9), delay=2)", num_steps=12
    )
    found = gradjax.run(program)
    x, trace, seen, losses = 1.0, 0.0, [], []
    for step in range(12):
        losses.append(0.5 * x**2)
        seen.append(x)
        if step >= 2:
            trace = 0.9 * trace + seen[step - 2]
            x -= 0.1 * trace
    np.testing.assert_allclose(found.params, x, rtol=1e-5)
    np.testing.assert_allclose(found.trace["loss"].values, losses, rtol=1e-5)
