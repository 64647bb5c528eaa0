"""Wrappers against what they are said to be, computed without them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Problem, Refusal, Splits, optimizers
from gradjax.data import arrays

RATE, NUM_STEPS = 0.05, 12


def noisy_source(num_examples=24):
    rng = np.random.default_rng(0)
    return arrays.source({"x": rng.normal(size=(num_examples, 3)).astype(np.float32)})


@pytest.fixture(scope="module")
def regression():
    """Mean of 0.5 |w - x|^2 + (w . x)^2 / 8 over a batch, w a matrix [3, 1] and b."""

    def loss(params, batch, _key):
        w = params["w"][:, 0]
        fit = 0.5 * jnp.square(w[None] - batch["x"]).sum(axis=-1)
        return (fit + jnp.square(batch["x"] @ w + params["b"]) / 8).mean(), {}

    start = {"w": jnp.ones((3, 1)), "b": jnp.float32(0.5)}
    return Problem(lambda _: start, loss, data=Splits(noisy_source()))


def run(problem, expression, num_steps=NUM_STEPS, batch_size=4, **hparams):
    program = gradjax.program(
        problem, expression, num_steps=num_steps, batch_size=batch_size
    )
    rate = {"learning_rate": RATE} if "learning_rate" in program.hparams else {}
    return gradjax.run(program, rate | hparams)


def assert_close(one, other, **kwargs):
    jax.tree.map(functools.partial(np.testing.assert_allclose, **kwargs), one, other)


@pytest.mark.parametrize("inner", ["sgd(momentum=0.9)", "adamw(weight_decay=0.1)"])
@pytest.mark.slow
def test_multi_steps_is_a_larger_batch(inner, regression):
    parts = run(regression, f"multi_steps({inner}, every=4)", batch_size=4)
    whole = run(regression, inner, num_steps=NUM_STEPS // 4, batch_size=16)
    assert_close(parts.params, whole.params, rtol=2e-5)
    assert parts.num_gradients == NUM_STEPS
    losses = parts.trace["loss"].values.reshape(-1, 4).mean(axis=1)
    np.testing.assert_allclose(losses, whole.trace["loss"].values, rtol=2e-5)


@pytest.mark.slow
def test_multi_steps_hands_on_the_mean_loss(regression):
    parts = run(regression, "multi_steps(polyak_sgd, every=4)", batch_size=4)
    whole = run(regression, "polyak_sgd", num_steps=NUM_STEPS // 4, batch_size=16)
    assert_close(parts.params, whole.params, rtol=2e-4)


@pytest.fixture(scope="module")
def gradient(regression):
    """The compiled gradient of the mean over all examples."""
    batch = regression.data.train.arrays
    return jax.jit(jax.grad(lambda params: regression.loss(params, batch, None)[0]))


def descended(params, gradient, rate, num_steps):
    """The parameters after each step of gradient descent."""
    seen = []
    for _ in range(num_steps):
        grads = gradient(params)
        params = jax.tree.map(lambda p, g: p - rate * g, params, grads)
        seen.append(params)
    return seen


@pytest.mark.slow
def test_average_is_the_weighted_mean_of_the_parameters(regression, gradient):
    decay = 0.8
    steps = descended(regression.init(None), gradient, RATE, 6)
    seen = [params["w"] for params in steps]
    weights = (1 - decay) * decay ** np.arange(6)[::-1]
    expected = sum(w * p for w, p in zip(weights, seen, strict=True)) / weights.sum()
    text = f"average(sgd(), decay={decay})"
    result = run(regression, text, num_steps=6, batch_size=24)
    assert_close(result.params["w"], expected, rtol=1e-5)
    assert_close(result.state.params["w"], seen[-1], rtol=1e-5)


def test_average_before_the_first_step_is_the_start():
    start = jnp.ones(2)
    spec, numbers = optimizers.split("average(sgd)")
    state = optimizers.build(spec, numbers).init(start)
    assert_close(optimizers.eval_params(spec, state, start), start)


@pytest.mark.slow
def test_lookahead_is_the_papers_algorithm(regression, gradient):
    fast = slow = jax.tree.map(np.asarray, regression.init(None))
    for _ in range(2):
        fast = descended(fast, gradient, 0.1, 3)[-1]
        slow = jax.tree.map(lambda s, f: s + 0.25 * (f - s), slow, fast)
        fast = slow
    text = "lookahead(sgd(0.1), sync_period=3, slow_step_size=0.25)"
    result = run(regression, text, num_steps=6, batch_size=24)
    assert_close(result.params, slow, rtol=1e-5)
    assert_close(result.state.params, slow, rtol=1e-5)


@pytest.mark.slow
def test_sam_is_the_gradient_uphill_of_the_same_batch(regression, gradient):
    rho, start = 0.3, regression.init(None)
    params = start
    for _ in range(4):
        g = gradient(params)
        scale = rho / optax.tree.norm(g)
        above = jax.tree.map(lambda p, g, s=scale: p + s * g, params, g)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient(above))
    text = f"sam(sgd(0.1), rho={rho})"
    program = gradjax.program(regression, text, num_steps=4, batch_size=24)
    result = gradjax.run(program)
    assert_close(result.params, params, rtol=1e-5)
    assert result.num_gradients == 8
    plain = gradjax.run(program, {"optimizer.rho": 0.0})
    assert_close(plain.params, descended(start, gradient, 0.1, 4)[-1], rtol=1e-5)


@pytest.fixture(scope="module")
def optaxs_own(regression):
    return run(regression, "schedule_free_sgd")


@pytest.mark.parametrize("inner", ["sgd", "sgd(0.05)"])
@pytest.mark.slow
def test_schedule_free_of_sgd_is_optaxs_own(inner, regression, optaxs_own):
    ours = run(regression, f"schedule_free({inner})")
    assert_close(ours.params, optaxs_own.params, rtol=1e-6)
    assert ours.trace["learning_rate"].values[0] == np.float32(RATE)


def test_partition_gives_each_leaf_its_rule(regression):
    result = run(regression, "partition(matrices=adam(0.01), others=set_to_zero)")
    start = regression.init(None)
    assert_close(result.params["b"], start["b"])
    assert (result.params["w"] != start["w"]).all()


@pytest.mark.slow
def test_a_partition_into_equal_rules_is_the_rule(regression):
    both = run(regression, "partition(matrices=adam(0.01), others=adam(0.01))")
    assert_close(both.params, run(regression, "adam(0.01)").params, rtol=1e-6)


@pytest.mark.parametrize(
    ("expression", "decayed"),
    [
        ("adamw(mask='matrices', weight_decay=0.5)", {"w"}),
        ("adamw(mask='vectors', weight_decay=0.5)", {"b"}),
        ("lars(weight_decay_mask='matrices', weight_decay=0.5)", {"w"}),
        ("chain(masked(add_decayed_weights(0.5), mask='matrices'), sgd)", {"w"}),
    ],
)
def test_a_mask_by_name_is_of_those_leaves(expression, decayed, regression):
    program = gradjax.program(regression, expression, num_steps=1, batch_size=4)
    (path,) = (path for path, value in program.hparams.items() if value == 0.5)
    plain, other = (gradjax.run(program, {path: x}).params for x in (0.0, 0.5))
    assert {name for name in "wb" if (plain[name] != other[name]).any()} == decayed


@pytest.mark.filterwarnings("ignore:nothing was learned")
def test_apply_if_finite_leaves_out_a_gradient_that_is_not():
    """The loss at 1 is finite and its gradient is not."""

    def loss(params, *_):
        return jnp.where(params < 1.0, params, 1.0 + jnp.sqrt(params - 1.0)), {}

    problem = Problem(lambda _: jnp.float32(1.0), loss)
    kept = gradjax.run(
        gradjax.program(problem, "apply_if_finite(sgd(0.1), 5)", num_steps=3)
    )
    assert kept.params == 1.0 and kept.status == "finished"
    broken = gradjax.run(gradjax.program(problem, "sgd(0.1)", num_steps=3))
    assert broken.status == "diverged"


@pytest.mark.slow
def test_wrappers_compose_at_any_depth(regression):
    text = "average(lookahead(sam(chain(clip(1.0), multi_steps(soap, every=2)))))"
    result = run(regression, text, num_steps=14)
    assert result.status == "finished"
    assert result.num_gradients == 28
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(result.params))


REFUSED = {
    "sam(lbfgs)": "sam(lbfgs) is not defined: lbfgs evaluates the loss",
    "multi_steps(sam(sgd), every=2)": "multi_steps(sam) is not defined",
    "multi_steps(sophia, every=2)": "multi_steps(sophia) is not defined",
    "partition(matrices=lbfgs, others=adam)": "partition(lbfgs) is not defined",
    "schedule_free(lbfgs)": "schedule_free(lbfgs) is not defined",
    "mechanize(chain(clip(1.0), lbfgs))": "mechanize(lbfgs) is not defined",
    "chain(clip(1.0), dpsgd(l2_norm_clip=1.0, noise_multiplier=1.0))": "must be alone",
    "sam(dpsgd(l2_norm_clip=1.0, noise_multiplier=1.0))": "must be alone",
    "multi_steps(dpsgd(0.1, 1.0, 1.0), every=2)": "must be alone or the first",
    "chain(masked(sgd), sgd)": "masked(...) holds a transform, not an optimizer",
    "partition(matrices=sgd, others=clip(1.0))": "does not descend",
    "sam(clip(1.0))": "does not descend",
    "sam": "sam needs inner: sam(adam)",
    "delayed(sam(sgd))": "delayed(sam) is not defined",
    "partition(matrices=average(sgd), others=adam)": "put it outside",
    "partition(matrices=sgd, others=lookahead(sgd))": "put it outside",
    "mechanize(average(sgd))": "average(mechanize(...))",
    "chain(average(sgd(0.1)), scale(0.01))": "must be the last link",
    "chain(clip_by_global_norm(0.01), sam(sgd))": "computes the gradient again",
    "apply_if_finite(dpsgd(l2_norm_clip=1.0, noise_multiplier=1.0), 3)": (
        "must be alone"
    ),
    "lbfgs(learning_rate=0.5)": "unexpected keyword argument 'learning_rate'",
    "sam(0.1)": "sam: 0.1 is not an optimizer",
    "multi_steps(adam)": "multi_steps needs every: multi_steps(every=...)",
    "multi_steps(adam, every=0)": "every=0: must be at least 1",
    "multi_steps(adam, every=2.5)": "expected a whole number",
    "lookahead(adam, sync_period=0)": "must be at least 1",
    "average(adam, decay=1.0)": "must be at least 0 and below 1",
    "adamw(mask='matrix')": "unknown mask 'matrix'; did you mean 'matrices'",
    "noisy_sgd(key=3)": "key follows from the seed of the run",
    "dpsgd": "dpsgd needs l2_norm_clip, noise_multiplier: dpsgd(l2_norm_clip=...",
    "dpsgd(l2_norm_clip=0.0, noise_multiplier=1.0)": "must be above 0",
}


@pytest.mark.parametrize("expression", REFUSED)
def test_what_is_not_defined_is_refused_in_one_line(expression):
    with pytest.raises(Refusal) as refused:
        optimizers.split(expression)
    assert REFUSED[expression] in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


NOT_ON_A_SCALAR_SURFACE = {
    "dpsgd(l2_norm_clip=1.0, noise_multiplier=1.0)": "dpsgd takes the gradient of each",
    "average(dpsgd(0.1, 1.0, 1.0))": "dpsgd takes the gradient of each example",
    "sm3": "sm3 keeps a bound for each axis",
    "chain(scale_by_sm3, sgd)": "scale_by_sm3 keeps a bound for each axis",
}


@pytest.mark.parametrize("expression", NOT_ON_A_SCALAR_SURFACE)
def test_a_problem_it_is_not_defined_for_is_refused(expression):
    problem = Problem(lambda _: jnp.float32(1.0), lambda p, *_: (p**2, {}))
    with pytest.raises(Refusal) as refused:
        gradjax.program(problem, expression, num_steps=3)
    assert NOT_ON_A_SCALAR_SURFACE[expression] in str(refused.value)


def test_multi_steps_forgets_a_gradient_that_is_not_finite():
    spec, numbers = optimizers.split("multi_steps(sgd(1.0), every=2)")
    made = optimizers.build(spec, numbers)
    params = jnp.float32(0.0)
    state, updates = made.init(params), []
    for step, grad in enumerate((jnp.inf, 1.0, 1e-3, 1e-3, 1e8, 1e8, 1e-3, 1e-3)):
        update, state = made.update(
            jnp.float32(grad),
            state,
            params,
            step=jnp.uint32(step),
            value=jnp.float32(grad),
        )
        updates.append(float(update))
    np.testing.assert_allclose(updates[3::4], [-1e-3, -1e-3], rtol=1e-6)
    assert updates[5] == -1e8


ARGUMENTS_IT_CANNOT_TAKE = [
    "adam(mu_dtype='x')",
    "adamw(mask=3)",
    "prodigy(betas=(0.9,))",
    "polyak_sgd(variant='bad')",
    "muon(preconditioning='bad')",
    "dog(init_step=('bad', 0.1))",
    "chain(scale('x'), sgd)",
]


@pytest.mark.parametrize("expression", ARGUMENTS_IT_CANNOT_TAKE)
def test_arguments_that_fail_in_the_rule_are_refused_in_one_line(
    expression, regression
):
    with pytest.raises(Refusal) as refused:
        gradjax.program(regression, expression, num_steps=2, batch_size=4)
    assert "\n" not in str(refused.value)
