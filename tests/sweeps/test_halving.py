"""Successive halving without a validation split: the training curve ranks settings."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Target
from gradjax.sweeps import halving
from gradjax.types import Sweep
from tests.sweeps.runs import trained

pandas = pytest.importorskip("pandas")
RATES = [1.5, 0.01, 0.1, 0.02, 1.0, 0.05, 0.2, 0.001, 0.5]  # of a parabola; 1 is best
STEPS = 27  # the rungs are the evaluations after 3 and 9 steps
X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
DATA = {"x": X, "y": X @ np.asarray([1, -2, 0.5], np.float32)}


def parabola(x, _batch, _key):
    return 0.5 * x**2, {"height": -jnp.abs(x)}


def squared(params, batch, _key):
    return jnp.mean((batch["x"] @ params - batch["y"]) ** 2), {}


def program_of(problem, num_steps=8, **more):
    return gradjax.program(problem, "sgd", num_steps=num_steps, eval_every=4, **more)


def results_of(curves, every, target: Target):
    """Results of a run of 8 steps with these curves, evaluated every 4 steps."""
    problem = gradjax.problem(parabola, 1.0)._replace(target=target)
    found: Any = SimpleNamespace(
        plan=program_of(problem).plan,
        every=every,
        trace={name: np.asarray(rows, np.float32) for name, rows in curves.items()},
        validation={},
        kept_step=np.full(3, 4),
        diverged_step=np.asarray([0, 0, 2]),
    )
    return found


def test_the_score_is_the_mean_since_the_evaluation_before():
    losses = np.arange(24.0).reshape(3, 8)
    found = results_of({"loss": losses}, 1, Target())
    assert halving._scores(found, 4).tolist() == [1.5, 9.5, np.inf]
    assert halving._scores(found, 8).tolist() == [5.5, 13.5, np.inf]


def test_the_windows_of_the_curve_do_not_matter():
    """Points of 3 steps: blocks of 4 steps have a window of 3 and one of 1."""
    points = [[1.0, 3.5, 5.0, 7.5], [9.0, 11.5, 13.0, 15.5], [0.0] * 4]
    found = results_of({"loss": points}, 3, Target())
    assert halving._scores(found, 4).tolist() == [1.625, 9.625, np.inf]
    assert halving._scores(found, 8).tolist() == [5.625, 13.625, np.inf]


def test_the_curve_is_that_of_the_target_and_tolerated_losses_are_left_out():
    curves = {"loss": np.ones((3, 8)), "height": np.ones((3, 8))}
    curves["height"][1, 5] = 3.0
    found = results_of(curves, 1, Target("height", None, "max"))
    assert halving._scores(found, 8).tolist() == [-1.0, -1.5, np.inf]
    curves["loss"][0, :2], curves["loss"][1] = (np.nan, np.inf), np.nan
    found = results_of({"loss": curves["loss"]}, 1, Target())
    assert halving._scores(found, 4).tolist() == [1.0, np.inf, np.inf]


def statuses(tuned):
    return gradjax.frames(tuned).trials.status.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("target", [Target(), Target("height", None, "max")])
def test_a_surface_keeps_the_best_third_of_the_settings(target):
    tuned = gradjax.tune(
        gradjax.problem(parabola, 1.0)._replace(target=target),
        "sgd",
        {"learning_rate": RATES},
        num_steps=STEPS,
        eval_every=3,
        halving=3,
        num_fresh_seeds=1,
    )
    assert tuned.optimizers["sgd"].point == {"learning_rate": 1.0}
    ended = dict(zip(RATES, statuses(tuned)[:9], strict=True))
    assert [rate for rate in RATES if ended[rate] == "finished"] == [1.0]
    trials = gradjax.frames(tuned).trials
    steps = trials["steps"].tolist()[:9]
    late = sorted(rate for rate, taken in zip(RATES, steps, strict=True) if taken > 3)
    assert late == [0.5, 1.0, 1.5] and set(steps) == {3, 9, STEPS}


@pytest.mark.slow
def test_on_batches_it_resumes_to_the_same_bits(tmp_path, interrupted):
    def tune(**more):
        return gradjax.tune(
            gradjax.problem(squared, jnp.zeros(3), DATA),
            "sgd",
            {"learning_rate": [0.001, 0.01, 0.1, 0.3, 1e30]},
            num_steps=20,
            batch_size=8,
            num_seeds=2,
            num_fresh_seeds=1,
            halving=2,
            lane_width=2,
            **more,
        )

    whole = tune()
    assert statuses(whole)[:10].count("stopped") == 6
    point = whole.optimizers["sgd"].point
    assert point is not None and point["learning_rate"] in (0.1, 0.3)
    with interrupted(3):
        tune(workdir=tmp_path)
    stored = tune(workdir=tmp_path)
    for one, other in zip(*map(gradjax.frames, (stored, whole)), strict=True):
        pandas.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.slow
def test_a_command_halves_a_sweep_of_a_surface(tmp_path):
    asked = Sweep(
        sweep=("learning_rate=[1e-3, 1e-2, 0.1, 1]",), fresh_seeds=1, halving=2
    )
    found = trained(
        tmp_path,
        asked,
        problem="rosenbrock",
        batch_size=None,
        steps=20,
        learning_rate=None,
    )
    assert found["num_stopped"] == 3
    trials = gradjax.frames(tmp_path).trials
    assert trials.status.tolist().count("stopped") == 3
