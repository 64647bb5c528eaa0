"""Diagnostics inside of runs and sweeps: when they are measured, of what, and where."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.diagnostics.context import Context
from gradjax.types import Diagnostic


def length(tree):
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def lengths(params, grads, updates):
    return {"params": length(params), "grads": length(grads), "updates": updates["x"]}


def distance(params, memory):
    away = length(jax.tree.map(jnp.subtract, params, memory["start"]))
    return away, {"start": memory["start"], "count": memory["count"] + 1}


FROM_START = Diagnostic(
    distance,
    init=lambda params: {"start": params, "count": jnp.int32(0)},
    every=3,
)


@pytest.fixture(scope="module")
def bowl():
    """x^2 / 2 from (3, 4) at rate 0.1: step k begins at 0.9^k (3, 4)."""
    return gradjax.problem(
        lambda params, _batch, _key: ((params["x"] ** 2).sum() / 2, {}),
        {"x": jnp.array([3.0, 4.0])},
    )


def trained(problem, diagnostics, num_steps=20, **more):
    program = gradjax.program(
        problem, "sgd", num_steps=num_steps, diagnostics=diagnostics, **more
    )
    return gradjax.run(program, {"learning_rate": 0.1})


def test_each_value_is_a_curve_of_the_steps_that_are_due(bowl):
    made = [Diagnostic(lengths, every=5), Diagnostic(lengths, every=8, name="rare")]
    trace = trained(bowl, made, eval_every=6).trace
    for name, every in (("lengths", 5), ("rare", 8)):
        due = np.arange(0, 20, every)
        curve = trace[f"{name}.params"]
        assert curve.steps.tolist() == (due + 1).tolist()  # as those of the loss
        np.testing.assert_allclose(curve.values, 5 * 0.9**due, rtol=1e-5)
        np.testing.assert_allclose(
            trace[f"{name}.grads"].values, curve.values, rtol=1e-6
        )
        for k, start in enumerate((3.0, 4.0)):  # an array has a curve for each number
            found = trace[f"{name}.updates.{k}"].values
            np.testing.assert_allclose(found, -0.1 * start * 0.9**due, rtol=2e-5)


def test_each_of_many_numbers_has_its_own_curve(bowl):
    def many(step):
        return {"z": jnp.arange(12.0) + 100 * step, "a": -1.0 * step}

    trace = trained(bowl, Diagnostic(many, every=7)).trace
    for k in range(12):
        assert trace[f"many.z.{k}"].values.tolist() == [k, 700 + k, 1400 + k]
    assert trace["many.a"].values.tolist() == [0, -7, -14]


def by_the_loss(learning_rate):
    """Moves by the loss alone, as a search without gradients does."""

    def update(_, state, params, *, value):
        move = jax.tree.map(lambda x: jnp.full_like(x, -learning_rate * value), params)
        return move, state

    return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)


@pytest.mark.parametrize(
    ("optimizer", "every"), [("sgd", 1), ("sgd", 3), (by_the_loss, 3)]
)
def test_it_has_the_states_and_the_gradient_of_the_step(optimizer, every):
    def seen(loss, params, batch, grads, updates, params_after):
        return {
            "params": params[0],
            "params_after": params_after[0],
            "updates": updates[0],
            "grads": grads[0],
            "expected": jax.grad(loss)(params, batch)[0],
        }

    problem = gradjax.problem(
        lambda params, batch, _key: (((batch["x"] @ params - 1) ** 2).mean(), {}),
        jnp.array([3.0]),
        {"x": np.linspace(-1, 1, 40, dtype=np.float32)[:, None]},
    )
    program = gradjax.program(
        problem,
        optimizer,
        num_steps=12,
        batch_size=8,
        eval_every=4,  # the end of a block is between two measurements
        diagnostics=Diagnostic(seen, every=every),
    )
    rate = {"learning_rate": 0.01}
    trace = gradjax.run(program, rate).trace
    path = [float(state.params[0]) for _, state in gradjax.steps(program, rate)]
    before, after = trace["seen.params"].values, trace["seen.params_after"].values
    np.testing.assert_allclose(before, path[:-1:every], rtol=1e-6)
    np.testing.assert_allclose(after, path[1::every], rtol=1e-6)
    np.testing.assert_array_equal(trace["seen.updates"].values, after - before)
    grads, expected = trace["seen.grads"].values, trace["seen.expected"].values
    np.testing.assert_allclose(grads, expected, rtol=1e-5)


def test_a_memory_is_kept_from_one_measurement_to_the_next(bowl):
    def counted(memory):
        return memory, memory + 1

    many = Diagnostic(counted, init=lambda: jnp.int32(0), every=2, name="many")
    trace = trained(bowl, [FROM_START, many], eval_every=7).trace
    due = np.arange(0, 20, 3)
    np.testing.assert_allclose(
        trace["distance"].values, 5 * (1 - 0.9**due), rtol=1e-4, atol=1e-6
    )
    assert trace["many"].values.tolist() == list(range(10))


@pytest.mark.slow
def test_the_run_stays_the_same_for_every_kind_of_diagnostic():
    problem = problems.make("digits_logistic")
    made = [Diagnostic(length_of_batch, every=4), FROM_START]
    plain, measured = (
        gradjax.run(
            gradjax.program(
                problem, "adam", num_steps=30, batch_size=16, diagnostics=one
            )
        )
        for one in (None, made)
    )
    for name, curve in plain.trace.items():
        np.testing.assert_array_equal(measured.trace[name].values, curve.values)
    jax.tree.map(np.testing.assert_array_equal, measured.params, plain.params)


def length_of_batch(grads, batch, loss, params, key, step, learning_rate):
    noise = jax.random.normal(key) + step + learning_rate
    return length(grads) + loss(params, batch) + 0 * noise


def loss_of(loss, params, batch):
    return {"loss": loss(params, batch), "count": jnp.float32(len(batch["x"]))}


def test_the_examples_are_those_of_the_step_a_subset_or_a_split():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1_300, 3)), rng.normal(size=1_300)
    made = gradjax.problem(
        lambda params, batch, _key: (
            ((batch["x"] @ params - batch["y"]) ** 2).mean(),
            {},
        ),
        jnp.zeros(3),
        {"x": np.float32(x), "y": np.float32(y)},
        validation={"x": np.float32(x[:70]), "y": np.float32(y[:70])},
    )
    trace = trained(
        made,
        [
            Diagnostic(loss_of, on=on, every=2, name=f"on_{on}")
            for on in ("batch", 600, "train", "validation")
        ],
        num_steps=4,
        batch_size=8,
    ).trace
    counts = {"batch": 8, 600: 600, "train": 1_300, "validation": 70}
    for on, count in counts.items():
        assert trace[f"on_{on}.count"].values.tolist() == [count, count]
    due = trace["on_batch.loss"].steps - 1
    np.testing.assert_allclose(
        trace["on_batch.loss"].values, trace["loss"].values[due], rtol=1e-6
    )
    np.testing.assert_allclose(  # at the zeros of the start
        [trace[f"on_{name}.loss"].values[0] for name in ("train", "validation")],
        [(y**2).mean(), (y[:70] ** 2).mean()],
        rtol=1e-5,
    )


def test_lanes_of_a_sweep_have_the_curves_of_single_runs(bowl):
    rates = [0.05, 0.1, 0.2]
    found = gradjax.sweep(
        bowl,
        "sgd",
        {"learning_rate": rates},
        num_steps=9,
        lane_width=2,
        diagnostics=[FROM_START, lengths],
    )
    for k, rate in enumerate(rates):
        np.testing.assert_allclose(
            found.trace["distance"].values[k],
            5 * (1 - (1 - rate) ** np.array([0, 3, 6])),
            rtol=1e-4,
            atol=1e-6,
        )
    curves = gradjax.frames(found).curves
    own = curves[(curves.name == "lengths.params") & (curves.trial == 2)]
    assert own.step.tolist() == [1] and own.value.tolist() == [5.0]  # every 9 steps


def test_run_takes_diagnostics_in_place_of_those_of_the_program(bowl):
    program = gradjax.program(bowl, "sgd", num_steps=12, diagnostics=lengths)
    result = gradjax.run(program, diagnostics=[FROM_START])
    assert "distance" in result.trace and "lengths.params" not in result.trace


def test_a_diverged_run_has_no_values_after_its_end(bowl):
    program = gradjax.program(bowl, "sgd", num_steps=200, diagnostics=[FROM_START])
    result = gradjax.run(program, {"learning_rate": 100.0})
    assert result.status == "diverged"
    curve = result.trace["distance"]
    assert np.isnan(curve.values[curve.steps > result.diverged_step]).all()


def named(measure, **more):
    return Diagnostic(measure, name="own", **more)


REFUSED = [
    ("[nothing]", "unknown diagnostic 'nothing'"),
    (["math:sqrt(every=2)"], "its arguments are taken by name"),
    (Diagnostic(lengths, every=0), "every=0 must be a positive whole number"),
    (Diagnostic(lengths, every=21), "every=21 is more than the 20 steps of the run"),
    (Diagnostic(lengths, on="test"), "this problem has no data"),
    (Diagnostic(lengths, on="all"), "on='all': expected batch, a number of examples"),
    ([lengths, lengths], "2 diagnostics have the name 'lengths'"),
    (named(lambda speed: speed), "takes speed; a diagnostic takes by name: loss, par"),
    (named(lambda params: params["y"]), "KeyError: 'y'"),
    (named(lambda: {}), "it returns no number"),
    (named(lambda: jnp.ones((2, 2))), "the shape [2, 2]; expected numbers with at mo"),
    (lambda params: params["x"], "a diagnostic without a name: give"),
    (Diagnostic(length, name="loss"), "takes tree"),
    (Diagnostic(lambda params: params["x"][0], name="loss"), "two curves 'loss'"),
    (named(lambda: 1.0, init=lambda: 0), "must return (values, memory)"),
    (named(lambda: {"a": {"b": 1.0}, "a/b": 2.0}), "it has two curves 'own.a/b'"),
    (
        named(lambda: (1.0, jnp.ones(2)), init=lambda: jnp.ones(3)),
        "its memory changes its structure or its shapes",
    ),
    (3, "a diagnostic of int: expected an expression"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED)
def test_a_wrong_diagnostic_is_refused_in_one_line_before_training(bowl, given, said):
    with pytest.raises(Refusal) as refused:
        gradjax.program(bowl, "sgd", num_steps=20, diagnostics=given)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_problem_without_a_split_refuses_a_diagnostic_on_it():
    x = np.ones((8, 2), np.float32)
    made = gradjax.problem(
        lambda params, batch, _key: (((batch["x"] @ params) ** 2).mean(), {}),
        jnp.ones(2),
        {"x": x},
    )
    for on, said in (("test", "no such split"), (9, "there are 8 training examples")):
        with pytest.raises(Refusal, match=said):
            gradjax.program(made, num_steps=3, diagnostics=Diagnostic(loss_of, on=on))


def test_each_part_of_a_step_can_be_taken_by_its_name(bowl):
    for name in (*Context._fields, "context"):
        exec(f"def found({name}): return 1.0", made := {})
        assert trained(bowl, [made["found"]], 2).trace["found"].values.tolist() == [1.0]
