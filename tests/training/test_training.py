import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Problem, Refusal, Splits
from gradjax.data import arrays
from gradjax.data.order import order
from gradjax.derivatives import scan
from gradjax.training import blocks, evaluation, loop
from gradjax.training.numbers import checked_hparams

EXAMPLES = 23  # no batch size divides it


def problem_of(loss, start=1.0, **kwargs):
    """A problem over one f32[] or f32[n]; loss(params, batch, key) -> f32[]."""
    params = jnp.asarray(start, jnp.float32)
    return Problem(lambda _: params, lambda *args: (loss(*args), {}), **kwargs)


def source_of(num_examples, seed=0):
    rng = np.random.default_rng(seed)
    return arrays.source(
        {
            "index": np.arange(num_examples, dtype=np.int32),
            "x": rng.normal(size=(num_examples, 3)).astype(np.float32),
        }
    )


@pytest.fixture
def parabola():
    return problem_of(lambda params, *_: 0.5 * params**2)


@pytest.fixture
def regression():
    """Means of 0.5 |params - x|^2, with all three splits and noise from the key."""

    def loss(params, batch, key):
        noise = 0.01 * jax.random.normal(key, params.shape)
        errors = 0.5 * jnp.square((params + noise)[None] - batch["x"]).sum(axis=-1)
        return errors.mean(), {"first": batch["index"][0].astype(jnp.float32)}

    def metrics(params, batch, _key):
        errors = jnp.square(params[None] - batch["x"]).sum(axis=-1)
        count = jnp.float32(len(errors))
        return {"error": (errors.sum(), count), "index": (batch["index"].sum(), count)}

    def init(key):
        return jax.random.normal(key, (3,))

    splits = Splits(source_of(EXAMPLES), source_of(7, seed=1), source_of(11, seed=2))
    return Problem(init, loss, metrics, splits)


def lanes(program, num_steps):
    """The program mapped over trials: (hparams, seeds) -> (state, info)."""
    plan = program.plan

    def trial(numbers, seed):
        state = program.init(numbers, seed)
        data = None if plan.problem.data is None else plan.problem.data.train.arrays
        args = (state, (numbers, seed), jnp.uint32(0), data)
        return scan.scan(plan, num_steps, *args)

    return jax.jit(jax.vmap(trial))


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_gradient_descent_is_its_closed_form(parabola):
    program = gradjax.program(parabola, "sgd", num_steps=30)
    result = gradjax.run(program, {"learning_rate": 0.1})
    expected = 0.5 * 0.9 ** (2 * np.arange(30))
    np.testing.assert_allclose(result.trace["loss"].values, expected, rtol=1e-5)
    np.testing.assert_allclose(result.params, 0.9**30, rtol=1e-5)
    assert result.trace["loss"].steps.tolist() == list(range(1, 31))
    assert (result.status, result.diverged_step) == ("finished", None)
    assert (result.num_steps, result.num_gradients) == (30, 30)
    (last,) = result.evaluation["train"].values()
    assert last == pytest.approx(0.5 * 0.9**60, rel=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "warmup_cosine(warmup=10)"])
def test_a_schedule_reaches_the_step(schedule, parabola):
    program = gradjax.program(parabola, "sgd", schedule, num_steps=40)
    result = gradjax.run(program, {"learning_rate": 0.2})
    t = np.arange(40) / 40
    shape = {
        "cosine": (1 + np.cos(np.pi * t)) / 2,
        "linear": 1 - t,
        "warmup_cosine(warmup=10)": np.where(
            t < 0.25, 4 * t, (1 + np.cos(np.pi * (t - 0.25) / 0.75)) / 2
        ),
    }[schedule]
    rates = result.trace["learning_rate"].values
    np.testing.assert_allclose(rates, 0.2 * shape, atol=1e-7)
    np.testing.assert_allclose(result.params, np.prod(1 - 0.2 * shape), rtol=1e-5)


def test_hparams_override_without_a_recompile():
    traces = []

    def loss(params, *_):
        traces.append(None)
        return 0.5 * params**2

    program = gradjax.program(
        problem_of(loss), "sgd(momentum=0.0)", "cosine(end=1.0)", num_steps=5
    )
    names = {"learning_rate", "optimizer.momentum", "schedule.end"}
    assert set(program.hparams) == names
    first, count = gradjax.run(program), len(traces)
    faster = gradjax.run(program, {"learning_rate": 0.2})
    heavier = gradjax.run(program, {"optimizer.momentum": 0.9})
    shorter = gradjax.run(program, {"schedule.end": 0.0})
    again = gradjax.run(program)
    assert len(traces) == count
    np.testing.assert_allclose(faster.params, 0.8**5, rtol=1e-5)
    found = {float(r.params) for r in (first, faster, heavier, shorter)}
    assert len(found) == 4
    assert_same_bits(first.trace, again.trace)
    assert program.hparams["learning_rate"] == 0.1


def test_divergence_has_its_step_and_stops_at_an_evaluation():
    problem = problem_of(lambda params, *_: params**4, start=2.0)
    program = gradjax.program(problem, "sgd", num_steps=60, eval_every=20)
    result = gradjax.run(program, {"learning_rate": 1.0})
    losses = result.trace["loss"].values
    first = int(np.flatnonzero(~np.isfinite(losses))[0])
    assert result.status == "diverged"
    assert result.diverged_step == result.trace["loss"].steps[first] == first + 1
    assert 1 < result.diverged_step < 20
    assert result.num_steps == result.diverged_step
    assert len(losses) == 60 and np.isnan(losses[first + 1 :]).all()
    assert not result.state.alive
    # x - 4 x^3 from 2: its step, by hand
    x = np.float32(2.0)
    with np.errstate(all="ignore"):
        for step in range(1, 20):  # noqa: B007
            if not np.isfinite(np.square(np.square(x))):
                break
            x = x - 4 * x * x * x
    assert step == result.diverged_step


def test_a_diverged_lane_is_frozen_at_its_last_finite_loss():
    problem = problem_of(
        lambda params, *_: jnp.where(params < 0.5, jnp.nan, params), start=1.0
    )
    program = gradjax.program(problem, "sgd", num_steps=10)
    result = gradjax.run(program, {"learning_rate": 0.125})
    assert result.diverged_step == 6  # 1, 7/8, ..., 4/8 are finite, 3/8 is not
    assert result.params == 0.375


def test_a_lane_that_diverged_stays_frozen_when_its_loss_is_finite_again():
    """One bad example: the steps after it have a finite loss and must not count."""
    bad = order(1, 0, np.array([9], np.uint32), EXAMPLES)[0]  # the tenth that is seen
    problem = problem_of(
        lambda params, batch, _: jnp.where(batch["index"][0] == bad, jnp.nan, params),
        data=Splits(source_of(EXAMPLES)),
    )
    program = gradjax.program(problem, "sgd", num_steps=EXAMPLES, batch_size=1)
    result = gradjax.run(program, {"learning_rate": 0.125}, seed=1)
    assert result.diverged_step == 10
    losses = result.trace["loss"].values
    assert np.isfinite(losses).sum() == result.diverged_step - 1
    assert not result.state.alive
    assert result.params == 1 - 0.125 * (result.diverged_step - 1)


@pytest.mark.filterwarnings("ignore:nothing was learned")
def test_every_step_has_a_key_of_its_own():
    problem = problem_of(lambda params, _, key: params + jax.random.uniform(key))
    program = gradjax.program(problem, "sgd(0.0)", num_steps=20)
    one, other = (gradjax.run(program, seed=k).trace["loss"].values for k in (0, 1))
    assert len({*one.tolist(), *other.tolist()}) == 40


def test_parameters_that_the_last_step_breaks_count_as_diverged():
    # The loss at 0 is finite and its gradient is not: only the update shows it.
    problem = problem_of(lambda params, *_: jnp.sqrt(jnp.abs(params)), start=0.0)
    result = gradjax.run(gradjax.program(problem, "sgd", num_steps=1))
    assert np.isfinite(result.trace["loss"].values).all()
    assert not np.isfinite(result.params)
    assert (result.status, result.diverged_step) == ("diverged", 1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "schedule_free_adamw"])
@pytest.mark.slow
def test_a_diverging_lane_leaves_its_neighbour_alone(optimizer, regression):
    """Rows 1 and 4: beside NaN a lane has the bits it has beside a sound one."""
    program = gradjax.program(regression, optimizer, num_steps=30, batch_size=4)

    mapped = lanes(program, 30)

    def beside(rate):
        hparams = {"learning_rate": jnp.asarray([0.05, rate], jnp.float32)}
        return mapped(hparams, jnp.asarray([3, 4], jnp.uint32))

    sound, broken = beside(0.01), beside(np.nan)
    assert np.isfinite(sound[1].loss).all()
    assert not np.isfinite(broken[1].loss[1, 1:]).any()
    assert broken[0].alive.tolist() == [True, False]
    assert_same_bits(*(jax.tree.map(lambda x: x[0], both) for both in (sound, broken)))


def test_an_infinite_loss_is_not_finished():
    problem = problem_of(lambda params, *_: jnp.exp(params), start=200.0)
    result = gradjax.run(gradjax.program(problem, "sgd", num_steps=3))
    assert (result.status, result.diverged_step) == ("diverged", 1)
    assert result.params == 200.0


@pytest.mark.slow
def test_same_seed_same_bits_and_another_seed_others(regression):
    program = gradjax.program(
        regression, "adam", num_steps=20, batch_size=5, eval_every=5
    )
    one, same, other = (gradjax.run(program, seed=seed) for seed in (7, 7, 8))
    assert_same_bits((one.params, one.trace), (same.params, same.trace))
    assert one.evaluation == same.evaluation
    for name in ("loss", "first", "validation_error"):
        assert (one.trace[name].values != other.trace[name].values).any()


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (3, 2), (7, 5)])
@pytest.mark.slow
def test_block_length_does_not_change_the_bits(
    limit, expected, regression, monkeypatch
):
    def result(limit):
        monkeypatch.setattr(blocks, "MAX_BLOCK_STEPS", limit)
        program = gradjax.program(regression, "adam", num_steps=20, batch_size=5)
        run = gradjax.run(program)
        return program.plan.block_steps, (run.state, run.trace, run.evaluation)

    length, whole = result(1_000)
    assert length == 20
    length, parts = result(limit)
    assert length == expected
    assert_same_bits(whole, parts)


@pytest.mark.slow
def test_evaluations_do_not_change_the_bits(regression):
    def result(eval_every):
        program = gradjax.program(
            regression, "adam", num_steps=20, batch_size=5, eval_every=eval_every
        )
        return gradjax.run(program)

    rare, often = result(None), result(3)
    assert_same_bits(rare.state, often.state)
    assert_same_bits(rare.trace["loss"], often.trace["loss"])
    assert often.trace["validation_error"].steps.tolist() == [3, 6, 9, 12, 15, 18, 20]
    assert rare.trace["validation_error"].steps.tolist() == [20]
    last = often.trace["validation_error"].values[-1]
    assert last == np.float32(often.evaluation["validation"]["error"])


@pytest.mark.parametrize(
    ("interval", "expected"),
    [(1, 1), (99, 99), (100, 100), (101, 101), (200, 100), (1_719, 191), (9_375, 75)],
)
def test_block_length_divides_the_interval(interval, expected):
    assert blocks.block_length(interval) == expected


@pytest.mark.parametrize(
    ("num_steps", "eval_every"), [(1, 1), (7, 3), (250, 120), (9, 9)]
)
def test_blocks_cover_the_run_once_and_stop_at_evaluations(
    num_steps, eval_every, parabola
):
    plan = gradjax.program(
        parabola, "sgd", num_steps=num_steps, eval_every=eval_every
    ).plan
    assert plan.eval_every % plan.block_steps == 0
    count = blocks.num_blocks(plan)
    assert (count - 1) * plan.block_steps < num_steps <= count * plan.block_steps


def test_donation_works_where_the_state_holds_one_array_twice(parabola):
    """Prodigy keeps the initial parameters; an aliased buffer cannot be donated."""
    program = gradjax.program(parabola, "prodigy", num_steps=40, eval_every=10)
    result = gradjax.run(program)
    start = optax.tree_utils.tree_get(result.state.opt_state, "params0")
    assert start == 1.0 and result.params < 1.0


@pytest.mark.parametrize(
    "batch_size",
    [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4, 22)), 5, 23],
)
def test_every_example_is_seen_once_an_epoch(batch_size):
    problem = problem_of(
        lambda params, batch, _: params * batch["x"].sum(),
        data=Splits(source_of(EXAMPLES)),
    )
    plan = gradjax.program(problem, "sgd", num_steps=99, batch_size=batch_size).plan
    num_steps = -(-3 * EXAMPLES // batch_size)
    indices = jax.jit(lambda *args: loop.batch_indices(plan, *args, num_steps))
    seen = indices(np.uint32(5), np.uint32(0))
    assert seen.shape == (num_steps, batch_size)
    epochs = np.asarray(seen).reshape(-1)[: 3 * EXAMPLES].reshape(3, EXAMPLES)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(EXAMPLES))
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
    later = indices(np.uint32(5), np.uint32(2))
    np.testing.assert_array_equal(later[:-2], seen[2:])
    other = indices(np.uint32(6), np.uint32(0))
    assert (np.asarray(other) != np.asarray(seen)).any()


@pytest.mark.parametrize("start", [0, 2**29 - 3, 2**30 - 3, 2**31 - 8])
def test_a_run_continues_past_2_to_the_32_examples(start, regression):
    """Below, the batches are those of 32-bit numbers; past it, those of Python's."""
    size, count = 8, 7
    program = gradjax.program(regression, "sgd", num_steps=2**31 - 1, batch_size=size)
    indices = jax.jit(
        jax.vmap(  # over seeds, as in lanes
            lambda seed, start: loop.batch_indices(program.plan, seed, start, count),
            in_axes=(0, None),
        )
    )
    found = indices(jnp.arange(2, dtype=jnp.uint32), jnp.uint32(start))
    places = [divmod(start * size + j, EXAMPLES) for j in range(count * size)]
    epoch, position = np.asarray(places, np.uint32).T
    for seed in (0, 1):
        expected = order(seed, epoch, position, EXAMPLES)
        np.testing.assert_array_equal(found[seed].reshape(-1), expected)


def test_more_examples_than_an_order_has_are_refused(regression):
    data = regression.data
    many = data._replace(train=data.train._replace(num_examples=2**31 + 1))
    with pytest.raises(Refusal, match=r"2147483649 .* expected at most 2\*\*31"):
        gradjax.program(regression._replace(data=many), num_steps=5, batch_size=1)


@pytest.mark.slow
def test_the_step_gets_the_batch_the_order_says(regression):
    program = gradjax.program(regression, "sgd", num_steps=12, batch_size=5)
    first = gradjax.run(program, seed=9).trace["first"].values
    start = np.uint32(0)
    indices = jax.jit(lambda seed: loop.batch_indices(program.plan, seed, start, 12))(
        np.uint32(9)
    )
    np.testing.assert_array_equal(first, indices[:, 0])


@pytest.mark.filterwarnings("ignore:nothing was learned")
def test_without_a_batch_size_every_step_sees_everything():
    problem = problem_of(
        lambda params, batch, _: params + batch["index"].sum(),
        data=Splits(source_of(EXAMPLES)),
    )
    program = gradjax.program(problem, "sgd(0.0)", num_steps=3)
    assert program.plan.batch_size == EXAMPLES
    losses = gradjax.run(program).trace["loss"].values
    assert losses.tolist() == [1 + EXAMPLES * (EXAMPLES - 1) / 2] * 3


@pytest.mark.parametrize("num_examples", [1, 7, 8, 20])
@pytest.mark.parametrize("with_metrics", [True, False])
def test_evaluation_is_exact_at_every_size(
    num_examples, with_metrics, regression, monkeypatch
):
    """Row 31: a short last batch loses no example and counts none twice."""
    monkeypatch.setattr(evaluation, "_CPU_BATCH", 7)
    monkeypatch.setattr(evaluation, "_BATCH", 7)
    source, params = source_of(num_examples), jnp.asarray([0.5, -1.0, 2.0])
    squares = np.square(np.asarray(params)[None] - source.arrays["x"]).sum(axis=-1)

    def loss(params, batch, _key):
        return jnp.square(params[None] - batch["x"]).sum(axis=-1).mean(), {}

    metrics = regression.metrics if with_metrics else None
    problem = regression._replace(loss=loss, metrics=metrics)
    found = jax.jit(
        lambda params, data: evaluation.evaluate(problem, params, source, data)
    )(params, source.arrays)
    name = "error" if with_metrics else "loss"
    np.testing.assert_allclose(found[name], squares.mean(), rtol=1e-6)
    if with_metrics:
        assert found["index"] == pytest.approx((num_examples - 1) / 2)


@pytest.mark.slow
def test_a_result_holds_every_split(regression):
    program = gradjax.program(regression, "sgd", num_steps=5, batch_size=4)
    seen = []
    result = gradjax.run(program, on_segment=lambda *args: seen.append(args))
    assert result.evaluation.keys() == {"train", "validation", "test"}
    for split, measured in result.evaluation.items():
        x = getattr(regression.data, split).arrays["x"]
        errors = np.square(result.params[None] - x).sum(axis=-1)
        assert measured["error"] == pytest.approx(errors.mean(), rel=1e-5)
    intervals = [interval for _, interval in seen]
    assert intervals == [(0, 1)]  # one block
    assert result.trace.keys() == {
        "loss",
        "learning_rate",
        "first",
        "validation_error",
        "validation_index",
    }


@pytest.mark.slow
def test_initial_parameters_do_not_depend_on_the_optimizer(regression):
    found = []
    for name in ("sgd", "adam", "prodigy"):
        program = gradjax.program(regression, name, num_steps=2, batch_size=4)
        numbers = checked_hparams(program, {})
        found.append(jax.jit(program.init)(numbers, np.uint32(3)).params)
    assert_same_bits(found[0], found[1])
    assert_same_bits(found[0], found[2])


def test_a_run_can_be_differentiated(parabola):
    program = gradjax.program(parabola, "sgd", "constant", num_steps=10)

    def final(rate):
        hparams, zero = {"learning_rate": rate}, jnp.uint32(0)
        state = program.init(hparams, zero)
        state, _ = scan.scan(program.plan, 10, state, (hparams, zero), zero, None)
        return state.params

    slope = jax.grad(final)(jnp.float32(0.1))
    np.testing.assert_allclose(slope, -10 * 0.9**9, rtol=1e-5)


@pytest.mark.slow
def test_lbfgs_solves_rosenbrock():
    def rosenbrock(params, *_):
        return 100.0 * (params[1] - params[0] ** 2) ** 2 + (1.0 - params[0]) ** 2

    problem = problem_of(rosenbrock, start=[-1.2, 1.0])
    result = gradjax.run(gradjax.program(problem, "lbfgs", num_steps=60))
    assert result.trace["loss"].values.min() < 1e-6
    np.testing.assert_allclose(result.params, [1.0, 1.0], atol=1e-3)


PROGRAM_REFUSED = [
    ({"num_steps": 0}, "num_steps=0: must be a positive whole number"),
    ({"num_steps": -5}, "num_steps=-5: must"),
    ({"num_steps": 2.0}, "num_steps=2.0: must"),
    ({"num_steps": True}, "num_steps=True: must"),
    ({"num_steps": "9"}, "num_steps='9': must"),
    ({"num_steps": 5, "eval_every": 0}, "eval_every=0: must"),
    ({"num_steps": 5, "eval_every": -1}, "eval_every=-1: must"),
    ({"num_steps": 5, "batch_size": 0}, "batch_size=0: must be between 1 and the 23"),
    ({"num_steps": 5, "batch_size": 24}, "batch_size=24: must be between 1 and the 23"),
    ({"num_steps": 5, "batch_size": 2.0}, "batch_size=2.0: must"),
    ({"num_steps": 5, "batch_size": True}, "batch_size=True: must"),
    ({"num_steps": 5, "schedule": "warmup_cosine(warmup=6)"}, "the run has 5"),
    ({"num_steps": 5, "schedule": "step(at=(3, 2))"}, "not sorted"),
    ({"num_steps": 5, "optimizer": "adma"}, "unknown optimizer 'adma'"),
]


@pytest.mark.parametrize(("arguments", "line"), PROGRAM_REFUSED)
def test_a_program_is_refused_in_one_line(arguments, line, regression):
    with pytest.raises(Refusal) as refused:
        gradjax.program(regression, **arguments)
    assert line in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_batch_size_without_data_is_refused(parabola):
    with pytest.raises(Refusal, match="batch_size=3: this problem has no data"):
        gradjax.program(parabola, num_steps=5, batch_size=3)


RUN_REFUSED = [
    ({"lr": 0.1}, "unknown hyperparameter 'lr'"),
    ({"learning_rat": 0.1}, "did you mean 'learning_rate'"),
    ({"b1": 0.5}, "unknown hyperparameter 'b1'; did you mean 'optimizer.b1'?"),
    ({"b2": 0.5}, "writes out the argument makes it one: adam(b2=...) has"),
    ({"learning_rate": -0.1}, "learning_rate=-0.1: must be at least 0"),
    ({"learning_rate": float("nan")}, "learning_rate=nan: expected a finite number"),
    ({"learning_rate": float("inf")}, "learning_rate=inf: expected a finite number"),
    ({"learning_rate": 1e300}, "expected a finite number that a float32 holds"),
    ({"learning_rate": "0.1"}, "learning_rate='0.1': expected a number"),
    ({"learning_rate": None}, "learning_rate=None: expected a number"),
    ({"learning_rate": True}, "learning_rate=True: expected a number"),
    ({"learning_rate": np.ones(2)}, "expected a number"),
    ({"optimizer.b1": 1.0}, "optimizer.b1=1.0: must be at least 0 and below 1"),
    ({"schedule.warmup": 1.5}, "schedule.warmup=1.5: expected a part of the run"),
    ({"schedule.warmup": 3}, "schedule.warmup=3: expected a part of the run"),
    ({"schedule.warmup": 0.9}, "is more than the run"),
    ({"schedule.end": -0.5}, "schedule.end=-0.5: expected a part of the run"),
]


@pytest.mark.parametrize(("hparams", "line"), RUN_REFUSED)
def test_numbers_are_refused_in_one_line(hparams, line, parabola):
    program = gradjax.program(
        parabola, "adam(b1=0.9)", "wsd(warmup=0.1, decay=0.2)", num_steps=5
    )
    with pytest.raises(Refusal) as refused:
        gradjax.run(program, hparams)
    assert line in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_schedules_own_bounds_are_not_the_optimizers(parabola):
    """`decay` of rmsprop is below 1; of wsd it may be the whole run."""
    program = gradjax.program(parabola, "sgd", "wsd(warmup=0, decay=1.0)", num_steps=10)
    shape = gradjax.run(program).trace["learning_rate"].values / 0.1
    np.testing.assert_allclose(shape, 1 - np.arange(10) / 10, rtol=1e-5)


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True, 2**32, float("nan")])
def test_seeds_are_refused_in_one_line(seed, parabola):
    program = gradjax.program(parabola, num_steps=1)
    with pytest.raises(Refusal, match=r"^seed=.*whole number from 0 to 4294967295$"):
        gradjax.run(program, seed=seed)


@pytest.mark.slow
def test_seeds_at_their_bounds(regression):
    program = gradjax.program(regression, num_steps=1, batch_size=2)
    ends = [gradjax.run(program, seed=seed).params for seed in (0, 2**32 - 1)]
    assert (ends[0] != ends[1]).all()
    assert_same_bits(gradjax.run(program, seed=np.int64(0)).params, ends[0])


@pytest.mark.filterwarnings("ignore:nothing was learned")
def test_number_types_that_are_numbers(parabola):
    program = gradjax.program(parabola, "sgd", num_steps=2)
    expected = gradjax.run(program, {"learning_rate": 0.5}).params
    for rate in (np.float32(0.5), np.float64(0.5), jnp.float32(0.5), np.asarray(0.5)):
        assert gradjax.run(program, {"learning_rate": rate}).params == expected
    assert gradjax.run(program, {"learning_rate": 0}).params == 1.0


def test_traces_of_a_run_stay_on_the_device_until_an_evaluation(parabola, monkeypatch):
    """STYLE 12: nothing is pulled to the host per step; one transfer per evaluation."""
    monkeypatch.setattr(blocks, "MAX_BLOCK_STEPS", 2)
    pulled = []
    get = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda x: pulled.append(None) or get(x))
    gradjax.run(gradjax.program(parabola, "sgd", num_steps=24, eval_every=12))
    few = len(pulled)
    gradjax.run(gradjax.program(parabola, "sgd", num_steps=240, eval_every=12))
    assert len(pulled) - few == few <= 5, "no more for ten times the steps"


LOSSES = {
    "no aux": (lambda x, *_: x**2, r"float32\[\]: expected \(loss f32\[\], aux\)"),
    "no scalar": (lambda x, *_: (x * jnp.ones(3), {}), r"\(float32\[3\], dict\)"),
    "aux of another shape": (lambda x, *_: (x, {"all": jnp.ones(3)}), r"aux\['all'\]"),
    "a whole number": (lambda *_: (jnp.int32(1), {}), r"\(int32\[\], dict\)"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_none_is_refused_before_it_is_compiled(name):
    loss, line = LOSSES[name]
    with pytest.raises(Refusal, match=line) as refused:
        gradjax.program(gradjax.problem(loss, 3.0), "sgd", num_steps=2)
    assert "\n" not in str(refused.value)


def test_parameters_may_be_plain_floats_and_not_whole_numbers():
    def loss(params, _batch, _key):
        return params["x"] ** 2, {}

    program = gradjax.program(gradjax.problem(loss, {"x": 1.0}), "sgd", num_steps=1)
    assert gradjax.run(program).params["x"] == np.float32(0.8)
    with pytest.raises(Refusal, match=r"^params\['x'\] is int32"):
        gradjax.program(gradjax.problem(loss, {"x": 1}), "sgd", num_steps=1)
