"""float64, float32, bfloat16 and float16 parameters keep their types, and descend."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Problem, Splits
from gradjax.data import arrays
from gradjax.errors import Refusal
from gradjax.optimizers import OPTIMIZERS
from gradjax.trials import batches, lanes

ARGUMENTS = {
    "dpsgd": "(l2_norm_clip=10.0, noise_multiplier=0.001)",
    # A first step of 1e-6 rounds to nothing in bfloat16.
    "dog": "(init_step=('distance', 0.1))",
    "prodigy": "(estim_lr0=0.01)",
    "soap": "(eps=0.01)",  # else it divides noise by noise in a new direction
}
WRAPPED = (
    "apply_if_finite(adam, max_consecutive_errors=3)",
    "average(sgd(momentum=0.9), decay=0.9)",
    "chain(clip_by_global_norm(1.0), sgd(momentum=0.9))",
    "delayed(adam)",
    "lookahead(adam)",
    "multi_steps(sgd(momentum=0.9), every=2)",
    "partition(matrices=muon, others=adamw)",
    "sam(sgd(momentum=0.9), rho=0.01)",
    "schedule_free(adam)",
)
EXPRESSIONS = (*(f"{name}{ARGUMENTS.get(name, '')}" for name in OPTIMIZERS), *WRAPPED)
# optax stores one number for all leaves in the type of one of them, or needs one type.
ONE_TYPE = (
    "dadapt_adamw",
    "dog",
    "dowg",
    "momo",
    "momo_adam",
    "prodigy",
    "sophia",
)
TYPES = ("float32", "bfloat16", "float64", "float16")
RATES = {"adadelta": 30.0, "dadapt_adamw": 3.0, "dog": 1.0, "lars": 100.0}
RATES |= {"prodigy": 10.0, "simplified_ademamix": 0.003, "momo": 1.0, "dowg": 1.0}
RATES |= {"polyak_sgd": 1.0, "cocob": 1.0}
NUM_STEPS = 12


def loss(params, _batch=None, _key=None):
    """0.5 sum x^2, in the widest type of the leaves."""
    leaves = jax.tree.leaves(params)
    return sum(0.5 * (x**2).sum() for x in leaves), {}


@functools.cache
def problem(kinds, has_data=False):
    start = {
        f"x{k}": jnp.asarray([[1.0, -2.0], [0.5, 1.5], [-1.0, 1.0]], kind)
        for k, kind in enumerate(kinds)
    }
    data = Splits(arrays.source({"nothing": np.zeros((4, 1), np.float32)}))
    return Problem(lambda _: start, loss, data=data if has_data else None)


def program(expression, kinds, num_steps=NUM_STEPS):
    made = problem(kinds, expression.startswith("dpsgd"))
    return gradjax.program(made, expression, num_steps=num_steps)


def types(tree):
    return [x.dtype.name for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize(
    "offset", [0, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2, 3))]
)
def test_every_optimizer_takes_a_step_that_keeps_all_types(offset):
    """`program` traces a step and refuses a state that changes its types."""
    for k, expression in enumerate(EXPRESSIONS):
        kind = TYPES[(k + offset) % len(TYPES)]
        with jax.enable_x64(kind == "float64"):
            made = program(expression, (kind,))
            state = jax.eval_shape(made.init, made.hparams, np.uint32(0))
        assert types(state.params) == [kind], expression


def check_descends(expression, kinds, width):
    made = program(expression, kinds)
    rate = RATES.get(expression.partition("(")[0], 0.1)
    hparams = dict.fromkeys(made.plan.optimizer.rates, rate)
    trials = batches.run(lanes.lanes(made, width, 1), [hparams] * width, [0] * width)
    losses = trials.trace["loss"].values
    assert types(trials.params) == list(kinds)
    assert np.isfinite(losses).all() and (losses[:, -1] < losses[:, 0]).all()
    batch = made.plan.problem.data and made.plan.problem.data.train.arrays
    for leaf in jax.tree.leaves(trials.params):  # each leaf, and not the sum alone
        after = [float(loss(row.astype(np.float64), batch)[0]) for row in leaf]
        assert max(after) < 4.7, expression
    return losses


DIAGONAL = (
    ("sgd(momentum=0.9)", ("bfloat16",), 1),
    ("schedule_free(adam)", ("bfloat16", "float32"), 4),
    ("multi_steps(sgd(momentum=0.9), every=2)", ("float64", "float32"), 4),
    ("chain(clip_by_global_norm(1.0), sgd(momentum=0.9))", ("float16",), 4),
    ("adam(b1=0.8)", ("float64", "bfloat16"), 1),
)


@pytest.mark.parametrize(("expression", "kinds", "width"), DIAGONAL)
def test_a_run_and_a_sweep_keep_types_and_descend(expression, kinds, width):
    with jax.enable_x64("float64" in kinds):
        check_descends(expression, kinds, width)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expression", "width"), [(one, (1, 4)[k % 2]) for k, one in enumerate(EXPRESSIONS)]
)
def test_all_types_in_one_tree_keep_their_types_and_descend(expression, width):
    """Optimizers of which optax's form needs one type are tried with each type."""
    trees = [("bfloat16", "float32", "float64")]
    if expression.partition("(")[0] in ONE_TYPE:
        trees = [(kind,) for kind in trees[0]]
    for kinds in trees:
        with jax.enable_x64(True):
            check_descends(expression, kinds, width)


@pytest.mark.parametrize(
    "name",
    [
        ONE_TYPE[0],
        *(pytest.param(name, marks=pytest.mark.slow) for name in ONE_TYPE[1:]),
    ],
)
def test_what_optax_cannot_mix_is_refused_in_a_line_that_says_so(name):
    with pytest.raises(Refusal, match="on parameters of bfloat16 and float32") as said:
        program(name, ("bfloat16", "float32"))
    assert "\n" not in str(said.value)
    given = OPTIMIZERS[name]
    if given.make.__module__.startswith("optax") and name != "sophia":
        rule = given.make(0.1)  # by hand, with a Python float, it does the same
        params = problem(("bfloat16", "float32")).init(None)
        before = rule.init(params)
        extras = {"value": jnp.float32(1.0)} if "value" in given.needs else {}
        _, after = jax.eval_shape(rule.update, params, before, params, **extras)
        assert types(after) != types(before)


@pytest.mark.parametrize("kind", ["bfloat16", "float64"])
@pytest.mark.slow
def test_the_steps_are_those_of_optax_with_pythons_floats(kind):
    with jax.enable_x64(kind == "float64"):
        made = program("adamw(b1=0.8, weight_decay=0.01)", (kind,), num_steps=5)
        found = gradjax.run(made, {"learning_rate": 0.05})
        rule = optax.adamw(0.05, b1=0.8, weight_decay=0.01)
        params = problem((kind,)).init(None)
        state = rule.init(params)
        for _ in range(5):
            grads = jax.grad(lambda p: loss(p)[0])(params)
            updates, state = rule.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        rtol = 1e-14 if kind == "float64" else 2.0**-6  # 3 of its 8 bits
        for one, other in zip(
            jax.tree.leaves(found.params), jax.tree.leaves(params), strict=True
        ):
            np.testing.assert_allclose(np.float64(one), np.float64(other), rtol=rtol)


@pytest.mark.slow
def test_hyperparameters_are_float64_where_x64_is_enabled():
    """Values of a sweep, defaults and schedules."""
    with jax.enable_x64(True):
        schedule = "warmup_cosine(warmup=0.3)"
        trials = gradjax.sweep(
            problem(("float64",)),
            "sgd",
            {"learning_rate": [0.1, 0.3]},
            schedule=schedule,
            num_steps=10,
            lane_width=2,
            trace_every=1,
        )
        rates = trials.trace["learning_rate"].values
    t = np.arange(10) / 10
    cosine = 0.5 * (1 + np.cos(np.pi * (t - 0.3) / 0.7))
    shape = np.where(t < 0.3, t / 0.3, cosine)
    np.testing.assert_allclose(rates, np.outer([0.1, 0.3], shape), rtol=1e-14)
    assert rates.dtype == np.float64
