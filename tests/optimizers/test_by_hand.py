"""Steps against the papers' formulas, in float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Problem
from gradjax.optimizers import adapted, kron

RATE = 0.05
SCALES = {"w": np.asarray([[1.0, 2.0], [0.5, 4.0]]), "b": np.asarray([3.0, 1.0])}
START = {"w": np.asarray([[1.0, -2.0], [3.0, 0.5]]), "b": np.asarray([-1.0, 2.0])}


def gradient(params):
    return {name: np.float64(scale) * params[name] for name, scale in SCALES.items()}


@pytest.fixture(scope="module")
def separate():
    def loss(params, _batch, _key):
        terms = [(SCALES[n].astype("f4") * x**2).sum() for n, x in params.items()]
        return 0.5 * sum(terms), {}

    return Problem(lambda _: jax.tree.map(jnp.float32, START), loss)


def adam_by_hand(num_steps, rate, b1, b2, eps, weight_decay=0.0):
    """Kingma and Ba 2015, algorithm 1; decay as in Loshchilov and Hutter 2019."""
    params = dict(START)
    mu = {name: np.zeros_like(x) for name, x in params.items()}
    nu = {name: np.zeros_like(x) for name, x in params.items()}
    for step in range(1, num_steps + 1):
        for name, g in gradient(params).items():
            mu[name] = b1 * mu[name] + (1 - b1) * g
            nu[name] = b2 * nu[name] + (1 - b2) * g**2
            mean, square = mu[name] / (1 - b1**step), nu[name] / (1 - b2**step)
            update = mean / (np.sqrt(square) + eps) + weight_decay * params[name]
            params[name] = params[name] - rate * update
    return params


def lion_by_hand(num_steps, rate, b1, b2, weight_decay):
    """Chen et al. 2023, algorithm 2."""
    params = dict(START)
    momentum = {name: np.zeros_like(x) for name, x in params.items()}
    for _ in range(num_steps):
        for name, g in gradient(params).items():
            direction = np.sign(b1 * momentum[name] + (1 - b1) * g)
            momentum[name] = b2 * momentum[name] + (1 - b2) * g
            update = direction + weight_decay * params[name]
            params[name] = params[name] - rate * update
    return params


def muon_by_hand(num_steps, rate, beta, b1, b2):
    """Jordan et al. 2024: five Newton-Schulz steps; biases by Adam with Nesterov."""
    params = dict(START)
    mu = {name: np.zeros_like(x) for name, x in params.items()}
    nu = np.zeros_like(params["b"])
    for step in range(1, num_steps + 1):
        grads = gradient(params)
        ahead = {}
        for name, b in (("w", beta), ("b", b1)):
            g = grads[name]
            mu[name] = b * mu[name] + (1 - b) * g
            later = mu[name] / (1 - b ** (step + 1))
            ahead[name] = b * later + (1 - b) * g / (1 - b**step)
        x = ahead["w"] / np.linalg.norm(ahead["w"])
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        nu = b2 * nu + (1 - b2) * grads["b"] ** 2
        adam = ahead["b"] / (np.sqrt(nu / (1 - b2**step)) + 1e-8)
        params = {"w": params["w"] - rate * x, "b": params["b"] - rate * adam}
    return params


def soap_by_hand(num_steps, rate, b1, b2, eps, every):
    """Vyas et al. 2024, algorithm 3; the first gradient only sets the bases."""
    params, mu, nu = dict(START), dict.fromkeys(START, 0.0), dict.fromkeys(START, 0.0)
    left = right = np.zeros((2, 2))
    p = q = np.eye(2)
    for step in range(num_steps):
        grads = gradient(params)
        g = grads["w"]
        rotated = {"w": p.T @ g @ q, "b": grads["b"]}
        for name in params if step else ():
            mu[name] = b1 * mu[name] + (1 - b1) * grads[name]
            nu[name] = b2 * nu[name] + (1 - b2) * rotated[name] ** 2
            mean = mu[name] / (1 - b1**step)
            mean = p.T @ mean @ q if name == "w" else mean
            update = mean / (np.sqrt(nu[name] / (1 - b2**step)) + eps)
            update = p @ update @ q.T if name == "w" else update
            params[name] = params[name] - rate * update
        left = b2 * left + (1 - b2) * g @ g.T
        right = b2 * right + (1 - b2) * g.T @ g
        if step == 0:
            p, q = np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]
        elif step % every == 0:
            p, q = np.linalg.qr(left @ p)[0], np.linalg.qr(right @ q)[0]
    return params


BY_HAND = {
    "adam(b1=0.7, b2=0.9, eps=0.01)": lambda n: adam_by_hand(n, RATE, 0.7, 0.9, 0.01),
    "adamw(b1=0.7, b2=0.9, eps=0.01, weight_decay=0.3)": lambda n: adam_by_hand(
        n, RATE, 0.7, 0.9, 0.01, 0.3
    ),
    "lion(b1=0.6, b2=0.8, weight_decay=0.3)": lambda n: lion_by_hand(
        n, RATE, 0.6, 0.8, 0.3
    ),
    "muon(beta=0.9, adam_b1=0.7, adam_b2=0.8)": lambda n: muon_by_hand(
        n, RATE, 0.9, 0.7, 0.8
    ),
    "soap(b1=0.7, b2=0.8, eps=0.1, weight_decay=0.0, update_interval=2)": (
        lambda n: soap_by_hand(n, RATE, 0.7, 0.8, 0.1, 2)
    ),
}
_ROUNDING = {"muon": 3e-5, "soap": 1e-5}  # float32 products of matrices


@pytest.mark.parametrize("expression", BY_HAND)
def test_steps_are_the_papers_in_float64(expression, separate):
    program = gradjax.program(separate, expression, num_steps=5)
    hparams = {path: jnp.float32(value) for path, value in program.hparams.items()}
    hparams["learning_rate"] = jnp.float32(RATE)
    state, step = program.init(hparams, jnp.uint32(0)), jax.jit(program.step)
    rtol = _ROUNDING.get(expression[:4], 3e-6)
    for i in range(5):
        state, _ = step(state, None, hparams, jax.random.key(i), jnp.uint32(i))
        for name, expected in BY_HAND[expression](i + 1).items():
            np.testing.assert_allclose(state.params[name], expected, rtol=rtol)


def test_soap_is_adam_where_it_does_not_rotate(separate):
    """With the sides above `max_dim`; one step behind, as its first only looks."""
    numbers = "b1=0.7, b2=0.9, weight_decay=0.0"
    soap = gradjax.program(separate, f"soap({numbers}, max_dim=1)", num_steps=6)
    adam = gradjax.program(separate, "adam(b1=0.7, b2=0.9)", num_steps=5)
    one, other = (gradjax.run(p, {"learning_rate": RATE}).params for p in (soap, adam))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5)


def test_rprop_steps_at_once_and_is_the_papers_in_float64():
    """On curvatures 1 and 50, where signs change; the first step is 2.9 from 3."""
    curvatures, rate = np.array([1.0, 50.0]), 0.1
    with jax.enable_x64(True):
        rule = adapted.rprop(rate)
        x = jnp.asarray([3.0, -2.0])
        state = rule.init(x)
        y, before, steps = np.array([3.0, -2.0]), np.zeros(2), np.full(2, rate)
        for k in range(100):
            updates, state = rule.update(curvatures * x, state, x)
            x = optax.apply_updates(x, updates)
            grads = curvatures * y
            product = grads * before
            factors = np.where(product > 0, 1.2, np.where(product < 0, 0.5, 1.0))
            steps = np.clip(steps * factors, 1e-6 * rate, 50.0 * rate)
            before = np.where(product < 0, 0.0, grads)
            y = y - np.sign(before) * steps
            if k == 0:
                assert x[0] == 2.9
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)
        assert np.abs(y).max() < 1e-3


def test_soap_of_a_kernel_is_soap_of_its_matrix():
    flat = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    found = []
    for shape in ((12, 3), (2, 2, 3, 3)):
        start = jnp.asarray(flat.reshape(shape))
        problem = Problem(lambda _, s=start: s, lambda p, *_: ((p**4).sum(), {}))
        found.append(gradjax.run(gradjax.program(problem, "soap", num_steps=15)).params)
    np.testing.assert_allclose(found[0], found[1].reshape(12, 3), rtol=1e-5)


def test_a_step_of_krons_factors_is_the_formula_in_float64():
    rng = np.random.default_rng(0)
    g = rng.normal(size=(3, 2))
    left, right = np.triu(rng.normal(size=(3, 3)) + 2 * np.eye(3)), np.eye(2) * 1.5
    key, rate = jax.random.key(7), 0.1
    v = np.asarray(jax.random.normal(key, (3, 2)), np.float64)
    a = left @ g @ right.T
    b = np.linalg.inv(left).T @ v @ np.linalg.inv(right)
    expected = []
    for q, x, y in ((left, a @ a.T, b @ b.T), (right, a.T @ a, b.T @ b)):
        norm = np.linalg.norm(x + y)
        expected.append(q - rate * np.triu(x - y) @ q / norm)
    factors = tuple(jnp.asarray(q, jnp.float32) for q in (left, right))
    found = kron._update_factors(jnp.asarray(g, jnp.float32), factors, key, rate)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("max_dim", [1024, 1])
def test_kron_learns_to_whiten(max_dim):
    """Gradients of a known covariance R (x) L come out with covariance I."""
    scales = jnp.asarray([4.0, 1.0, 0.1])
    mix = jnp.asarray([[1.0, 0.8], [0.0, 0.5]]) if max_dim > 1 else jnp.eye(2)
    rule = kron.scale_by_kron(0.0, 0.05, 1, max_dim)
    params = jnp.zeros((3, 2))

    def body(state, k):
        noise_key, key = jax.random.split(jax.random.fold_in(jax.random.key(0), k))
        g = scales[:, None] * (jax.random.normal(noise_key, (3, 2)) @ mix)
        _, state = rule.update(g, state, step=k, key=key)
        return state, kron._whiten(g, state.factors[0]).ravel()

    run = jax.jit(lambda: jax.lax.scan(body, rule.init(params), jnp.arange(6000)))
    white = np.asarray(run()[1])[2000:]
    np.testing.assert_allclose(np.cov(white.T), np.eye(6), atol=0.3)


@pytest.mark.slow
def test_the_first_step_of_kron_has_a_root_mean_square_of_one(separate):
    result = gradjax.run(gradjax.program(separate, "kron(1.0)", num_steps=1))
    moved = result.params["w"] - START["w"]
    assert 0.7 < np.sqrt(np.mean(moved**2)) <= 1.1001
    assert optax.tree_utils.tree_get(result.state.opt_state, "count") == 1
