"""The headroom of a learning rate against closed forms and dense Jacobians."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from gradjax import Refusal
from gradjax.analysis.stability import edge
from gradjax.diagnostics.preconditioned import adam_preconditioner
from gradjax.diagnostics.stability import headroom, leftmost_eigenvalue
from tests.diagnostics.curvature_nets import quadratic, rotated

KEY = jax.random.key(0)
B1, B2, EPS = 0.9, 0.99, 1e-8
MATRIX = rotated(np.linspace(0.1, 7.0, 12))[0]
LARGEST = 7.0


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


in_float64 = pytest.mark.usefixtures("x64")


def stepper(make, loss=quadratic):
    """(params, opt_state, hparams, batch) -> (params, opt_state) of an optimizer."""

    def step(params, opt_state, hparams, batch):
        grads = jax.grad(loss)(params, batch)
        rule = make(hparams["learning_rate"])
        updates, opt_state = rule.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return step


def measured(make, function=headroom, **more):
    """The compiled function of (params, opt_state, hparams, batch)."""
    step = stepper(make)

    @jax.jit
    def call(params, opt_state, hparams, batch):
        def take_step(params, opt_state, hparams):
            return step(params, opt_state, hparams, batch)

        return function(take_step, params, opt_state, hparams, key=KEY, **more)

    return call


def state_of(make, rate, num_steps=3):
    """The state of an optimizer after some steps on the quadratic, and its numbers."""
    hparams = {"learning_rate": jnp.asarray(rate, float)}
    params = jnp.linspace(1.0, 2.0, 12)
    opt_state = make(hparams["learning_rate"]).init(params)
    step = jax.jit(stepper(make))
    for _ in range(num_steps):
        params, opt_state = step(params, opt_state, hparams, jnp.asarray(MATRIX))
    return params, opt_state, hparams, jnp.asarray(MATRIX)


RULES = {
    "sgd": (lambda rate: optax.sgd(rate), edge(LARGEST)),
    "momentum": (lambda rate: optax.sgd(rate, B1), edge(LARGEST, B1)),
    "nesterov": (
        lambda rate: optax.sgd(rate, B1, nesterov=True),
        edge(LARGEST, B1, nesterov=True),
    ),
}


@pytest.mark.parametrize(
    "name", ["sgd", *(pytest.param(n, marks=pytest.mark.slow) for n in list(RULES)[1:])]
)
@in_float64
def test_headroom_times_the_rate_is_the_closed_form(name):
    make, bound = RULES[name]
    call = measured(make, tolerance=1e-5)
    for rate in (0.003, 0.1, 1.0, 30.0):
        found = call(*state_of(make, rate, num_steps=1))
        np.testing.assert_allclose(found.factor * rate, bound.rate, rtol=1e-4)
        assert found.low * rate <= bound.rate * (1 + 1e-9)
        assert found.high * rate >= bound.rate * (1 - 1e-9)
        assert found.high <= found.low * (1 + 1e-5) * (1 + 1e-12)
        np.testing.assert_allclose(found.edge.real, -1, atol=1e-3)
        assert found.edge.residual < 1e-9 and found.edge.imaginary == 0
        assert found.num_factors <= 20


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rmsprop", "adam"])
@in_float64
def test_headroom_with_the_second_moment_frozen_is_the_closed_form(name):
    if name == "adam":
        make, threshold = lambda rate: optax.adam(rate, B1, B2, EPS), 38.0
    else:
        make, threshold = lambda rate: optax.rmsprop(rate, B2), 2.0
    call = measured(make, tolerance=1e-5, frozen="nu")
    for rate in (1e-3, 0.03):
        given = state_of(make, rate)
        after = jax.jit(stepper(make))(*given)[1]
        if name == "adam":
            scale = adam_preconditioner(after, B1, B2, EPS)
        else:
            scale = jnp.sqrt(after[0].nu + EPS)
        root = np.asarray(scale) ** -0.5
        curvature = np.linalg.eigvalsh(root[:, None] * MATRIX * root)[-1]
        found = call(*given)
        np.testing.assert_allclose(
            found.factor * rate, threshold / curvature, rtol=1e-4
        )
        assert found.now.num_held == 0


def dense_eigenvalues(make, params, opt_state, hparams, batch):
    """All eigenvalues of the Jacobian over the parameters and the floats of a state."""
    step = stepper(make)
    flat, tree = jax.tree.flatten(opt_state)
    is_float = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in flat]
    moving = [leaf for leaf, is_one in zip(flat, is_float, strict=True) if is_one]
    vector, unravel = ravel_pytree((params, moving))

    def stepped(vector):
        params, moving = unravel(vector)
        values = iter(moving)
        state = jax.tree.unflatten(
            tree,
            [
                next(values) if is_one else leaf
                for leaf, is_one in zip(flat, is_float, strict=True)
            ],
        )
        params, state = step(params, state, hparams, batch)
        floats = [
            leaf
            for leaf, is_one in zip(jax.tree.leaves(state), is_float, strict=True)
            if is_one
        ]
        return ravel_pytree((params, floats))[0]

    return np.linalg.eigvals(np.asarray(jax.jit(jax.jacfwd(stepped))(vector)))


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-3, 0.05, 1.0])
@pytest.mark.parametrize("name", ["adam", "amsgrad", "lion", "schedule_free"])
@in_float64
def test_the_leftmost_eigenvalue_is_that_of_the_dense_jacobian(name, rate):
    make = {
        "adam": lambda rate: optax.adam(rate, B1, B2),
        "amsgrad": lambda rate: optax.amsgrad(rate, B1, B2),
        "lion": lambda rate: optax.lion(rate),
        "schedule_free": lambda rate: optax.contrib.schedule_free_sgd(rate),
    }[name]
    given = state_of(make, rate)
    found = measured(make, leftmost_eigenvalue)(*given)
    values = dense_eigenvalues(make, *given)
    np.testing.assert_allclose(found.real, values.real.min(), rtol=1e-6, atol=1e-9)
    assert np.abs(values - complex(found.real, found.imaginary)).min() < 1e-6


@in_float64
def test_the_leftmost_eigenvalue_can_be_one_of_a_complex_pair():
    make, _ = RULES["momentum"]
    rate = 0.4
    found = measured(make, leftmost_eigenvalue)(*state_of(make, rate))
    half_trace = (1 + B1 - rate * LARGEST) / 2  # of z^2 - (1 + b - r h) z + b
    np.testing.assert_allclose(found.real, half_trace, rtol=1e-10)
    np.testing.assert_allclose(found.imaginary, np.sqrt(B1 - half_trace**2), rtol=1e-9)


@pytest.mark.slow
def test_lanes_have_the_headrooms_of_single_calls_in_float32():
    make, bound = RULES["momentum"]
    call = measured(make)
    params, opt_state, _, batch = state_of(make, 0.1)
    rates = jnp.asarray([0.01, 0.1, 1.0])
    lanes = jax.jit(jax.vmap(call, (None, None, 0, None)))(
        params, opt_state, {"learning_rate": rates}, batch
    )
    np.testing.assert_allclose(lanes.factor * rates, bound.rate, rtol=2e-3)
    single = call(params, opt_state, {"learning_rate": rates[0]}, batch)
    np.testing.assert_allclose(lanes.factor[0], single.factor, rtol=2e-3)
    assert lanes.factor.dtype == jnp.float32


@pytest.mark.slow
def test_updates_without_a_jacobian_have_no_edge():
    make = optax.sign_sgd
    found = measured(make, num_products=6)(*state_of(make, 0.1))
    assert found.factor == jnp.inf and found.now.real == 1


@pytest.mark.slow
def test_elements_without_a_derivative_are_held_and_counted():
    make = optax.adam  # divides by the root of a second moment, which is 0 there
    params, opt_state, hparams, batch = state_of(make, 0.3)
    batch = batch.at[:3].set(0).at[:, :3].set(0)
    opt_state = (make(1.0).init(params)[0], *opt_state[1:])
    found = measured(make, leftmost_eigenvalue)(params, opt_state, hparams, batch)
    assert found.num_held == 3 and np.isfinite(found.real)
    rest = (params[3:], jax.tree.map(lambda x: x[3:] if x.ndim else x, opt_state))
    alone = measured(make, leftmost_eigenvalue)(*rest, hparams, batch[3:, 3:])
    assert alone.num_held == 0 and alone.real < 0.8  # 0.9 is the held ones' mu
    np.testing.assert_allclose(found.real, alone.real, rtol=1e-4)
    broken = measured(make)(params * jnp.nan, opt_state, hparams, batch)
    assert np.isnan([broken.factor, broken.low, broken.high]).all()


@pytest.mark.slow
def test_narrow_parameters_are_measured_in_float32():
    make, bound = RULES["sgd"]
    params, _, hparams, batch = state_of(make, 0.1)
    params = params.astype(jnp.bfloat16)
    found = measured(make)(
        params, make(0.1).init(params), hparams, batch.astype(jnp.bfloat16)
    )
    assert found.factor.dtype == jnp.float32
    np.testing.assert_allclose(found.factor * 0.1, bound.rate, rtol=0.03)


@pytest.mark.slow
def test_a_warm_start_needs_few_products():
    make, _ = RULES["sgd"]
    given = state_of(make, 0.3)
    full = measured(make, leftmost_eigenvalue)(*given)
    warm = measured(make, leftmost_eigenvalue, num_products=3, start=full.vector)
    cold = measured(make, leftmost_eigenvalue, num_products=3)
    errors = [abs(call(*given).real - full.real) for call in (warm, cold)]
    assert errors[0] < 0.05 * abs(full.real) < errors[1]


REFUSED = [
    ({"rates": ()}, "rates: there is no learning rate"),
    ({"rates": ("speed",)}, "'speed' is no hyperparameter; there are: learning_rate"),
    ({"tolerance": 0.0}, "tolerance=0.0: expected a positive number"),
    ({"num_products": 0}, "num_products=0: expected a whole number at least 1"),
    ({"frozen": "nu"}, "frozen='nu': the state has no floats of this name"),
    ({"start": jnp.ones(3)}, "start has the shape (3,); expected (12,)"),
    ({"step": lambda p, _s, _h: p}, "expected (params, opt_state)"),
    ({"step": lambda p, s, _h: ((p, p), s)}, "returned params of another structure"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED)
def test_bad_input_is_refused_in_one_line(given, said):
    step = given.pop("step", lambda params, state, _hparams: (params, state))
    with pytest.raises(Refusal) as refused:
        headroom(
            step, jnp.ones(12), (), {"learning_rate": jnp.float32(1)}, key=KEY, **given
        )
    assert said in str(refused.value) and "\n" not in str(refused.value)
