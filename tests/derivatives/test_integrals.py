"""The check along a line: it computes few gradients, and says what all would say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax import check_gradient
from gradjax.derivatives import integrals
from gradjax.derivatives.slopes import FACTORS, values_along


def smooth(params):
    return jnp.mean(jnp.sin(params["w"] @ params["v"])) + jnp.sum(params["v"] ** 4)


def kinked(params):
    return jnp.mean(jax.nn.relu(params["w"] @ params["v"] - 0.1))


def constant(params):
    return 0.0 * params["v"].sum() + 2.0


def broken(params):
    return jnp.log(params["v"] - params["v"]).sum()


LOSSES = {one.__name__: one for one in (smooth, kinked, constant, broken)}


def lines(loss, seed):
    """(what is said of a line, the number of computed gradients)."""
    rng = np.random.default_rng(seed)
    params = {
        "w": jnp.asarray(rng.normal(size=(2000, 8)), float),
        "v": jnp.asarray(rng.normal(size=8), float),
    }
    direction = jax.tree.map(jnp.zeros_like, params)
    direction["v"] = jnp.asarray(rng.normal(size=8), float)
    eps = float(jnp.finfo(jnp.zeros(()).dtype).eps)
    steps = np.cbrt(eps) * FACTORS
    values, close = (
        np.asarray(values_along(loss, params, direction, jnp.asarray(ts, float)))
        for ts in (steps, integrals.close_steps(steps))
    )
    asked = []
    at = jax.jit(lambda t, x: integrals.slopes_at(loss, params, direction, t, x))

    def ask(step, places):
        asked.extend(places)
        return at(step, places)

    length = float(np.linalg.norm(direction["v"]))
    found = integrals.check_line(
        ask, integrals.Lines(steps, length, eps, 1e-3), values, close
    )
    return found, len(asked)


@pytest.mark.parametrize("is_x64", [False, True])
@pytest.mark.parametrize("name", ["smooth", "kinked", "constant"])
def test_few_gradients_are_nearly_as_certain_as_all(name, is_x64, monkeypatch):
    with jax.enable_x64(is_x64):
        for seed in range(2):
            some, count = lines(LOSSES[name], seed)
            with monkeypatch.context() as patch:
                patch.setattr(integrals, "_ENOUGH", 0.0)
                everything, most = lines(LOSSES[name], seed)
            assert most == 6 * 18 and 36 <= count <= 80  # 36: two complete lines
            assert some is not None and everything is not None
            assert not some.is_refuted and not everything.is_refuted
            assert everything.uncertainty <= some.uncertainty * (1 + 1e-6)
            assert some.uncertainty <= 2.1 * everything.uncertainty


def test_a_loss_without_a_finite_value_has_nothing_to_compare():
    assert lines(LOSSES["broken"], 0) == (None, 0)


@pytest.mark.slow
def test_more_parts_find_a_small_mistake_behind_kinks_also_at_the_centre():
    """Biases of 0 of units whose input is 0, as that of an image's background."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(400, 6)) * (np.arange(400) < 300)[:, None], float)
    params = {"w": jnp.asarray(rng.normal(size=(6, 8)), float), "b": jnp.zeros(8)}

    def loss(params):
        return jnp.mean(jax.nn.relu(x @ params["w"] + params["b"][None])) + 1.0

    @jax.custom_vjp
    def wrong(params):
        return loss(params)

    wrong.defvjp(lambda p: (loss(p), p), lambda p, g: (scaled(p, g),))

    def scaled(params, g):
        grads = jax.grad(loss)(params)
        return {"w": g * grads["w"], "b": 1.01 * g * grads["b"]}

    right = check_gradient(loss, params)
    assert not [one.name for one in right.leaves if one.is_decided and not one.is_right]
    found = {one.name: one for one in check_gradient(wrong, params).leaves}
    bias = found["params['b']"]
    assert bias.is_decided and not bias.is_right and found["params['w']"].is_right
