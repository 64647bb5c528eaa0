"""Hypergradients against closed forms, central differences, and forward mode."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Problem, Refusal, Splits, optimizers, problems
from gradjax.data import arrays, digits
from gradjax.derivatives import hypergradients
from gradjax.derivatives.hypergradients import hypergradient, outcome, require_finite


def quadratic_of(start, curvatures):
    """1/2 sum h x^2 from a fixed start, in the precision of the start."""

    def loss(x, _batch, _key):
        return 0.5 * (jnp.asarray(curvatures, x.dtype) * x**2).sum(), {}

    return Problem(lambda _: jnp.asarray(start, float), loss)


def digits_problem():
    """64-16-10 on digits with tanh between, from one start; float64 where that is on.

    It is small, for a gradient is compiled in seconds: no draw, 100 to validate on.
    """
    data, rng = digits.load(), np.random.default_rng(0)
    shapes = {"w": (64, 16), "v": (16, 10)}
    start = {name: 0.2 * rng.normal(size=shape) for name, shape in shapes.items()}

    def source_of(part, count):
        pixels = part["image"].reshape(-1, 64) / data.max_value
        return arrays.source({"x": pixels[:count], "y": part["label"][:count]})

    def losses(params, batch):
        hidden = jnp.tanh(batch["x"] @ params["w"])
        logits = hidden @ params["v"]
        picked = jnp.take_along_axis(logits, batch["y"][:, None], axis=1)[:, 0]
        return jax.nn.logsumexp(logits, axis=1) - picked

    def metrics(params, batch, _key):
        seen = losses(params, batch)
        return {"loss": (seen.sum(), jnp.float32(len(seen)))}

    def loss(params, batch, _key):
        return losses(params, batch).mean(), {}

    def init(_key):
        return {name: jnp.asarray(value, float) for name, value in start.items()}

    splits = Splits(source_of(data.train, None), source_of(data.validation, 100))
    return Problem(init, loss, metrics, splits)


def central(value, hparams, path, steps):
    """Central differences in one number, or in each of a list, extrapolated to h^4."""
    at = np.asarray(hparams[path], np.float64)
    found = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        quotients = []
        for h in (steps, steps / 2):
            ends = []
            for sign in (1.0, -1.0):
                moved = at.copy()
                moved[index] += sign * h
                ends.append(float(value({**hparams, path: moved})))
            quotients.append((ends[0] - ends[1]) / (2 * h))
        found[index] = (4.0 * quotients[1] - quotients[0]) / 3.0
    return found


@pytest.mark.parametrize("num_steps", [1, 2, 7, 16, 30])
def test_of_gradient_descent_it_is_the_closed_form(num_steps):
    """x_T = (1 - r h)^T x_0, so d loss / d r = -T h^2 (1 - r h)^(2 T - 1) x_0^2."""
    with jax.enable_x64(True):
        h, start, rate = np.array([0.3, 1.0]), np.array([1.0, -2.0]), 0.4
        program = gradjax.program(quadratic_of(start, h), "sgd", num_steps=num_steps)
        value, grads = hypergradient(program)({"learning_rate": np.float64(rate)}, 0)
        left = 1.0 - rate * h
        assert value == pytest.approx(
            (0.5 * h * left ** (2 * num_steps) * start**2).sum()
        )
        exact = -(num_steps * h**2 * left ** (2 * num_steps - 1) * start**2).sum()
        assert grads["learning_rate"].dtype == jnp.float64
        assert float(grads["learning_rate"]) == pytest.approx(exact, rel=1e-12)


@pytest.mark.slow
def test_of_each_point_of_a_schedule_it_is_the_closed_form():
    """Value k is the rate of step k alone; the last of 9 belongs to no step of 8."""
    with jax.enable_x64(True):
        h, rate = np.array([0.25, 1.0]), 0.5
        values = np.array([1.0, 0.5, 0.75, 0.25, 1.0, 0.5, 0.125, 0.25, 1.0])
        program = gradjax.program(
            quadratic_of(np.ones(2), h), "sgd", values.tolist(), num_steps=8
        )
        _, grads = hypergradient(program)({"learning_rate": np.float64(rate)}, 0)
        left = 1.0 - rate * values[:8, None] * h  # [steps, axes]
        ends = 0.5 * h * np.prod(left, axis=0) ** 2
        exact = (ends * 2.0 * -rate * h / left).sum(axis=1)
        np.testing.assert_allclose(grads["schedule.values"][:8], exact, rtol=1e-6)
        assert grads["schedule.values"][8] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [("adam(b1=0.9, eps_root=1e-16)", 0.01), ("sgd(momentum=0.9)", 0.05)],
)
def test_on_digits_it_is_the_central_difference_and_the_forward_mode(optimizer, rate):
    """The points lie on steps: there the shape, in float32, is exact."""
    with jax.enable_x64(True):
        program = gradjax.program(
            digits_problem(),
            optimizer,
            [1.0, 0.5, 0.75, 0.25, 0.5],
            num_steps=64,
            batch_size=32,
        )
        numbers = {path: np.float64(value) for path, value in program.hparams.items()}
        numbers["learning_rate"] = np.float64(rate)
        value, grads = jax.device_get(hypergradient(program)(numbers, 3))

        @jax.jit
        def forward(hparams, tangents):
            return jax.jvp(lambda h: outcome(program)(h, 3), (hparams,), (tangents,))

        ones = jax.tree.map(np.ones_like, numbers)
        primal, slope = forward(numbers, ones)
        assert value == pytest.approx(float(primal), rel=1e-12)
        backward = sum(grad.sum() for grad in grads.values())
        assert float(slope) == pytest.approx(float(backward), rel=1e-9)

        name = "optimizer.b1" if "adam" in optimizer else "optimizer.momentum"
        steps = {"learning_rate": 1e-4 * rate, "schedule.values": 2.0**-10, name: 1e-4}
        for path, h in steps.items():
            found = central(lambda moved: forward(moved, ones)[0], numbers, path, h)
            np.testing.assert_allclose(grads[path], found, rtol=1e-6)


@pytest.mark.slow
def test_the_value_is_that_of_the_run():
    """Evaluated where the rule averages; 11 steps are two blocks of 4 and one of 3."""
    program = gradjax.program(
        matrix_problem(),
        "average(sgd(momentum=0.9), decay=0.5)",
        [1.0, 0.5, 0.2],
        num_steps=11,
        batch_size=3,
    )
    given = {"learning_rate": 0.1}
    result = gradjax.run(program, given, 5)
    value, grads = require_finite(*hypergradient(program)(given, 5))
    assert value == pytest.approx(result.evaluation["validation"]["loss"], rel=1e-5)
    shapes = {path: np.shape(number) for path, number in program.hparams.items()}
    assert {path: np.shape(grad) for path, grad in grads.items()} == shapes
    assert all(np.any(grad) for grad in grads.values())
    seen = float(jax.jit(outcome(program, "train"))(given, 5))
    assert seen == pytest.approx(result.evaluation["train"]["loss"], rel=1e-5)
    assert seen != pytest.approx(value, rel=1e-3)


@pytest.mark.slow
def test_without_data_it_is_the_mean_loss_and_maps_over_seeds():
    """d/dr of the expected loss after one noisy step, against its closed form.

    x_1 = (1 - r h) x_0 - r e with e ~ N(0, h), x_0 ~ N(0, 1): the loss has the mean
    1/2 sum h ((1 - r h)^2 + r^2 h), of derivative sum h (r h - h (1 - r h)).
    """
    program = gradjax.program(
        problems.make("noisy_quadratic(dim=3)"), "sgd", num_steps=1
    )
    gradient = hypergradient(program)
    seeds = jnp.arange(20_000, dtype=jnp.uint32)
    slopes = jax.vmap(lambda seed: gradient({"learning_rate": 0.3}, seed)[1])(seeds)
    h = 1.0 / np.arange(1, 4)
    exact = (h * (0.3 * h - h * (1.0 - 0.3 * h))).sum()
    seen = np.asarray(slopes["learning_rate"])
    error = seen.std() / np.sqrt(len(seen))
    assert abs(exact) > 20 * error
    assert abs(seen.mean() - exact) < 4 * error


@pytest.mark.slow
def test_an_input_that_is_always_zero_needs_eps_root():
    """Pixels at the border of digits are."""
    program = gradjax.program(
        digits_problem(), "adam(eps_root=0.0)", num_steps=4, batch_size=32
    )
    gradient = hypergradient(program)
    without, with_root = (
        gradient({"optimizer.eps_root": root}, 0) for root in (0.0, 1e-16)
    )
    with pytest.raises(Refusal, match=r"gradient in learning_rate.*eps_root=1e-16"):
        require_finite(*without)
    value, grads = require_finite(*with_root)
    assert value == pytest.approx(float(without[0]), rel=1e-6)
    assert grads["learning_rate"] < 0.0


def test_of_a_run_that_diverged_there_is_no_gradient():
    program = gradjax.program(quadratic_of(np.ones(2), np.ones(2)), "sgd", num_steps=40)
    value, grads = hypergradient(program)({"learning_rate": 1e6}, 0)
    assert np.isnan(value)
    with pytest.raises(Refusal, match="lower its learning rate"):
        require_finite(value, grads)


@pytest.mark.slow
def test_memory_is_kept_for_about_the_root_of_the_steps():
    """Sixteen times the steps take about four times the memory, not sixteen."""

    problem = quadratic_of(np.ones(1_000), np.linspace(0.1, 1.0, 1_000))

    def temporary(num_steps):
        program = gradjax.program(problem, "sgd", num_steps=num_steps)
        gradient = jax.jit(jax.grad(outcome(program)))
        compiled = gradient.lower({"learning_rate": jnp.float32(0.1)}, 0).compile()
        seen = compiled.memory_analysis()
        assert seen is not None
        return seen.temp_size_in_bytes

    few, many = temporary(256), temporary(4096)
    assert many < 6.0 * few


# What has no hypergradient, and why.
_SEARCH = "its line search tries steps until one fits, in a loop of unknown length"
NOT_REVERSIBLE = {
    "lbfgs": _SEARCH,
    "apply_if_finite(lbfgs, max_consecutive_errors=2)": _SEARCH,
    "chain(scale_by_zoom_linesearch(max_linesearch_steps=3), sgd)": _SEARCH,
}
NOT_FINITE = {"radam": "optax takes the root of a negative number, and drops it"}
NEEDS = {  # arguments without a default, and small matrices for those that want any
    "dpsgd": "dpsgd(l2_norm_clip=1.0, noise_multiplier=0.1)",
    "galore": "galore(rank=1)",
}
WRAPPED = [
    "apply_if_finite(sgd, max_consecutive_errors=2)",
    "average(sgd)",
    "chain(sgd, scale_by_backtracking_linesearch(max_backtracking_steps=3))",
    "delayed(sgd, delay=2)",
    "lookahead(sgd)",
    "mechanize(sgd)",
    "multi_steps(sgd, every=2)",
    "partition(matrices=muon, others=sgd)",
    "sam(sgd)",
    "schedule_free(sgd)",
]


def matrix_problem():
    """1/2 sum x^2 and noise over a matrix, in float64 where that is on."""
    noise = np.array([[0.1], [-0.1], [0.2], [-0.2], [0.5]])
    splits = Splits(
        *(arrays.source({"noise": part}) for part in (noise[:4], noise[4:]))
    )

    def loss(x, batch, _key):
        return 0.5 * (x**2).sum() + batch["noise"].mean() * x.sum(), {}

    start = np.array([[1.0, -2.0], [0.5, 1.5]])
    return Problem(lambda _: jnp.asarray(start, float), loss, data=splits)


def program_of(expression, num_steps=4):
    return gradjax.program(
        matrix_problem(), expression, num_steps=num_steps, batch_size=2
    )


assert all(any(name in text for text in WRAPPED) for name in optimizers.WRAPPERS)
EVERY = [*(NEEDS.get(name, name) for name in optimizers.OPTIMIZERS), *WRAPPED]


@pytest.mark.parametrize(
    "expression", [text for text in EVERY if text not in NOT_REVERSIBLE]
)
@pytest.mark.slow
def test_every_optimizer_has_one_but_for_the_table(expression):
    """Traced, not run: a loop of unknown length is found there."""
    gradient = hypergradient(program_of(expression), "train")
    value, grads = jax.eval_shape(lambda: gradient({}, 0))
    assert value.shape == () and grads


@pytest.mark.parametrize("expression", NOT_REVERSIBLE)
@pytest.mark.slow
def test_a_line_search_is_refused_and_rightly(expression):
    """Without the refusal, jax says the same."""
    program = program_of(expression)
    with pytest.raises(Refusal, match=r"search.* has a loop|lbfgs has a loop"):
        hypergradient(program, "train")
    if not program.hparams:  # lbfgs alone has no number to differentiate by
        return
    with pytest.raises(ValueError, match="Reverse-mode differentiation"):
        jax.eval_shape(
            lambda: jax.grad(outcome(program, "train"))(f32(program.hparams), 0)
        )


@pytest.mark.slow
def test_a_line_search_goes_forward():
    program = program_of("chain(scale_by_zoom_linesearch(max_linesearch_steps=3), sgd)")
    numbers, ones = f32(program.hparams), f32(program.hparams, 1.0)
    value = jax.jit(lambda h: outcome(program, "train")(h, 0))
    _, slope = jax.jvp(value, (numbers,), (ones,))
    (path,) = numbers
    ends = [float(value({path: numbers[path] + h})) for h in (1e-2, -1e-2)]
    assert float(slope) == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)


def test_ones_own_rule_with_a_loop_is_refused_when_it_is_traced():
    import optax

    def looping(learning_rate=0.1):
        def update(updates, state, params=None):  # noqa: ARG001
            halved = jax.lax.while_loop(
                lambda x: jnp.abs(x).max() > 1.0, lambda x: x / 2, updates
            )
            return -learning_rate * halved, state

        return optax.GradientTransformation(lambda params: (), update)  # noqa: ARG005

    gradient = hypergradient(program_of(looping), "train")
    with pytest.raises(Refusal, match="the optimizer or the loss has a loop"):
        gradient({}, 0)


@pytest.mark.parametrize("expression", NOT_FINITE)
@pytest.mark.slow
def test_what_has_no_finite_gradient_is_noticed(expression):
    with pytest.raises(Refusal, match="the gradient in learning_rate is not finite"):
        require_finite(*hypergradient(program_of(expression), "train")({}, 0))


@pytest.mark.parametrize(
    ("expression", "is_x64", "share", "rel"),
    [
        pytest.param(
            "soap(update_interval=2)", True, 1e-3, 1e-6, marks=pytest.mark.slow
        ),
        pytest.param(
            *("multi_steps(adam(eps_root=1e-16), every=2)", False, 1e-2, 1e-3),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "chain(sgd, scale_by_backtracking_linesearch(max_backtracking_steps=3))",
            False,
            1e-2,
            1e-3,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_where_a_branch_is_taken_it_is_the_central_difference(
    expression, is_x64, share, rel
):
    with jax.enable_x64(is_x64):
        program = program_of(expression)
        value = jax.jit(outcome(program, "train"))
        path = next(p for p in program.hparams if p.endswith("learning_rate"))
        rate = np.asarray(0.05, float if is_x64 else np.float32)
        _, grads = require_finite(*hypergradient(program, "train")({path: rate}, 1))
        moved = lambda h: value({path: np.asarray(h[path], rate.dtype)}, 1)  # noqa: E731
        found = central(moved, {path: rate}, path, share * rate)
        assert grads[path] == pytest.approx(float(found), rel=rel)


@pytest.mark.parametrize(
    ("split", "hparams", "line"),
    [
        ("validaton", {}, "unknown split 'validaton'; did you mean 'validation'?"),
        ("test", {}, "split='test': this problem has none; it has train, validation"),
        ("train", {"lr": 1.0}, "unknown hyperparameter 'lr'"),
        ("train", {"learning_rate": [1.0, 2.0]}, "learning_rate has shape (2,)"),
    ],
)
@pytest.mark.parametrize("make", [outcome, hypergradient])
def test_refuses_in_one_line(make, split, hparams, line):
    with pytest.raises(Refusal, match=re.escape(line)):
        make(program_of("sgd"), split)(hparams, 0)


def test_refuses_metrics_without_a_loss():
    problem = matrix_problem()._replace(metrics=lambda *_: {"error": (1.0, 1.0)})
    program = gradjax.program(problem, "sgd", num_steps=2, batch_size=2)
    with pytest.raises(Refusal, match="no 'loss' to follow, only error"):
        hypergradients.outcome(program, "train")


def f32(hparams, value=None):
    return {
        path: jnp.float32(x if value is None else value) for path, x in hparams.items()
    }
