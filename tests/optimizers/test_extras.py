"""What a rule is given beside the gradient, and gives back beside the update."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Problem, Refusal, optimizers
from gradjax.types import Entry

RANDOM = {
    "noisy_sgd": None,
    "chain(add_noise(eta=0.1, gamma=0.5), sgd)": None,
    "sophia(update_interval=1, gamma=1e4)": None,
    "average(multi_steps(noisy_sgd, every=2))": None,
    "dpsgd(l2_norm_clip=10.0, noise_multiplier=0.1)": "examples",
    "kron": None,
}


_SLOW = ("average", "chain", "sophia")  # the others have one cause of randomness each


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param(text, marks=[pytest.mark.slow] * text.startswith(_SLOW))
        for text in RANDOM
    ],
)
def test_its_randomness_is_the_seeds(expression, quadratic, examples):
    problem = examples if RANDOM[expression] else quadratic
    if expression.startswith("sophia"):  # its probe sees what is not on the diagonal
        problem = Problem(
            lambda _: jnp.ones(4), lambda p, *_: (p.sum() ** 2 + p @ p, {})
        )
    program = gradjax.program(problem, expression, num_steps=8)
    one, same, other = (gradjax.run(program, seed=seed) for seed in (3, 3, 4))
    assert_equal = np.testing.assert_array_equal
    jax.tree.map(assert_equal, one.params, same.params)
    flat = [
        np.concatenate(list(map(np.ravel, jax.tree.leaves(r.params))))
        for r in (one, other)
    ]
    assert (flat[0] != flat[1]).any()


def test_two_links_of_a_chain_have_their_own_noise(quadratic):
    noise = "add_noise(eta=1.0, gamma=0.0)"
    program = gradjax.program(quadratic, f"chain({noise}, {noise}, sgd)", num_steps=1)
    state = program.init(program.hparams, jnp.uint32(0)).opt_state
    assert (state[0].rng_key != state[1].rng_key).any()


def test_a_state_is_plain_arrays(quadratic):
    program = gradjax.program(quadratic, "noisy_sgd", num_steps=1)
    leaves = jax.tree.leaves(gradjax.run(program).state)
    assert all(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves)


@pytest.mark.slow
def test_dpsgd_without_noise_clips_each_example(examples):
    """Two of the four gradients are longer than the bound."""
    start, batch = examples.init(None), examples.data.train.arrays

    @jax.jit
    def grad(one):
        return jax.grad(lambda p: examples.loss(p, one, None)[0])(start)

    grads = [grad({"noise": batch["noise"][k : k + 1]}) for k in range(4)]
    norms = sorted(float(optax.tree.norm(g)) for g in grads)
    bound = (norms[1] + norms[2]) / 2
    scales = [min(1.0, bound / float(optax.tree.norm(g))) for g in grads]
    mean = jax.tree.map(
        lambda *gs: sum(s * g for s, g in zip(scales, gs, strict=True)) / 4, *grads
    )
    text = f"dpsgd(0.5, l2_norm_clip={bound!r}, noise_multiplier=0.0)"
    result = gradjax.run(gradjax.program(examples, text, num_steps=1))
    for name, expected in mean.items():
        moved = (start[name] - result.params[name]) / 0.5
        np.testing.assert_allclose(moved, expected, rtol=1e-5)
    losses = result.trace["loss"].values
    np.testing.assert_allclose(losses[0], examples.loss(start, batch, None)[0], 1e-6)


def parabola(scale=1.0):
    return Problem(
        lambda _: jnp.asarray([1.0, -1.0]), lambda p, *_: (0.5 * scale * p @ p, {})
    )


STEP_SIZES = {
    # on 0.5 c |x|^2 from |x|^2 = 2: value / |g|^2 = 1 / (2 c)
    "polyak_sgd": lambda c: 1 / (2 * c),
    "chain(clip(100.0), polyak_sgd)": lambda c: 1 / (2 * c),
    "momo": lambda c: 1 / (2 * c),
    "momo(weight_decay=0.5)": lambda c: (1.5 * (c - 2 * c) + 2 * c) / (2 * c * c),
    "dog(init_step=('learning_rate', 0.25))": lambda _: 0.25,
    "dowg": lambda c: 1e-4 / (np.sqrt(1e-4 * 2 * c * c) + 1e-4),
    "prodigy": lambda _: 1e-6,
    "dadapt_adamw": lambda _: 1e-6,
    "lbfgs": lambda _: 1.0,
    "rprop(0.125)": lambda _: 0.125,
    "sam(multi_steps(prodigy, every=1))": lambda _: 1e-6,
}


@pytest.mark.parametrize("expression", STEP_SIZES)
def test_the_step_size_of_a_rule_with_its_own(expression):
    program = gradjax.program(parabola(scale=2.0), expression, num_steps=1)
    hparams = {path: jnp.float32(value) for path, value in program.hparams.items()}

    @jax.jit
    def step_size():
        state = program.init(hparams, jnp.uint32(0))
        _, info = program.step(state, None, hparams, jax.random.key(0), jnp.uint32(0))
        return info.aux["step_size"]

    np.testing.assert_allclose(step_size(), STEP_SIZES[expression](2.0), rtol=1e-4)


def test_momo_adam_says_the_step_it_takes():
    """At first m = (1 - b1) g and v_hat = g^2: the update is tau times (1 - b1)."""
    program = gradjax.program(parabola(), "momo_adam(0.5)", num_steps=1)
    result = gradjax.run(program)
    moved = 1.0 - result.params[0]
    tau = result.trace["step_size"].values[0]
    np.testing.assert_allclose(moved, tau * 0.1, rtol=1e-4)


def test_a_rule_without_its_own_says_nothing(quadratic):
    trace = gradjax.run(gradjax.program(quadratic, "adam", num_steps=1)).trace
    assert "step_size" not in trace and "num_gradients" not in trace


@pytest.mark.slow
def test_the_gradients_of_a_line_search_are_counted():
    calls = []

    def loss(params, *_):
        jax.debug.callback(lambda: calls.append(None))
        return 100 * (params[1] - params[0] ** 2) ** 2 + (1 - params[0]) ** 2, {}

    problem = Problem(lambda _: jnp.asarray([-1.2, 1.0]), loss)
    result = gradjax.run(gradjax.program(problem, "lbfgs", num_steps=12))
    jax.effects_barrier()
    assert result.num_gradients == result.trace["num_gradients"].values.sum()
    assert result.num_gradients > 24  # some searches take more than one point
    assert len(calls) == result.num_gradients + 1  # the evaluation at the end


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("sam(sgd)", 20, marks=pytest.mark.slow),
        ("average(sam(sgd))", 20),
        ("sophia(update_interval=5)", 14),
        pytest.param(
            "chain(clip(1.0), sophia(update_interval=2))", 20, marks=pytest.mark.slow
        ),
        ("multi_steps(adam, every=2)", 10),
    ],
)
def test_gradients_of_ten_steps(expression, expected, quadratic):
    result = gradjax.run(gradjax.program(quadratic, expression, num_steps=10))
    assert result.num_gradients == expected


def test_mechanize_says_its_scale(quadratic):
    result = gradjax.run(gradjax.program(quadratic, "mechanize(sgd)", num_steps=9))
    scales = optax.tree_utils.tree_get(result.state.opt_state, "s")
    np.testing.assert_allclose(result.trace["step_size"].values[-1], scales.sum())


def test_an_own_entry_gets_what_it_needs():
    def shrinking(learning_rate):
        def update(grads, state, _params=None, *, step, value):
            scale = learning_rate / (1.0 + step) + 0.0 * value
            return jax.tree.map(lambda g: -scale * g, grads), state

        return optax.GradientTransformationExtraArgs(lambda _: (), update)

    entry = Entry(shrinking, needs=("step", "value"))
    spec, _ = optimizers.split("sgd")
    spec = spec._replace(entry=entry)
    assert optimizers.needs(spec) == {"step", "value"}
    state = optimizers.build(spec, {"learning_rate": 1.0}).init(None)
    updates, _ = optimizers.build(spec, {"learning_rate": 1.0}).update(
        jnp.float32(3.0), state, None, step=2, value=1.0, key=None
    )
    assert updates == -1.0


SCHEDULED = "adamw(weight_decay=cosine(peak=0.1, end=0.5))"


@pytest.mark.filterwarnings("ignore:nothing was learned")
def test_weight_decay_follows_its_schedule():
    problem = Problem(lambda _: jnp.ones(1), lambda p, *_: (0.0 * p.sum(), {}))
    program = gradjax.program(problem, SCHEDULED, num_steps=8)
    own = {
        "optimizer.weight_decay.peak": 0.1,
        "optimizer.weight_decay.end": 0.5,
        "learning_rate": 1e-3,
    }
    assert program.hparams == own
    hparams = {"learning_rate": 1.0, "optimizer.weight_decay.peak": 0.2}
    params = gradjax.run(program, hparams).params
    shape = 0.5 + 0.5 * (1 + np.cos(np.pi * np.arange(8) / 8)) / 2
    np.testing.assert_allclose(params, np.prod(1 - 0.2 * shape), rtol=1e-5)


@pytest.mark.slow
def test_momentum_follows_its_schedule(quadratic):
    text = "sgd(momentum=linear(peak=0.9, start=0.5, end=1.0))"
    ours = gradjax.run(gradjax.program(quadratic, text, num_steps=6))
    momentum = 0.9 * (0.5 + 0.5 * np.arange(6) / 6)
    params = quadratic.init(None)
    trace = jax.tree.map(jnp.zeros_like, params)
    for k in range(6):
        grads = jax.grad(lambda p: quadratic.loss(p)[0])(params)
        trace = jax.tree.map(lambda g, t, m=momentum[k]: g + m * t, grads, trace)
        params = jax.tree.map(lambda p, t: p - 0.1 * t, params, trace)
    for name, expected in params.items():
        np.testing.assert_allclose(ours.params[name], expected, rtol=1e-5)


def test_two_schedules_of_one_run_share_no_number():
    program = gradjax.program(
        parabola(), f"chain({SCHEDULED[:-1]}))", "cosine(end=0.25)", num_steps=4
    )
    assert program.hparams["schedule.end"] == 0.25
    assert program.hparams["optimizer.adamw.weight_decay.end"] == 0.5


@pytest.mark.parametrize(
    ("expression", "line"),
    [
        ("adam(learning_rate=cosine(peak=0.1))", "the rate's schedule is --schedule"),
        ("adamw(weight_decay=cosine)", "cannot follow a schedule: it needs peak=..."),
        ("adamw(weight_decay=cosin(peak=0.1))", "unknown schedule 'cosin'; did you"),
        ("adamw(weight_decay=cosine(peak=-0.1))", "must be at least 0"),
        ("adamw(weight_decay=cosine(peak='x'))", "expected a number"),
        ("lbfgs(memory_size=cosine(peak=3))", "cannot follow a schedule: it is static"),
        ("adamw(weight_decay=wsd(peak=0.1, warmup=9))", "9 steps, but the run has 4"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(expression, line):
    with pytest.raises(Refusal) as refused:
        gradjax.program(parabola(), expression, num_steps=4)
    assert line in str(refused.value)


@pytest.mark.parametrize(
    ("hparams", "line"),
    [
        ({"optimizer.weight_decay.peak": -0.1}, "must be at least 0"),
        (
            {"optimizer.weight_decay.end": 1.5},
            "optimizer.weight_decay: schedule.end=1.5",
        ),
        ({"optimizer.weight_decay": 0.1}, "unknown hyperparameter"),
    ],
)
def test_numbers_of_such_a_schedule_are_checked(hparams, line):
    program = gradjax.program(parabola(), SCHEDULED, num_steps=4)
    with pytest.raises(Refusal) as refused:
        gradjax.run(program, hparams)
    assert line in str(refused.value)
