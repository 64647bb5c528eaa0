"""What people who write Python pass to the library, and what they look at."""

import re
import tomllib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from experiments import minimize
from gradjax import problems, records, types
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.errors import Refusal
from gradjax.types import Options, Sweep

ROOT = Path(__file__).parents[1]

X = np.arange(12, dtype=np.float32).reshape(6, 2) / 10


def loss(params, batch, _):
    error = batch["x"] @ params - 1.0
    aux = {
        "num_large": jnp.sum(jnp.abs(error) > 0.5),  # i32[]
        "is_small": jnp.all(jnp.abs(error) < 1.0),  # bool[]
        "half": 0.5,
    }
    return jnp.mean(error**2), aux


def made(fun=loss):
    return gradjax.problem(fun, jnp.zeros(2), {"x": X})


@pytest.fixture(scope="module")
def program():
    return gradjax.program(made(), "sgd", num_steps=40, batch_size=2, eval_every=10)


@pytest.fixture(scope="module")
def result(program):
    return gradjax.run(program, {"learning_rate": 0.1}, seed=3)


WHOLE = (np.int64, np.uint8, np.asarray, jnp.asarray)


@pytest.mark.parametrize("kind", WHOLE, ids=lambda kind: kind.__name__)
def test_whole_numbers_of_numpy_and_jax_are_counts(kind):
    plan = gradjax.program(
        made(),
        "sgd",
        num_steps=kind(8),
        batch_size=kind(2),
        eval_every=kind(4),
    ).plan
    counts = (plan.num_steps, plan.batch_size, plan.eval_every)
    assert counts == (8, 2, 4) and {type(count) for count in counts} == {int}


def test_numbers_of_numpy_and_jax_are_hyperparameters_and_seeds(program, result):
    for rate, seed, every in (
        (np.float64(0.1), np.int64(3), np.int32(1)),
        (np.asarray(0.1), np.asarray(3), np.asarray(1)),
        (jnp.asarray(0.1), jnp.asarray(3), jnp.asarray(1)),
    ):
        found = gradjax.run(program, {"learning_rate": rate}, seed, trace_every=every)
        np.testing.assert_array_equal(found.params, result.params)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_steps", True),
        ("num_steps", 10.0),
        ("num_steps", np.asarray([3])),
        ("batch_size", "2"),
        ("eval_every", np.float32(2)),
        ("patience", np.bool_(True)),
    ],
)
def test_what_is_no_whole_number_is_refused_by_its_name(name, value):
    with pytest.raises(Refusal, match=f"{name}="):
        gradjax.program(made(), "sgd", **{"num_steps": 8, name: value})


def test_whole_numbers_and_truth_values_of_the_aux_are_curves(result):
    for name in ("num_large", "is_small", "half"):
        values = result.trace[name].values
        assert values.dtype == np.float32 and values.shape == (40,)
    assert set(result.trace["num_large"].values) <= {0.0, 1.0, 2.0}
    assert set(result.trace["is_small"].values) <= {0.0, 1.0}
    assert (result.trace["half"].values == 0.5).all()


@pytest.mark.parametrize(
    ("value", "shown"), [("text", "str"), (len, "builtin_function"), (X, "float32")]
)
def test_an_aux_that_is_no_number_is_refused_by_its_name(value, shown):
    def bad(params, batch, key):
        return loss(params, batch, key)[0], {"note": value}

    with pytest.raises(Refusal, match=rf"aux\['note'\] is {shown}"):
        gradjax.program(made(bad), "sgd", num_steps=3)


def test_a_callback_ends_a_run_by_returning_true(program, result):
    seen = []

    def watch(_, blocks):
        seen.append(sum(blocks))
        return np.bool_(len(seen) == 2)

    found = gradjax.run(program, {"learning_rate": 0.1}, 3, on_segment=watch)
    steps = seen[-1] * program.plan.block_steps
    assert len(seen) == 2 and steps < 40
    assert (found.status, found.num_steps, found.kept_step) == (
        "stopped early",
        steps,
        steps,
    )
    short = found.trace["loss"].values
    np.testing.assert_array_equal(short[:steps], result.trace["loss"].values[:steps])
    assert np.isnan(short[steps:]).all()
    error = X @ found.params - 1.0
    assert found.evaluation["train"]["loss"] == pytest.approx(np.mean(error**2), 1e-5)


def test_a_callback_that_says_true_at_the_end_changes_nothing(program, result):
    found = gradjax.run(
        program,
        {"learning_rate": 0.1},
        3,
        on_segment=lambda active, _: not len(active.rows),
    )
    assert found.status == "finished" and found.evaluation == result.evaluation


def test_a_callback_that_returns_something_else_is_refused(program):
    with pytest.raises(Refusal, match="on_segment returned str: expected True"):
        gradjax.run(program, on_segment=lambda *_: "stop")


@pytest.mark.slow
def test_parameters_of_one_array_in_a_sweep_of_averaging_optimizers():
    for optimizer in ("average(sgd)", "lookahead(sgd)", "schedule_free(sgd)"):
        found = gradjax.sweep(
            made(), optimizer, {"learning_rate": [0.05, 0.1]}, [0, 1], num_steps=8
        )
        assert np.shape(found.params) == (4, 2) and (found.status == "finished").all()
        alone = gradjax.program(made(), optimizer, num_steps=8)
        one = gradjax.run(alone, {"learning_rate": 0.1}, 1)
        np.testing.assert_allclose(found.params[3], one.params, rtol=1e-5)


@pytest.mark.slow
def test_frames_of_results_in_memory_have_the_columns_of_a_folder(tmp_path):
    settings = settings_of(
        minimize.EXPERIMENT, problem="ridge", optimizer="sgd", steps=20, batch_size=32
    )
    options = Options(workdir=str(tmp_path / "run"), plot=False)
    train(minimize.EXPERIMENT, settings._replace(learning_rate=0.1), Sweep(), options)
    of_folder = gradjax.frames(tmp_path / "run")
    ridge, every = problems.make("ridge"), settings.eval_every or 2
    program = gradjax.program(
        ridge, "sgd", num_steps=20, batch_size=32, eval_every=every
    )
    of_result = gradjax.frames(gradjax.run(program, {"learning_rate": 0.1}))
    rates = {"learning_rate": [0.01, 0.1]}
    swept = gradjax.sweep(
        ridge, "sgd", rates, num_steps=20, batch_size=32, eval_every=every
    )
    for found, row in ((of_result, 0), (gradjax.frames(swept), 1)):
        assert set(found.trials) == set(of_folder.trials)
        assert set(found.curves) == set(of_folder.curves)
        assert set(found.curves.name) == set(of_folder.curves.name)
        one = found.trials.iloc[row]
        expected = of_folder.trials.iloc[0]
        for name in ("seed", "learning_rate", "steps", "status", "kept_step"):
            assert one[name] == expected[name]
        assert one["test_loss"] == pytest.approx(expected["test_loss"], rel=1e-5)
        losses = [
            frame[(frame.name == "loss") & (frame.trial == trial)].value
            for frame, trial in (
                (found.curves, row),
                (of_folder.curves, of_folder.trials.trial[0]),
            )
        ]
        np.testing.assert_allclose(*losses, rtol=1e-5)


def test_frames_of_something_else_are_refused():
    with pytest.raises(Refusal, match="frames of list: expected a folder"):
        gradjax.frames([1, 2])  # pyright: ignore


def test_dir_shows_the_public_names_alone():
    assert dir(gradjax) == sorted(gradjax.__all__)


def test_the_package_says_that_it_is_typed():
    assert (Path(gradjax.__file__).parent / "py.typed").is_file()
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "py.typed" in told["tool"]["setuptools"]["package-data"]["gradjax"]


def test_what_holds_arrays_is_shown_in_one_short_line(program, result):
    swept = gradjax.sweep(made(), "sgd", {"learning_rate": [0.1, 1e30]}, num_steps=8)
    things = (made(), made().data, program, result, result.state, swept)
    for thing in things:
        shown = repr(thing)
        assert "\n" not in shown and len(shown) < 500 and "array(" not in shown
        assert shown.startswith(f"{type(thing).__name__}(")
    assert "train: 6" in repr(made()) and "params=<2 numbers in 1 array>" in repr(
        result
    )
    assert "hparams={learning_rate: 0.1}, evaluation={train: {loss: " in repr(result)
    assert "status={'finished': 1, 'diverged': 1}" in repr(swept)


PUBLIC = (
    gradjax.Problem,
    gradjax.Result,
    gradjax.Source,
    gradjax.Splits,
    gradjax.Target,
    gradjax.Trials,
    types.Program,
    types.Run,
    types.Series,
    types.TrainState,
    records.Frames,
)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_help_says_what_each_field_is(kind):
    said = kind.__doc__.partition("Attributes:")[2]
    for name in kind._fields:
        assert re.search(rf"^ +{name}: \S", said, flags=re.MULTILINE), name
