"""What every registered optimizer keeps to, whatever library it comes from.

On a tree of a matrix and a vector, and on a rotated quadratic or Rosenbrock's valley.
The quick set is the tree; the other two are slow. One program an
optimizer and problem, shared by the tests: its rate, its warmup and the end of its
schedule are traced, so that the tests differ in numbers only.
"""

import inspect
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Splits, optimizers, problems
from gradjax.data import arrays
from gradjax.errors import Refusal
from gradjax.optimizers import OPTIMIZERS
from gradjax.trials import batches, lanes

NUM_STEPS = 30
SCHEDULE = "warmup_linear(warmup=0, end=0.5)"
# name -> (steps, rate) within which the loss halves. Not here: 30 steps at 0.1; a rate
# of None is the entry's default.
HALVES = {
    "adadelta": (30, 30.0),  # its steps begin at sqrt(eps)
    "cocob": (30, None),
    "dadapt_adamw": (30, 3.0),
    "dog": (30, 5.0),
    "dowg": (30, None),
    "lars": (30, 100.0),  # a step is 0.001 of the norm of the layer
    "lbfgs": (3, None),
    "momo": (4, None),
    "momo_adam": (30, 0.1),
    "polyak_sgd": (4, None),
    "prodigy": (30, 10.0),  # it finds its own rate first
    "sgd": (10, None),
    "simplified_ademamix": (20, 0.003),  # its momentum is a sum, not a mean
}
# Arguments whose default in optax is out of the bounds of their name.
OWN_DEFAULT_REFUSED = {
    ("lars", "eps"),
    ("optimistic_adam_v2", "beta"),
    ("optimistic_gradient_descent", "beta"),
    ("polyak_sgd", "eps"),
}
# Their rate is an upper bound, or scales gradients whose scale does not matter.
NOT_MOVED_BY_ITS_RATE = ("cocob", "lbfgs", "momo", "momo_adam", "polyak_sgd")
# What an expression must say beside the name.
ARGUMENTS = {"dpsgd": "l2_norm_clip=10.0, noise_multiplier=0.001"}
_SLOW = ("galore", "kron", "lbfgs", "muon", "soap", "sophia")  # to compile
_USUAL = ("adam", "polyak_sgd", "schedule_free_adamw", "sgd")


PER_EXAMPLE = [n for n, entry in OPTIMIZERS.items() if entry.gradient != "batch"]
PROBLEMS = ("tree", "quadratic(condition=10)", "rosenbrock")
# Of the table's rate: the curvature at Rosenbrock's start is 1,500, the tree's 2.
FACTORS = {"rosenbrock": 1e-3}
FINDS_ITS_SCALE = ("dadapt_adamw", "dog", "prodigy")  # a small factor stands still
# In a direction that no gradient has yet had, SOAP divides noise by noise at eps 1e-8.
NOISE_BY_NOISE = {"soap": {"eps": 1e-2}}


def parameters(is_slow, pairs):
    return [
        pytest.param(
            name, kind, marks=[pytest.mark.slow] * (is_slow(name) or kind != "tree")
        )
        for name, kind in pairs
    ]


def names(is_slow):
    return [
        pytest.param(name, marks=[pytest.mark.slow] * is_slow(name))
        for name in OPTIMIZERS
    ]


# Each optimizer on the tree and on one of the others, in turn; COMPLETE=1 tries all.
PAIRS = [
    (name, kind)
    for k, name in enumerate(OPTIMIZERS)
    for j, kind in enumerate(PROBLEMS)
    if j == 0 or j == 1 + k % 2 or os.environ.get("COMPLETE")
]
MATRIX = parameters(lambda name: name in _SLOW, PAIRS)
# Mapping does not depend on the loss, so one problem is enough for each.
IN_TURN = parameters(
    lambda name: name not in _USUAL,
    [
        (name, PROBLEMS[0 if name in _USUAL or k % 3 == 0 else 1 + k % 2])
        for k, name in enumerate(OPTIMIZERS)
    ],
)
EVERY = names(lambda name: name in _SLOW)
THE_USUAL_FIRST = names(lambda name: name not in _USUAL)


def schedule_of(expression):
    """Without a learning rate there is none to schedule."""
    has_rate = OPTIMIZERS[expression.partition("(")[0]].rate is not None
    return SCHEDULE if has_rate else "constant"


def with_examples(problem):
    """The same problem as a mean over four examples."""

    def loss(params, _batch, key):
        return problem.loss(params, None, key)

    splits = Splits(arrays.source({"nothing": np.zeros((4, 1), np.float32)}))
    return problem._replace(loss=loss, data=splits)


@pytest.fixture(scope="module")
def problem_of(quadratic, examples):
    """(optimizer, kind) -> the problem, with data where it takes them."""

    def problem(name, kind):
        if kind == "tree":
            return examples if name in PER_EXAMPLE else quadratic
        made = problems.make(kind)
        return with_examples(made) if name in PER_EXAMPLE else made

    return problem


@pytest.fixture(scope="module")
def program_of(problem_of):
    """name -> (its program, a list that grows when the loss is traced), made once.

    The tests of a program follow each other, and then it is forgotten.
    """
    made = {}

    def program(name, kind="tree"):
        if (name, kind) not in made:
            if len(made) == 4:
                made.pop(next(iter(made)))
            traces, problem = [], problem_of(name, kind)

            def loss(*args):
                traces.append(None)
                return problem.loss(*args)

            counting = problem._replace(loss=loss)
            text = f"{name}({ARGUMENTS.get(name, '')})"
            made[name, kind] = (
                gradjax.program(counting, text, schedule_of(name), num_steps=NUM_STEPS),
                traces,
            )
        return made[name, kind]

    return program


def rates_of(name, program, factor=1.0, kind="tree"):
    """{path: rate} for the rate at which it halves, {} where it has none."""
    rate = HALVES.get(name, (30, 0.1))[1] or (OPTIMIZERS[name].rate or (0, 0))[1]
    by_kind = 1.0 if name in FINDS_ITS_SCALE else FACTORS.get(kind, 1.0)
    scaled = factor * by_kind * rate
    return dict.fromkeys(program.plan.optimizer.rates, scaled)


def test_the_table_names_optimizers():
    assert set(HALVES) <= set(OPTIMIZERS)


@pytest.mark.parametrize(("name", "kind"), MATRIX, scope="module")
def test_halves_the_loss_of_a_quadratic(name, kind, program_of, problem_of):
    """And descends on Rosenbrock's."""
    program, _ = program_of(name, kind)
    problem, batch = problem_of(name, kind), batch_of(program)
    result = gradjax.run(program, rates_of(name, program, kind=kind))
    losses = result.trace["loss"].values
    last = float(problem.loss(result.params, batch, jax.random.key(0))[0])
    within = HALVES.get(name, (30, 0.1))[0] if kind == "tree" else 30
    share = 1.0 if kind == "rosenbrock" else 0.5
    assert result.status == "finished"
    assert [*losses, last][within] < share * losses[0]
    per_step = OPTIMIZERS[name].num_gradients
    counted = NUM_STEPS * per_step if per_step == 1 else result.trace["num_gradients"]
    assert result.num_gradients == (counted if per_step == 1 else counted.values.sum())


@pytest.mark.filterwarnings("ignore:nothing was learned")  # where steps are tiny
@pytest.mark.parametrize(("name", "kind"), MATRIX, scope="module")
def test_compiles_once_and_reports_its_scheduled_rate(name, kind, program_of):
    program, traces = program_of(name, kind)
    gradjax.run(program)
    before = len(traces)
    slow = rates_of(name, program, 0.01, kind)
    ends = {"schedule.end": 0.25} if slow else {}
    result = gradjax.run(program, slow | ends)
    assert before > 0 and len(traces) == before
    seen = result.trace["learning_rate"].values
    if OPTIMIZERS[name].rate is None:
        assert np.isnan(seen).all()
        return
    shape = 1 - 0.75 * np.arange(NUM_STEPS) / NUM_STEPS
    (rate,) = slow.values()
    np.testing.assert_allclose(seen, rate * shape, rtol=1e-5)
    if name not in NOT_MOVED_BY_ITS_RATE:  # the rule follows it, not the trace alone
        fast = rates_of(name, program, 0.3, kind)
        ends = [gradjax.run(program, fast | {"schedule.end": e}) for e in (0.0, 1.0)]
        losses = [end.trace["loss"].values for end in ends]
        assert not np.array_equal(*losses)


@pytest.mark.parametrize("name", EVERY, scope="module")
def test_it_descends_through_a_warmup_from_zero(name, program_of):
    program, _ = program_of(name)
    rates = rates_of(name, program)
    hparams = rates | ({"schedule.warmup": 0.2} if rates else {})
    losses = gradjax.run(program, hparams).trace["loss"].values
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def batch_of(program):
    data = program.plan.problem.data
    return None if data is None else data.train.arrays


@pytest.mark.parametrize(("name", "kind"), MATRIX, scope="module")
def test_keeps_structure_shapes_and_dtypes(name, kind, program_of):
    program, _ = program_of(name, kind)
    hparams = {path: jnp.float32(value) for path, value in program.hparams.items()}
    key, i = jax.random.key(0), jnp.uint32(0)
    before = jax.eval_shape(lambda: program.init(hparams, i))
    after, info = jax.eval_shape(
        lambda state: program.step(state, batch_of(program), hparams, key, i), before
    )
    assert jax.tree.structure(after) == jax.tree.structure(before)
    described = [
        [(x.shape, x.dtype) for x in jax.tree.leaves(state)]
        for state in (before, after)
    ]
    assert described[0] == described[1]
    assert (info.loss.shape, info.loss.dtype) == ((), jnp.float32)
    assert (info.learning_rate.shape, info.learning_rate.dtype) == ((), jnp.float32)


@pytest.mark.parametrize(("name", "kind"), IN_TURN, scope="module")
def test_mapped_over_rates_it_is_itself(name, kind, program_of):
    program, _ = program_of(name, kind)
    trials = [rates_of(name, program, factor, kind) for factor in (0.25, 1.0, 0.5)]
    together = batches.run(lanes.lanes(program, 3, 1), trials, [0, 0, 0], 1)
    count = 10 if name == "lbfgs" else 20  # a line search makes rounding grow
    mapped = together.trace["loss"].values[:, :count]
    for lane, rates in enumerate(trials):
        alone = gradjax.run(program, rates).trace["loss"].values[:count]
        np.testing.assert_allclose(mapped[lane], alone, rtol=1e-5, atol=1e-5)
    if name not in NOT_MOVED_BY_ITS_RATE:
        assert not np.allclose(mapped[0], mapped[1], rtol=1e-4)


def defaults_of(entry):
    """Every argument whose default is a number: what an expression may write out."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(entry.make).parameters.items()
        if type(parameter.default) in (int, float)
    }


def arguments_of(given):
    return ", ".join(f"{key}={value!r}" for key, value in given.items())


def plain_with(program, expression):
    problem = program.plan.problem
    schedule = schedule_of(expression)
    return gradjax.program(problem, expression, schedule, num_steps=NUM_STEPS)


@pytest.mark.parametrize("name", THE_USUAL_FIRST, scope="module")
@pytest.mark.slow
def test_its_own_defaults_may_be_written_out(name, program_of):
    """Written out, a default is traced; the program must stay the same function."""
    entry = OPTIMIZERS[name]
    given = {
        argument: value
        for argument, value in defaults_of(entry).items()
        if (name, argument) not in OWN_DEFAULT_REFUSED
        and (entry.rate is None or argument != entry.rate[0])
    }
    plain, _ = program_of(name)
    needed = [ARGUMENTS[name]] if name in ARGUMENTS else []
    if changed := NOISE_BY_NOISE.get(name):
        given |= changed
        plain = plain_with(plain, f"{name}({arguments_of(changed)})")
    text = ", ".join([*needed, arguments_of(given)])
    written = plain_with(plain, f"{name}({text})")
    traced = written.hparams.keys() - plain.hparams.keys()
    new = given.keys() - set(entry.static) - (changed or {}).keys()
    assert traced == {f"optimizer.{key}" for key in new}
    results = [
        gradjax.run(p, rates_of(name, p)).trace["loss"] for p in (written, plain)
    ]
    # b2 ** t of a traced b2 is rounded otherwise than of a constant; radam shows it.
    np.testing.assert_allclose(results[0].values, results[1].values, rtol=1e-3)


@pytest.mark.parametrize(("name", "argument"), sorted(OWN_DEFAULT_REFUSED))
def test_the_list_of_refused_defaults_is_no_longer_than_it_must_be(name, argument):
    value = defaults_of(OPTIMIZERS[name])[argument]
    with pytest.raises(Refusal, match="must be"):
        optimizers.split(f"{name}({argument}={value})")


@pytest.mark.parametrize("name", EVERY, scope="module")
def test_it_descends_at_its_default_rate(name, program_of):
    program, _ = program_of(name)
    losses = gradjax.run(program).trace["loss"].values
    assert losses[-1] < losses[0]
    if OPTIMIZERS[name].rate:
        assert program.hparams[optimizers.RATE] == OPTIMIZERS[name].rate[1]
