"""What every registered optimizer keeps to, whatever library it comes from.

One program an optimizer, shared by the tests: its rate, its warmup and the end of its
schedule are traced, so that the tests differ in numbers only.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import optimizers
from gradjax import step as steps
from gradjax.errors import Refusal
from gradjax.optimizers import OPTIMIZERS

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
_USUAL = ("adam", "lion", "momo", "polyak_sgd", "prodigy", "schedule_free_adamw", "sgd")


PER_EXAMPLE = [n for n, entry in OPTIMIZERS.items() if entry.gradient != "batch"]


def parameters(is_slow):
    slow = pytest.mark.slow
    return [
        pytest.param(name, marks=slow) if is_slow(name) else name for name in OPTIMIZERS
    ]


EVERY = parameters(lambda name: name in _SLOW)
THE_USUAL_FIRST = parameters(lambda name: name not in _USUAL)


@pytest.fixture(scope="module")
def program_of(quadratic, examples):
    """name -> (its program, a list that grows when the loss is traced), made once."""
    made = {}

    def program(name):
        if name not in made:
            traces, problem = [], examples if name in PER_EXAMPLE else quadratic

            def loss(*args):
                traces.append(None)
                return problem.loss(*args)

            counting = problem._replace(loss=loss)
            text = f"{name}({ARGUMENTS.get(name, '')})"
            made[name] = (
                gradjax.program(counting, text, SCHEDULE, num_steps=NUM_STEPS),
                traces,
            )
        return made[name]

    return program


def rates_of(name, program, factor=1.0):
    """{path: rate} for the rate at which it halves, {} where it has none."""
    rate = HALVES.get(name, (30, 0.1))[1] or (OPTIMIZERS[name].rate or (0, 0))[1]
    return dict.fromkeys(program.plan.optimizer.rates, factor * rate)


def test_the_table_names_optimizers():
    assert set(HALVES) <= set(OPTIMIZERS)


@pytest.mark.parametrize("name", EVERY)
def test_halves_the_loss_of_a_quadratic(name, program_of, quadratic):
    program, _ = program_of(name)
    result = gradjax.run(program, rates_of(name, program))
    losses = result.trace["loss"].values
    last = float(quadratic.loss(result.params)[0])
    within = HALVES.get(name, (30, 0.1))[0]
    assert result.status == "finished"
    np.testing.assert_allclose(losses[0], quadratic.loss(quadratic.init(None))[0], 1e-6)
    assert [*losses, last][within] < 0.5 * losses[0]
    per_step = OPTIMIZERS[name].num_gradients
    counted = NUM_STEPS * per_step if per_step == 1 else result.trace["num_gradients"]
    assert result.num_gradients == (counted if per_step == 1 else counted.values.sum())


@pytest.mark.parametrize("name", EVERY)
def test_compiles_once_and_reports_its_scheduled_rate(name, program_of):
    program, traces = program_of(name)
    gradjax.run(program)
    before = len(traces)
    slow = rates_of(name, program, factor=0.01)
    result = gradjax.run(program, slow | {"schedule.end": 0.25})
    assert before > 0 and len(traces) == before
    seen = result.trace["learning_rate"].values
    if OPTIMIZERS[name].rate is None:
        assert np.isnan(seen).all()
        return
    shape = 1 - 0.75 * np.arange(NUM_STEPS) / NUM_STEPS
    (rate,) = slow.values()
    np.testing.assert_allclose(seen, rate * shape, rtol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_a_warmup_from_zero_leaves_it_finite(name, program_of, request):
    if name in ("dadapt_adamw", "prodigy"):
        reason = f"optax.contrib.{name} divides 0 by 0 where the rate is 0"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    program, _ = program_of(name)
    hparams = rates_of(name, program, factor=0.1) | {"schedule.warmup": 0.2}
    assert np.isfinite(gradjax.run(program, hparams).trace["loss"].values).all()


def batch_of(program):
    data = program.plan.problem.data
    return None if data is None else data.train.arrays


@pytest.mark.parametrize("name", EVERY)
def test_keeps_structure_shapes_and_dtypes(name, program_of):
    program, _ = program_of(name)
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


@pytest.mark.parametrize("name", THE_USUAL_FIRST)
def test_mapped_over_rates_it_is_itself(name, program_of):
    program, _ = program_of(name)
    numbers = program.hparams | rates_of(name, program)
    base = {path: jnp.float32(value) for path, value in numbers.items()}
    zero = jnp.uint32(0)

    def losses(factor):
        rates = {path: base[path] * factor for path in program.plan.optimizer.rates}
        hparams = base | rates
        state = program.init(hparams, zero)
        data = batch_of(program)
        args = (program.plan, NUM_STEPS, state, hparams, zero, zero, data)
        state, info = steps.block(*args)
        return info.loss[:20], state.params

    factors = (0.25, 1.0, 0.5)
    mapped, _ = jax.jit(jax.vmap(losses))(jnp.asarray(factors))
    for lane, factor in enumerate(factors):
        alone = gradjax.run(program, rates_of(name, program, factor)).trace["loss"]
        np.testing.assert_allclose(
            mapped[lane], alone.values[:20], rtol=1e-5, atol=1e-5
        )
    if name not in NOT_MOVED_BY_ITS_RATE:
        assert not np.allclose(mapped[0], mapped[1], rtol=1e-4)


def defaults_of(entry):
    """Every argument whose default is a number: what an expression may write out."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(entry.make).parameters.items()
        if type(parameter.default) in (int, float)
    }


@pytest.mark.parametrize("name", THE_USUAL_FIRST)
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
    text = ", ".join([*needed, *(f"{key}={value!r}" for key, value in given.items())])
    written = gradjax.program(
        plain.plan.problem, f"{name}({text})", SCHEDULE, num_steps=NUM_STEPS
    )
    traced = written.hparams.keys() - plain.hparams.keys()
    assert traced == {f"optimizer.{key}" for key in given.keys() - set(entry.static)}
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


@pytest.mark.parametrize("name", EVERY)
def test_it_descends_at_its_default_rate(name, program_of):
    program, _ = program_of(name)
    losses = gradjax.run(program).trace["loss"].values
    assert losses[-1] < losses[0]
    if OPTIMIZERS[name].rate:
        assert program.hparams[optimizers.RATE] == OPTIMIZERS[name].rate[1]
