"""What every registered problem keeps to, whatever it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Splits, problems
from gradjax.problems import PROBLEMS, SURFACES, images, language, text, translation

BEGINNINGS = ("clinc_", "mnist_", "movielens", "shakespeare_", "tatoeba_")
PREPARED = {name for name in PROBLEMS if name.startswith(BEGINNINGS)}
BUNDLED = PROBLEMS.keys() - PREPARED
# Models without a known minimum.
NETWORKS = PREPARED | {name for name in PROBLEMS if name.startswith("digits_")}
NETWORKS |= {"wine_mlp"}
KNOWN = sorted(PROBLEMS.keys() - NETWORKS)
NOISY = {"noisy_quadratic", "sparse_gradients"}  # the loss of a step is drawn
DROPPED = {name for name in PROBLEMS if name.startswith(("clinc_", "tatoeba_"))}
SHIFTED = {name for name in PROBLEMS if name.startswith("shakespeare_")}
DRAWN = NOISY | DROPPED | SHIFTED | {"digits_vae", "mnist_vae"}
# The gradient of these is checked with smaller networks, in seconds instead of up to a
# minute. `scripts.count_gradient_checks` checks those of the registry.
_TINY = "transformer(width=8, depth=1, heads=2)"
SMALLER = {
    "clinc_bag": lambda: text.load("clinc_oos", "bag(width=8)"),
    "clinc_gru": lambda: text.load("clinc_oos", "gru(width=8)"),
    "clinc_transformer": lambda: text.load("clinc_oos", _TINY),
    "digits_cnn": lambda: images.load("digits", "cnn(channels=(4, 8))"),
    "digits_vae": lambda: images.load("digits", "vae(widths=(16,), latent=4)"),
    "mnist_cnn": lambda: images.load("mnist", "cnn(channels=(2, 4))"),
    "mnist_vae": lambda: images.load("mnist", "vae(widths=(16,), latent=4)"),
    "shakespeare_lstm": lambda: language.load("tiny_shakespeare", "lstm(width=8)", 8),
    "shakespeare_transformer": lambda: language.load("tiny_shakespeare", _TINY, 8),
    "tatoeba_transformer": lambda: translation.load(
        "tatoeba/tatoeba_de", _TINY, vocab_size=100
    ),
}
SEEDED = {"noisy_quadratic", "quadratic"} | NETWORKS  # where a run starts is drawn
SEEDED -= {"digits_logistic", "mnist_logistic"}


SLOW = pytest.mark.slow
# A quick test computes with these: surfaces, noise, data, networks, a drawn code. The
# others that are bundled are traced by a quick test and computed by a slow one, because
# prepared data sets take seconds to be read.
COMPUTED = {"booth", "digits_mlp", "digits_vae", "noisy_quadratic", "rosenbrock"}
COMPUTED |= {"sparse_gradients", "wine"}
RUN = {"digits_mlp", "noisy_quadratic", "wine"}


def but_slow(quick, names=PROBLEMS):
    return [pytest.param(n, marks=[SLOW] * (n not in quick)) for n in sorted(names)]


@pytest.fixture(scope="module")
def problem(name, made):
    return made(name)


@pytest.fixture(scope="module")
def compiled(problem):
    """(init, loss), compiled once for the tests of a problem."""
    return jax.jit(problem.init), jax.jit(problem.loss)


def batch_of(problem, size=None):
    """The first examples, or all of them; None where there are no data."""
    if problem.data is None:
        return None
    train = problem.data.train
    return train.take(train.arrays, jnp.arange(size or train.num_examples))


def mean_loss(name):
    """The objective in float64 over all data and all noise, as a function of params."""
    problem = problems.make(name)
    batch, key = batch_of(problem), jax.random.key(0)

    def loss(params):
        value, aux = problem.loss(params, batch, key)
        return aux["expected_loss"] if name in NOISY else value

    return jax.jit(loss)


def in_float64(params):
    """As arrays of NumPy: operations of JAX would be compiled one by one."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


def moved(params, direction, length):
    return jax.tree.map(lambda x, d: x + length * d, params, direction)


def directions(params, count):
    """Random directions of length one."""
    rng = np.random.default_rng(0)
    leaves, treedef = jax.tree.flatten(params)
    for _ in range(count):
        drawn = [rng.normal(size=leaf.shape) for leaf in leaves]
        norm = np.sqrt(sum((d**2).sum() for d in drawn))
        yield jax.tree.unflatten(treedef, [d / norm for d in drawn])


def dot(one, other):
    return sum(
        jax.tree.leaves(jax.tree.map(lambda a, b: float((a * b).sum()), one, other))
    )


def test_the_lists_above_name_problems():
    assert PREPARED
    named = PREPARED | DRAWN | SEEDED | NETWORKS | COMPUTED | RUN | SMALLER.keys()
    assert set(PROBLEMS) >= named


@pytest.mark.parametrize("name", but_slow(BUNDLED), scope="module")
def test_starts_at_floats_and_a_loss_is_one(problem):
    """Traced, and not computed."""
    key = jax.random.key(0)
    params = jax.eval_shape(problem.init, key)
    leaves = jax.tree.leaves(params)
    assert leaves and all(leaf.dtype == jnp.float32 for leaf in leaves)
    value, aux = jax.eval_shape(problem.loss, params, batch_of(problem, 8), key)
    for number in (value, *aux.values()):
        assert (number.shape, number.dtype) == ((), jnp.float32)


@pytest.mark.parametrize("name", but_slow(COMPUTED), scope="module")
def test_each_key_draws_what_is_drawn(name, problem, compiled):
    """From finite numbers to a finite loss."""
    init, loss = compiled
    starts = [init(jax.random.key(seed)) for seed in (0, 0, 1)]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(starts))
    same, other = (
        all(jax.tree.leaves(jax.tree.map(np.array_equal, starts[0], start)))
        for start in starts[1:]
    )
    assert same and other is (name not in SEEDED)
    batch = batch_of(problem, 8)
    one, two = (loss(starts[0], batch, jax.random.key(seed)) for seed in (0, 1))
    assert np.isfinite(jax.tree.leaves(one)).all()
    assert bool(one[0] == two[0]) is (name not in DRAWN)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROBLEMS), scope="module")
def test_the_loss_is_the_same_without_compilation(problem, compiled):
    init, loss = compiled
    args = init(jax.random.key(0)), batch_of(problem, 8), jax.random.key(1)
    np.testing.assert_allclose(problem.loss(*args)[0], loss(*args)[0], rtol=1e-5)


def short(problem):
    """The same with few examples in each split: evaluating them all takes a minute."""
    if problem.data is None:
        return problem
    parts = (
        part and part._replace(num_examples=min(part.num_examples, 40))
        for part in problem.data
    )
    return problem._replace(data=Splits(*parts))


@pytest.mark.parametrize("name", but_slow(RUN), scope="module")
def test_runs_from_every_seed(problem):
    problem = short(problem)
    sizes = {"batch_size": 8} if problem.data else {}
    program = gradjax.program(problem, "sgd(1e-3)", num_steps=3, **sizes)
    for seed in (0, 1):
        result = gradjax.run(program, seed=seed)
        assert result.status == "finished"
        assert result.params is not None


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.slow
def test_the_gradient_equals_central_differences(name):
    with jax.enable_x64(True):
        problem = problems.make(name)
        args = (batch_of(problem), jax.random.key(3))
        start = in_float64(problem.init(jax.random.key(0)))
        point = moved(start, next(directions(start, 1)), 0.3)
        loss = jax.jit(lambda params: problem.loss(params, *args)[0])
        grad, step = jax.jit(jax.grad(loss))(point), 1e-5
        for direction in directions(point, 8):
            up, down = (loss(moved(point, direction, t)) for t in (step, -step))
            slope = (up - down) / (2 * step)
            np.testing.assert_allclose(
                dot(grad, direction), slope, rtol=1e-6, atol=1e-7
            )


@pytest.mark.parametrize("name", sorted(PROBLEMS), scope="module")
@pytest.mark.slow
def test_the_checker_finds_the_gradient_right(name, problem):
    """A network's in float64 and off the start: there background meets relu's kink.

    A sequence is many examples by itself: of 32 of them, some units of a Transformer
    always are at a kink within the difference's step.
    """
    is_network = name in NETWORKS
    problem = SMALLER[name]() if name in SMALLER else problem
    with jax.enable_x64(is_network):
        params = jax.jit(problem.init)(jax.random.key(0))
        if is_network:
            params = in_float64(params)
            params = moved(params, next(directions(params, 1)), 0.5)
        size = 1 if name in SHIFTED | DROPPED else 8
        batch, key = batch_of(problem, size), jax.random.key(1)
        check = gradjax.check_gradient(
            problem.loss, params, batch, key, num_directions=1 if is_network else 4
        )
    assert check.is_right, f"\n{check}"


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.slow
def test_the_stated_minimum_is_a_minimum(name):
    with jax.enable_x64(True):
        minimum, loss = problems.make(name).minimum, mean_loss(name)
        gradient = jax.jit(jax.grad(loss))
        for params in map(in_float64, minimum.params):
            least = float(loss(params))
            assert least == pytest.approx(minimum.loss, rel=1e-12, abs=1e-12)
            for leaf in jax.tree.leaves(gradient(params)):
                np.testing.assert_allclose(leaf, 0.0, atol=1e-8)
            for direction in directions(params, 50):
                for length in (1e-4, 1e-2, 1.0, 3.0):
                    assert loss(moved(params, direction, length)) >= least - 1e-12


@pytest.mark.parametrize("name", KNOWN)
def test_the_minimum_has_the_structure_of_the_parameters(name):
    problem = problems.make(name)
    params = problem.init(jax.random.key(0))
    for known in problem.minimum.params:
        assert jax.tree.structure(known) == jax.tree.structure(params)
        for ours, theirs in zip(*map(jax.tree.leaves, (known, params)), strict=True):
            assert np.shape(ours) == theirs.shape
            assert ours.dtype == np.float64


@pytest.mark.parametrize("name", sorted(set(KNOWN) - SURFACES.keys()))
@pytest.mark.slow
def test_the_stated_curvatures_are_the_hessians(name):
    small = {"noisy_quadratic": "noisy_quadratic(dim=30)"}
    with jax.enable_x64(True):
        problem = problems.make(small.get(name, name))
        batch, key = batch_of(problem), jax.random.key(0)

        def loss(flat):
            value, aux = problem.loss(unravel(flat), batch, key)
            return aux["expected_loss"] if name in NOISY else value

        point = in_float64(problem.minimum.params[0])
        flat, unravel = jax.flatten_util.ravel_pytree(point)
        found = np.linalg.eigvalsh(jax.jit(jax.hessian(loss))(flat))
        np.testing.assert_allclose(found[[0, -1]], problem.minimum.curvature, rtol=1e-8)


@pytest.mark.parametrize("name", sorted(NOISY))
@pytest.mark.slow
def test_the_mean_over_the_noise_is_the_expected_loss(name):
    """The mean of 20,000 gradients is within 5 standard errors in each coordinate."""
    problem = problems.make(f"{name}(dim=20)")
    params = jnp.linspace(-1.0, 2.0, 20)
    keys = jax.random.split(jax.random.key(0), 20_000)

    def loss(params, key):
        return problem.loss(params, None, key)[0]

    def expected(params):
        return problem.loss(params, None, keys[0])[1]["expected_loss"]

    drawn = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(params, keys)
    error = np.abs(drawn.mean(axis=0) - jax.jit(jax.grad(expected))(params))
    assert (error <= 5 * drawn.std(axis=0) / np.sqrt(len(keys)) + 1e-6).all()
