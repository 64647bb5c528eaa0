"""Optimizers of the user: functions, import paths and finished transformations."""

import functools
import importlib
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Problem, Refusal, optimizers
from gradjax.training import evaluation

MINE = '''
import functools
import jax
import jax.numpy as jnp
import optax
import gradjax


def plain(learning_rate):
    return optax.sgd(learning_rate)


def greedy(learning_rate):
    """Takes everything that a step has, and halves a step that does not descend."""

    def update(grads, state, params, *, value, value_fn, grad_fn, step, key):
        updates = jax.tree.map(lambda g: -learning_rate * g, grads)
        ahead = optax.apply_updates(params, updates)
        factor = jnp.where(value_fn(ahead) < value, 1.0, 0.5)
        second = grad_fn(ahead)
        noise = 0.0 * jax.random.normal(key)
        total = jax.tree.map(
            lambda u, s: factor * u - 0.0 * s + 0.0 * step + noise, updates, second
        )
        return total, {"seen": state["seen"] + step, "value": value}

    def init(params):
        return {"seen": jnp.uint32(0), "value": jnp.float32(0.0)}

    return optax.GradientTransformationExtraArgs(init, update)


def low_rank(
    learning_rate: float, rank: int = 2, is_loud: bool = False, mode: str = "a"
):
    made = [type(rank), type(is_loud), type(mode), rank]
    MADE.append(made)
    halves = [optax.scale(0.5) for _ in range(rank)]
    return optax.chain(*halves, optax.sgd(learning_rate))


MADE = []


def halfway(opt_state, params):
    return jax.tree.map(lambda s, x: (s + x) / 2, opt_state, params)


@gradjax.optimizer(static=("depth",), num_gradients=2, eval_params=halfway)
def declared(learning_rate=0.25, depth=3):
    """Keeps the parameters before each step; evaluated halfway."""
    MADE.append(type(depth))

    def update(grads, state, params, *, grad_fn):
        second = grad_fn(params)
        total = jax.tree.map(lambda g, s: -learning_rate * (g + s) / 2, grads, second)
        return total, params

    return optax.GradientTransformationExtraArgs(lambda params: params, update)


searching = optax.polyak_sgd()
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("mine", None)
    importlib.invalidate_caches()
    yield importlib.import_module("mine")
    sys.modules.pop("mine", None)


@pytest.fixture(scope="module")
def parabola():
    return Problem(lambda _: jnp.asarray([1.0, -2.0]), lambda p, *_: (p @ p / 2, {}))


class Ended(NamedTuple):
    """What some steps end with."""

    params: Any  # as evaluated
    state: Any
    losses: list[float]


def run(problem, optimizer, num_steps=4, **hparams):
    """Takes steps as a run does; one step is compiled, not a complete run."""
    program = gradjax.program(problem, optimizer, num_steps=num_steps)
    numbers = {k: jnp.float32(v) for k, v in (program.hparams | hparams).items()}
    batch = problem.data and problem.data.train.arrays
    state, losses = jax.jit(program.init)(numbers, jnp.uint32(0)), []

    @jax.jit
    def step(state, i):
        return program.step(state, batch, numbers, jax.random.key(0), i)

    for i in range(num_steps):
        state, info = step(state, jnp.uint32(i))
        losses.append(float(info.loss))
    return Ended(evaluation.eval_params(program.plan, state), state, losses)


def but_slow(names, quick):
    return [pytest.param(n, marks=[pytest.mark.slow] * (n not in quick)) for n in names]


@pytest.mark.parametrize(
    "form", but_slow(["a path", "a function", "inside a chain"], ["a path"])
)
def test_an_update_gets_the_extras_that_it_names(form, mine, parabola):
    optimizer = {
        "a path": "mine:greedy",
        "a function": mine.greedy,
        "inside a chain": "chain(identity, mine:greedy)",
    }[form]
    result = run(parabola, optimizer, learning_rate=0.1)
    np.testing.assert_allclose(result.params, 0.9**4 * np.array([1, -2]), rtol=1e-5)
    state = optax.tree_utils.tree_get(result.state.opt_state, "seen")
    assert state == 0 + 1 + 2 + 3


@pytest.mark.slow
def test_a_sweep_takes_a_function_that_wants_the_loss(mine, parabola):
    found = gradjax.sweep(
        parabola, mine.greedy, {"learning_rate": [0.1, 0.2]}, num_steps=2, lane_width=2
    )
    expected = np.array([[1.0, -2.0]]) * np.array([[0.81], [0.64]])
    np.testing.assert_allclose(found.params, expected, rtol=1e-5)


def test_an_annotated_argument_is_static(mine, parabola):
    result = run(parabola, "mine:low_rank(rank=3, is_loud=True)", 1, learning_rate=1.0)
    assert mine.MADE[0] == [int, bool, str, 3]
    np.testing.assert_allclose(result.params, 0.875 * np.array([1.0, -2.0]))
    program = gradjax.program(parabola, "mine:low_rank(rank=3)", num_steps=1)
    assert set(program.hparams) == {"learning_rate"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mine:low_rank(rank=2.5)", "rank=2.5: expected a whole number"),
        ("mine:low_rank(is_loud=1)", "is_loud=1: expected True or False"),
        ("mine:low_rank(mode=1)", "mode=1: expected a string"),
        ("mine:searching(2)", "its arguments: none"),
        ("mine:MADE", "is not a function that makes an optimizer"),
    ],
)
@pytest.mark.usefixtures("mine")
def test_a_value_of_another_kind_is_refused(text, line, parabola):
    with pytest.raises(Refusal, match=line.replace("(", r"\(")):
        gradjax.program(parabola, text, num_steps=1)


@pytest.mark.parametrize(
    "form",
    but_slow(["a path", "a function", "a partial", "in a chain"], ["in a chain"]),
)
def test_the_decorator_says_the_rest(form, mine, parabola):
    optimizer = {
        "a path": "mine:declared(depth=4)",
        "a function": mine.declared,
        "a partial": functools.partial(mine.declared, depth=4),
        "in a chain": "chain(clip(100.0), mine:declared)",
    }[form]
    result = run(parabola, optimizer, 2)
    assert set(mine.MADE) == {int}
    spec = gradjax.program(parabola, optimizer, num_steps=1).plan.optimizer
    assert optimizers.num_gradients(spec) == 2
    before = 0.75 * np.array([1.0, -2.0])
    np.testing.assert_allclose(result.params, (before + 0.75 * before) / 2)
    np.testing.assert_allclose(result.state.params, 0.75 * before)


def test_a_decorated_function_stays_a_function(mine):
    rule = mine.declared(0.5)
    assert isinstance(rule, optax.GradientTransformation)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"static": ("rnk",)}, "unknown argument of rule: 'rnk'; did you mean 'rank'"),
        ({"key": "seed"}, "unknown argument of rule: 'seed'"),
        ({"rate": ("lr", 0.1)}, "unknown argument of rule: 'lr'"),
        ({"needs": ("loss_fn",)}, "takes 'loss_fn', which a step does not have"),
    ],
)
def test_a_declaration_of_what_is_not_there_is_refused(given, line):
    with pytest.raises(Refusal) as refused:

        @gradjax.optimizer(**given)
        def rule(learning_rate, rank):
            return optax.sgd(learning_rate * rank)

    assert line in str(refused.value)


def test_an_extra_that_a_step_does_not_have_is_refused(parabola):
    def rule(scale=1.0):
        def update(grads, state, _params=None, *, hessian):
            return scale * hessian * grads, state

        return optax.GradientTransformationExtraArgs(lambda _: (), update)

    with pytest.raises(Refusal) as refused:
        gradjax.program(parabola, rule, num_steps=1)
    said = str(refused.value)
    assert "rule: its update takes 'hessian'" in said and "grad_fn" in said


def test_a_factory_that_makes_something_else_is_refused(parabola):
    with pytest.raises(Refusal, match="gives a list, not an optax.GradientTransf"):
        gradjax.program(parabola, lambda: [], num_steps=1)


FINISHED = {
    "lbfgs": (optax.lbfgs, {}),
    "polyak_sgd": (optax.polyak_sgd, {}),
    "momo": (optax.contrib.momo, {"learning_rate": 1.0}),
    "MultiSteps": (lambda: optax.MultiSteps(optax.polyak_sgd(), 1), {}),
    "apply_if_finite": (lambda: optax.apply_if_finite(optax.polyak_sgd(), 3), {}),
    "reduce_on_plateau": (
        lambda: optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(0.5, 1)),
        {},
    ),
    "sophia": (
        lambda: optax.contrib.sophia(
            0.1,
            hessian_diagonal_fn=optax.contrib.hutchinson_estimator_diag_hessian(
                jax.random.key(0)
            ),
        ),
        {},
    ),
}


@pytest.mark.parametrize(
    "name", but_slow(FINISHED, ["polyak_sgd", "MultiSteps", "reduce_on_plateau"])
)
def test_a_finished_transformation_gets_what_it_names(name, parabola):
    make, kwargs = FINISHED[name]
    losses = run(parabola, make(**kwargs), 6).losses
    assert losses[-1] < losses[0]


def test_a_finished_polyak_sgd_is_the_named_one(parabola):
    ours = run(parabola, "polyak_sgd", 3)
    theirs = run(parabola, optax.polyak_sgd(), 3)
    np.testing.assert_allclose(ours.params, theirs.params, rtol=1e-6)


@pytest.mark.usefixtures("mine")
def test_a_finished_transformation_has_an_import_path(parabola):
    result = run(parabola, "mine:searching", 3)
    assert result.losses[-1] < result.losses[0]


@pytest.mark.parametrize(
    "form",
    but_slow(["finished", "made by a function", "in a chain"], ["in a chain"]),
)
def test_schedule_free_is_evaluated_at_its_average(form, parabola):
    make = functools.partial(optax.contrib.schedule_free_sgd, b1=0.5)
    optimizer = {
        "finished": make(0.5),
        "made by a function": lambda learning_rate: make(learning_rate),
        "in a chain": optax.chain(optax.clip(100.0), make(0.5)),
    }[form]
    hparams = {"learning_rate": 0.5} if callable(optimizer) else {}
    ours = run(parabola, optimizer, 5, **hparams)
    expected = run(parabola, "schedule_free_sgd(0.5, b1=0.5)", 5)
    np.testing.assert_allclose(ours.params, expected.params, rtol=1e-6)
    assert not np.allclose(ours.params, ours.state.params, rtol=1e-2)


def test_a_finished_sam_is_evaluated_before_its_ascent(parabola):
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
    result = run(parabola, optax.contrib.sam(optax.sgd(0.1), ascent), 3)
    start = np.array([1.0, -2.0])
    above = start + 0.05 * start / np.linalg.norm(start)
    np.testing.assert_allclose(result.params, start - 0.1 * above, rtol=1e-5)
    above = result.params + 0.05 * result.params / np.linalg.norm(result.params)
    np.testing.assert_allclose(result.state.params, above, rtol=1e-5)


def test_an_opaque_sam_counts_its_gradients_or_is_refused(parabola):
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))

    def opaque(learning_rate):
        return optax.contrib.sam(optax.sgd(learning_rate), ascent, opaque_mode=True)

    with pytest.raises(Refusal, match=r"use sam\(\.\.\.\), or say how many"):
        gradjax.program(parabola, opaque(0.1), num_steps=1)
    counted = gradjax.optimizer(num_gradients=2)(opaque)
    ours = run(parabola, counted, 2, learning_rate=0.1)
    expected = run(parabola, "sam(sgd(0.1))", 2)
    np.testing.assert_allclose(ours.params, expected.params, rtol=1e-6)


def test_a_finished_lookahead_is_refused_with_the_wrapper(parabola):
    with pytest.raises(Refusal, match=r"use the wrapper lookahead\(sgd"):
        gradjax.program(parabola, optax.lookahead(optax.sgd(0.1), 5, 0.5), num_steps=1)


@pytest.mark.parametrize("form", ["dpsgd", "a chain", "a function"])
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.slow
def test_a_finished_dpsgd_clips_examples_and_not_rows(form, examples):
    numbers = {"l2_norm_clip": 3.0, "noise_multiplier": 0.0}
    private = functools.partial(
        optax.contrib.differentially_private_aggregate, key=jax.random.key(0), **numbers
    )
    optimizer = {
        "dpsgd": lambda: optax.contrib.dpsgd(0.5, **numbers, seed=0),
        "a chain": lambda: optax.chain(private(), optax.sgd(0.5)),
        "a function": lambda: optax.chain(private(), optax.sgd(0.5)),
    }[form]
    optimizer = optimizer if form == "a function" else optimizer()
    expected = run(examples, "dpsgd(0.5, l2_norm_clip=3.0, noise_multiplier=0.0)", 2)
    ours = run(examples, optimizer, 2)
    for name, value in expected.params.items():
        np.testing.assert_allclose(ours.params[name], value, rtol=1e-6)


def test_a_dpsgd_that_would_not_get_examples_is_refused(examples, parabola):
    private = optax.contrib.differentially_private_aggregate(
        1.0, 0.1, jax.random.key(0)
    )
    late = optax.chain(optax.clip(1.0), private, optax.sgd(0.1))
    first = optax.chain(private, optax.sgd(0.1))
    for optimizer in (late, optax.MultiSteps(first, 2)):
        with pytest.raises(Refusal, match="not as its first step"):
            gradjax.program(examples, optimizer, num_steps=1)
    with pytest.raises(Refusal, match="this problem has no data"):
        gradjax.program(parabola, first, num_steps=1)


def test_a_random_key_in_a_finished_state_is_stored_plainly(parabola):
    noisy = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(0)), optax.sgd(0.1))
    leaves = jax.tree.leaves(run(parabola, noisy, 2).state)
    assert not any(jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in leaves)
