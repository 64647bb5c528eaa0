import numpy as np
import pytest

from gradjax.analysis import seeds
from gradjax.types import Result, Series


def result(losses, status="finished", run_s=1.0, **more):
    count = len(losses)
    loss = Series(np.arange(1, count + 1), np.asarray(losses, np.float32))
    return Result(
        params=None,
        state=None,
        trace={"loss": loss, **more},
        evaluation={},
        status=status,
        diverged_step=None,
        num_steps=count,
        kept_step=count,
        num_gradients=2 * count,
        compile_s=0.0,
        run_s=run_s,
    )


def test_stacks_trials():
    trials = [result([3.0, 2.0, np.nan]), result([4.0, 3.0, 1.0])]
    found = seeds.stack(trials, "loss")
    np.testing.assert_array_equal(found.steps, [1, 2, 3])
    np.testing.assert_array_equal(found.values, [[3.0, 2.0, np.nan], [4.0, 3.0, 1.0]])
    assert seeds.stack([result([1.0])], "accuracy") is None


def test_thins_every_trial_alike():
    series = Series(np.arange(1, 4001), np.tile(np.arange(4000.0), (2, 1)))
    found = seeds.thin(series)
    assert found.values.shape == (2, 1000)
    np.testing.assert_array_equal(found.values[0], found.values[1])
    np.testing.assert_array_equal(found.values[0, :2], [1.5, 5.5])
    np.testing.assert_array_equal(found.steps[:2], [4, 8])


def test_the_training_loss_is_a_mean_over_trials_and_the_last_tenth():
    falling = np.arange(100.0, 0.0, -1.0)
    results = [result(falling), result(falling + 10.0)]
    assert seeds.training_loss(results, 100) == pytest.approx(5.5 + 5.0)
    assert seeds.training_loss(results, 1) == pytest.approx(105.0)
    assert seeds.training_loss(results, 20) == pytest.approx(81.5 + 5.0)


def test_figures_have_the_time_of_a_step():
    held_out = {"validation_loss": Series(np.array([2, 4]), np.array([0.5, 0.25]))}
    results = [result([4.0, 3.0, 2.0, 1.0], **held_out)]
    found = seeds.figures(results, 4, 0.5)
    assert found == {
        "steps": 4,
        "diverged": False,
        "training_loss": 1.0,
        "validation_loss": 0.25,
        "validation_accuracy": None,
        "step_s": 0.5,
        "gradients_per_s": 4.0,  # two a step
    }


def test_a_trial_that_diverged_leaves_no_mean():
    results = [result([1.0, 0.5]), result([1.0, np.nan], status="diverged")]
    found = seeds.figures(results, 2, 0.5)
    assert found["diverged"] is True
    assert found["training_loss"] is found["validation_loss"] is None
