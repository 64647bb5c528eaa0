"""The gradient checker: it finds what is wrong, where and by how much."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, check_gradient
from gradjax.derivatives import integrals


@jax.custom_vjp
def square(x):
    return x**2


def _forward(x):
    return x**2, x


def _backward(x, g):
    return (g * 2.1 * x,)  # 5 % too large


square.defvjp(_forward, _backward)


def loss(params, batch):
    return jnp.mean(jnp.sin(batch @ params["w"]) + params["b"][None]) + 0.1 * jnp.sum(
        square(params["wrong"])
    )


def params_of():
    rng = np.random.default_rng(0)
    return {
        "w": rng.normal(size=(40, 3)).astype(np.float32),
        "b": np.zeros(3, np.float32),
        "wrong": np.linspace(1, 2, 4, dtype=np.float32),
    }


BATCH = np.random.default_rng(1).normal(size=(8, 40)).astype(np.float32)


@pytest.mark.parametrize("is_x64", [False, True])
def test_it_names_the_leaf_that_is_wrong_and_by_how_much(is_x64):
    with jax.enable_x64(is_x64):
        found = check_gradient(loss, params_of(), BATCH)
    by_name = {leaf.name: leaf for leaf in found.leaves}
    assert not found.is_right
    assert [name for name, leaf in by_name.items() if not leaf.is_right] == [
        "params['wrong']"
    ]
    wrong = by_name["params['wrong']"]
    assert wrong.is_decided
    assert wrong.max_relative_error == pytest.approx(0.1 / 2.1, rel=0.02)
    along_it = np.linalg.norm(params_of()["wrong"])  # the direction of the gradient
    assert wrong.max_error == pytest.approx(0.1 * 0.1 * along_it, rel=0.02)
    assert "WRONG at [3]" in str(found)
    dtype = "float64" if is_x64 else "float32"
    assert str(found).endswith(f"In {dtype} the gradient is wrong in params['wrong'].")


@pytest.mark.slow
def test_a_sign_wrong_in_one_of_many_is_found():
    @jax.custom_vjp
    def total(x):
        return (x**2).sum()

    total.defvjp(
        lambda x: (total(x), x),
        lambda x, g: (g * 2 * x.at[1234].multiply(-1.0),),
    )
    x = jnp.linspace(0.5, 1.0, 2_000)
    assert not check_gradient(total, x).is_right
    assert check_gradient(lambda x: (x**2).sum(), x).is_right


@pytest.mark.slow
def test_a_loss_with_aux_and_key_is_taken_as_the_run_takes_it():
    def noisy(params, batch, key):
        noise = jax.random.normal(key, params.shape)
        return ((params + noise) ** 2).mean() * batch, {"seen": batch}

    found = check_gradient(noisy, jnp.ones(3), jnp.float32(2.0), jax.random.key(1))
    assert found.is_right and str(found).endswith("the gradient is right.")


def test_where_the_differences_cannot_tell_there_is_no_verdict():
    at_the_kink = check_gradient(lambda x: jax.nn.relu(x).sum(), jnp.zeros(2))
    saturated = check_gradient(
        lambda x: 1e4 + jnp.tanh(x).sum() * 1e-6, 3.0 * jnp.ones(2)
    )
    for found in (at_the_kink, saturated):
        (leaf,) = found.leaves
        assert not found.is_right and not leaf.is_decided
        assert "not decided in params" in str(found)


def test_an_unused_leaf_is_right():
    found = check_gradient(lambda p: (p["a"] ** 2).sum(), {"a": jnp.ones(2), "b": 1.0})
    assert found.is_right


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: check_gradient(lambda x: x.sum(), jnp.arange(3)), "only floats"),
        (lambda: check_gradient(lambda x: x, jnp.ones(3)), r"float32\[3\]"),
        (lambda: check_gradient(lambda x: jnp.log(x), -1.0), "nan"),
        (lambda: check_gradient(lambda: 1.0, 1.0), "takes 0 arguments"),
        (
            lambda: check_gradient(lambda x: x, 1.0, num_directions=0),
            "num_directions=0",
        ),
        (lambda: check_gradient(len, {}), "without a leaf"),
    ],
)
def test_refuses_in_one_line(make, line):
    with pytest.raises(Refusal, match=line) as refused:
        make()
    assert "\n" not in str(refused.value)


def test_it_is_public():
    assert gradjax.check_gradient is check_gradient


def test_a_small_mistake_in_a_small_slope_of_a_smooth_loss_is_found(monkeypatch):
    @jax.custom_vjp
    def loss(x):
        return (x - 0.02) ** 2 / 2 + 0.5

    loss.defvjp(lambda x: (loss(x), x), lambda x, g: (1.01 * g * (x - 0.02),))
    assert not check_gradient(loss, jnp.zeros(())).is_right
    monkeypatch.setattr(integrals, "_trend", lambda _: 0.0)
    assert not check_gradient(loss, jnp.zeros(())).is_right, "more parts find it"
    monkeypatch.setattr(integrals, "_STAGES", integrals._STAGES[:3])
    assert check_gradient(loss, jnp.zeros(())).is_right, "hidden by the curvature"
