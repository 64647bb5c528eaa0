"""The target of a problem: its form, and the metric that ranks trials."""

import json
import sys
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Target as _Target
from gradjax.comparing.cells import listing
from gradjax.training import targets
from gradjax.trials.lanes import lanes
from tests.sweeps.runs import trained

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
DATA = {"x": X, "y": X.sum(axis=1)}
Target: Any = _Target  # whose fields may be wrong
DEFAULT = Target()
SIZES: dict[str, Any] = {"num_steps": 2, "batch_size": 4}
ONE_LINE = (
    "trials are ranked by 'loss', which the problem's metrics do not have, only mse:"
    " give problem._replace(target=gradjax.Target('mse')), with mode='max' if larger"
    " values are better"
)


def loss(params, batch, _key):
    return jnp.mean((batch["x"] @ params - batch["y"]) ** 2), {}


def mse_alone(params, batch, _key):
    errors = (batch["x"] @ params - batch["y"]) ** 2
    return {"mse": (errors.sum(), jnp.float32(len(errors)))}


def problem(metrics=None, target: Any = DEFAULT, **held_out):
    made = gradjax.problem(loss, jnp.zeros(3), DATA, metrics=metrics, **held_out)
    return made._replace(target=target)


NO_TARGET = (
    "expected gradjax.Target(metric, value, mode); gradjax.Target() has no value"
)
NO_MODE = "expected 'min' where smaller values are better, or 'max'"
NO_VALUE = "expected a finite number, or None for no value"
NO_METRIC = "expected the name of a metric, such as 'loss'"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (None, f"the problem's target is None: {NO_TARGET}"),
        (("loss", 1.0), f"the problem's target is ('loss', 1.0): {NO_TARGET}"),
        (("loss", 1.0, "min"), NO_TARGET),
        (3.0, f"the problem's target is 3.0: {NO_TARGET}"),
        (Target, NO_TARGET),
        (Target("loss", 1.0, "maximum"), f"the target's mode is 'maximum': {NO_MODE}"),
        (Target("loss", None, "higher"), f"the target's mode is 'higher': {NO_MODE}"),
        (Target("loss", 1.0, "Max"), NO_MODE),
        (Target("loss", 1.0, None), NO_MODE),
        (Target(3), f"the target's metric is 3: {NO_METRIC}"),
        (Target(None), NO_METRIC),
        *[
            (Target("loss", value), NO_VALUE)
            for value in (
                "1.0",
                float("nan"),
                np.float32("nan"),
                jnp.nan,
                -np.inf,
                1e39,
                10**400,
                True,
                np.bool_(True),
                1j,
                np.complex64(1j),
                np.str_("1.0"),
                [1.0],
                np.ones(2),
            )
        ],
    ],
)
def test_a_target_that_means_nothing_is_refused_in_one_line(target, said):
    with pytest.raises(gradjax.Refusal) as refused:
        gradjax.program(problem(target=target), "sgd", **SIZES)
    assert str(refused.value).endswith(said), refused.value


@pytest.mark.parametrize(
    "value", [1, 0.5, np.float32(0.5), np.asarray(2), jnp.float32(0.5), 3e38, None]
)
def test_a_target_of_any_number_is_taken_and_listed(value):
    target = Target("loss", value)
    targets.check_form(target)
    cell = SimpleNamespace(
        task=SimpleNamespace(problem=problem(target=target)),
        label="p",
        optimizer="sgd",
        folder="p/sgd",
        gradients_per_step=1,
        num_trials=1,
        seeds=range(2),
        setting=None,
        chosen_at=None,
        study=0,
    )
    cells: Any = [cell]
    (listed,) = json.loads(json.dumps(listing(cells)))
    assert listed["target"] == (None if value is None else pytest.approx(float(value)))


@pytest.mark.parametrize("held_out", [{}, {"validation": DATA}, {"test": DATA}])
@pytest.mark.parametrize("is_stored", [True, False])
def test_a_sweep_of_metrics_without_a_loss_is_refused(held_out, is_stored, tmp_path):
    folder = tmp_path / "folder"
    with pytest.raises(gradjax.Refusal) as refused:
        gradjax.tune(
            problem(mse_alone, **held_out),
            "sgd",
            {"learning_rate": [0.1, 0.2]},
            workdir=folder if is_stored else None,
            **SIZES,
        )
    assert str(refused.value) == ONE_LINE
    assert not folder.exists(), "it is refused before anything is written"


def test_a_run_of_a_command_is_refused_alike(tmp_path, monkeypatch):
    module: Any = type(sys)("mine_without_a_loss")
    module.make = lambda: problem(mse_alone)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    named = f"{module.__name__}:make"
    with pytest.raises(gradjax.Refusal) as refused:
        trained(tmp_path / "run", problem=named, batch_size=4, steps=2)
    assert str(refused.value) == ONE_LINE and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_comparison_is_refused_alike():
    sizes: Any = {"num_gradients": 2, "num_trials": 2, "num_seeds": 2, "batch_size": 4}
    with pytest.raises(gradjax.Refusal) as refused:
        gradjax.compare(["sgd", "adam"], {"mine": problem(mse_alone)}, **sizes)
    assert ONE_LINE in str(refused.value)


@pytest.mark.parametrize(
    ("metrics", "target", "said"),
    [
        (mse_alone, Target("loss", 0.1), "ranked by 'loss', which"),
        (lambda *_: {}, Target(), "the problem's metrics are empty: expected 'loss'"),
        (
            lambda *_: {"b": (1.0, 1.0), "a": (1.0, 1.0)},
            Target(),
            "only a, b: give problem._replace(target=gradjax.Target('a'))",
        ),
        (mse_alone, Target("seen", 0.1), "ranked by 'seen' or 'loss', which"),
    ],
)
def test_what_cannot_be_ranked_can_still_be_trained(metrics, target, said):
    def with_curve(params, batch, key):
        return loss(params, batch, key)[0], {"seen": jnp.float32(1.0)}

    made = problem(metrics, target)._replace(loss=with_curve)
    program = gradjax.program(made, "sgd", **SIZES)
    with pytest.raises(gradjax.Refusal) as refused:
        targets.check_ranked(program)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("held_out", [{}, {"validation": DATA}, {"test": DATA}])
def test_the_target_of_the_line_ranks_the_trials(held_out):
    tuned = gradjax.tune(
        problem(mse_alone, Target("mse"), **held_out),
        "sgd",
        {"learning_rate": [1e-3, 0.1]},
        num_steps=5,
        num_fresh_seeds=1,
    )
    split = "validation" if "validation" in held_out else "train"
    assert tuned.metric == f"{split}_mse"
    assert tuned.optimizers["sgd"].point == {"learning_rate": 0.1}


@pytest.mark.parametrize(
    ("held_out", "expected"),
    [
        ({}, ("train",)),
        ({"test": DATA}, ("train", "test")),
        ({"validation": DATA}, ()),
        ({"validation": DATA, "test": DATA}, ("test",)),
    ],
)
def test_a_sweep_measures_the_split_that_ranks_its_trials(held_out, expected):
    """Without a validation split it is that of training, also beside a test split."""
    program = gradjax.program(problem(**held_out), "sgd", **SIZES)
    assert lanes(program).form.final_splits == expected
