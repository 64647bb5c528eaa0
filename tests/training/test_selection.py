"""Which parameters a run keeps, and when patience ends it.

Gradient descent moves x from 0 towards 1, the target of the training split: after t
steps x = 1 - (1 - rate)^t. The targets of validation and test lie on the way, so the
validation loss falls, has its minimum, and rises until the end of the run.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, Splits, Target
from gradjax.data import arrays
from gradjax.training import segment
from gradjax.trials import lanes

TRAIN, VALIDATION, TEST = 1.0, 0.5, 0.4
NUM_STEPS = 40
BEST = {0.2: 3, 0.1: 7, 0.05: 14, 0.02: 34}  # rate -> the step nearest to VALIDATION


def source_of(target):
    return arrays.source({"target": np.full(3, target, np.float32)})


def loss_of(x, batch, _key):
    return 0.5 * jnp.square(x - batch["target"]).mean(), {}


def accuracy_of(x, batch, _key):
    """Accuracy 1 above x = 0.3, and 0 below; the loss is that of `loss_of`."""
    count = jnp.float32(len(batch["target"]))
    loss, _ = loss_of(x, batch, _key)
    return {
        "accuracy": ((x > 0.3) * count, count),
        "loss": (loss * count, count),
    }


def problem_of(loss=loss_of, metrics=None, **more):
    splits = Splits(*map(source_of, (TRAIN, VALIDATION, TEST)))
    return gradjax.Problem(lambda _: jnp.float32(0.0), loss, metrics, splits, **more)


def program_of(problem=None, optimizer="sgd", eval_every=1, **more):
    return gradjax.program(
        problem or problem_of(),
        optimizer,
        num_steps=NUM_STEPS,
        eval_every=eval_every,
        **more,
    )


def x_after(num_steps, rate=0.1):
    return 1.0 - (1.0 - rate) ** num_steps


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


class Kept(NamedTuple):
    """The same run with both choices of the parameters that are kept."""

    last: gradjax.Result
    best: gradjax.Result


@pytest.fixture(scope="module")
def kept():
    programs = (program_of(keep="last"), program_of(keep="best"))
    return Kept(*(gradjax.run(program) for program in programs))


def test_the_best_parameters_beat_an_end_that_overfits(kept):
    last, best = kept
    assert (last.kept_step, best.kept_step) == (NUM_STEPS, BEST[0.1])
    np.testing.assert_allclose(last.params, x_after(NUM_STEPS), rtol=1e-5)
    np.testing.assert_allclose(best.params, x_after(BEST[0.1]), rtol=1e-5)
    ends = [result.evaluation["validation"]["loss"] for result in kept]
    assert ends[1] < 0.01 * ends[0]
    curve = best.trace["validation_loss"]
    assert best.kept_step == curve.steps[curve.values.argmin()]
    assert np.float32(ends[1]) == curve.values.min()


def test_every_split_is_evaluated_at_the_kept_parameters(kept):
    for result in kept:
        for split, target in (
            ("train", TRAIN),
            ("validation", VALIDATION),
            ("test", TEST),
        ):
            expected = 0.5 * (float(result.params) - target) ** 2
            found = result.evaluation[split]["loss"]
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_selecting_does_not_change_the_training(kept):
    last, best = kept
    assert_same_bits(last.state, best.state)
    assert_same_bits(last.trace, best.trace)
    counts = ("status", "num_steps", "diverged_step", "num_gradients")
    for name in counts:
        assert getattr(last, name) == getattr(best, name)
    assert best.num_gradients == NUM_STEPS, "the steps after the best one count too"


def test_of_equal_evaluations_the_earlier_one_is_kept():
    """The accuracy is 0 at steps 1 to 3 and 1 at steps 4 to 40; the loss has step 7."""
    problem = problem_of(metrics=accuracy_of, target=Target("accuracy", mode="max"))
    result = gradjax.run(program_of(problem, keep="best"))
    curve = result.trace["validation_accuracy"].values
    assert curve.tolist() == [0.0] * 3 + [1.0] * (NUM_STEPS - 3)
    assert result.kept_step == 4
    np.testing.assert_allclose(result.params, x_after(4), rtol=1e-5)


@pytest.mark.slow
def test_an_equal_evaluation_is_no_improvement_for_patience():
    problem = problem_of(metrics=accuracy_of, target=Target("accuracy", mode="max"))
    ends = {
        patience: gradjax.run(program_of(problem, patience=patience)).num_steps
        for patience in (2, 3)
    }
    assert ends == {2: 3, 3: 7}, "from the best step 1, and from the best step 4"


@pytest.mark.slow
def test_lanes_choose_the_steps_that_each_trial_chooses_alone():
    rates = {"learning_rate": list(BEST)}

    def swept(**more):
        return gradjax.sweep(
            problem_of(),
            "sgd",
            rates,
            num_steps=NUM_STEPS,
            eval_every=1,
            keep="best",
            patience=7,
            **more,
        )

    alone, together = swept(lane_width=1), swept(lane_width=3)
    for found in (alone, together):
        assert found.kept_step.tolist() == list(BEST.values())
        ends = [min(step + 7, NUM_STEPS) for step in BEST.values()]
        assert found.num_steps.tolist() == found.num_gradients.tolist() == ends
        assert found.status.tolist() == ["stopped early"] * 3 + ["finished"]
        kept = [x_after(step, rate) for rate, step in BEST.items()]
        np.testing.assert_allclose(found.params, kept, rtol=1e-5)
        for split, target in (("validation", VALIDATION), ("test", TEST)):
            expected = 0.5 * np.square(found.params - np.float32(target))
            np.testing.assert_allclose(
                found.evaluation[split]["loss"], expected, rtol=1e-4, atol=1e-7
            )


@pytest.mark.parametrize(
    "more",
    [
        {"keep": "last"},
        {"keep": "best"},
        {"keep": "best", "patience": 3},
        {"keep": "best", "patience": 30},  # it ends in the last segment
    ],
)
def test_the_test_split_is_evaluated_once_at_the_kept_parameters(more):
    seen = []

    def metrics(x, batch, key):
        jax.debug.callback(lambda *args: seen.append(args), batch["target"][0], x)
        return {"loss": (loss_of(x, batch, key)[0], jnp.float32(1.0))}

    result = gradjax.run(program_of(problem_of(metrics=metrics), **more))
    jax.effects_barrier()
    of_test = [float(x) for target, x in seen if target == np.float32(TEST)]
    assert of_test == [float(result.params)]
    assert sum(target == np.float32(VALIDATION) for target, _ in seen) > 1


@pytest.mark.parametrize("optimizer", ["sgd", "prodigy", "average(sgd, decay=0.5)"])
def test_donated_buffers_are_not_shared_with_the_kept_parameters(optimizer):
    """Five segments give up their state, in which the best parameters are a copy."""
    program = program_of(optimizer=optimizer, keep="best")
    first = gradjax.run(program)
    gradjax.run(program, seed=1)
    again = gradjax.run(program)
    for name in ("params", "state", "trace", "evaluation", "kept_step"):
        assert_same_bits(getattr(first, name), getattr(again, name))
    curve = again.trace["validation_loss"]
    assert again.kept_step == curve.steps[curve.values.argmin()] < NUM_STEPS
    assert again.evaluation["validation"]["loss"] == pytest.approx(curve.values.min())
    assert again.params != again.state.params


def test_the_state_before_the_first_step_can_be_donated():
    """The parameters are in it twice: those that train and those that are kept."""
    made = lanes.lanes(program_of(keep="best"))
    state, _ = made.shapes
    assert isinstance(state, segment.TrialState)
    assert state.kept.params.shape == state.train.params.shape == (1,)
    own = lanes.stack(made.program, [{}], [0])
    (call, *_) = made.ready().calls
    results = [call(None, own, 0, 1, False)[0] for _ in range(2)]
    assert_same_bits(*results)
    later, _ = call(results[0], own, 1, 3, False)
    assert later.kept.step.tolist() == [4]
    assert_same_bits(*results)  # the state on the host was not given up


@pytest.mark.parametrize("keep", ["last", "best"])
def test_patience_ends_a_run_which_has_not_diverged(keep):
    result = gradjax.run(program_of(keep=keep, patience=3))
    end = BEST[0.1] + 3
    assert result.status == "stopped early"
    assert result.diverged_step is None
    assert (result.num_steps, result.num_gradients) == (end, end)
    assert result.kept_step == (end if keep == "last" else BEST[0.1])
    np.testing.assert_allclose(result.params, x_after(result.kept_step), rtol=1e-5)
    for name in ("loss", "validation_loss"):
        values = result.trace[name].values
        assert np.isfinite(values[:end]).all() and np.isnan(values[end:]).all()
    for split in ("train", "validation", "test"):
        assert np.isfinite(result.evaluation[split]["loss"])


def test_patience_counts_evaluations_and_not_steps():
    """Evaluated at 3, 6, 9, ...: step 6 is the best, and steps 9 and 12 are worse."""
    result = gradjax.run(program_of(eval_every=3, keep="best", patience=2))
    assert (result.status, result.kept_step, result.num_steps) == (
        "stopped early",
        6,
        12,
    )


def test_patience_that_is_never_used_up_changes_nothing(kept):
    result = gradjax.run(program_of(keep="best", patience=NUM_STEPS))
    assert result.status == "finished"
    for name in ("params", "trace", "evaluation", "kept_step", "num_gradients"):
        assert_same_bits(getattr(result, name), getattr(kept.best, name))


@pytest.mark.parametrize("optimizer", ["sam(sgd, rho=0.001)", "lbfgs"])
@pytest.mark.slow
def test_the_gradients_until_the_stop_are_counted(optimizer):
    """Two in each step of SAM; a line search reports how many it took."""
    result = gradjax.run(program_of(optimizer=optimizer, patience=2))
    assert result.status == "stopped early" and result.num_steps < NUM_STEPS - 2
    if optimizer == "lbfgs":
        spent = result.trace["num_gradients"].values
        assert np.isfinite(spent).sum() == result.num_steps
        assert result.num_gradients == np.nansum(spent) > result.num_steps
    else:
        assert result.num_gradients == 2 * result.num_steps


def breaking(x, batch, key):
    """The loss of `loss_of`, and NaN from x = 0.65 on, which step 11 sees first."""
    loss, aux = loss_of(x, batch, key)
    is_broken = (x > 0.65) & (batch["target"][0] == TRAIN)
    return jnp.where(is_broken, jnp.nan, loss), aux


@pytest.mark.parametrize(
    ("patience", "status", "num_steps"),
    [(3, "stopped early", 10), (4, "diverged", 11), (None, "diverged", 11)],
)
def test_what_happens_first_ends_the_run(patience, status, num_steps):
    """A lane goes on to the end of its segment; what happens there does not count."""
    result = gradjax.run(
        program_of(problem_of(breaking), keep="best", patience=patience)
    )
    assert (result.status, result.num_steps) == (status, num_steps)
    assert result.num_gradients == num_steps
    assert result.diverged_step == (11 if status == "diverged" else None)
    assert result.kept_step == BEST[0.1]
    np.testing.assert_allclose(result.params, x_after(BEST[0.1]), rtol=1e-5)
    is_known = np.isfinite(result.evaluation["test"]["loss"])
    assert is_known == (status == "stopped early")


@pytest.mark.parametrize("more", [{"keep": "best"}, {"patience": 2}])
@pytest.mark.parametrize("data", [None, Splits(source_of(TRAIN))])
def test_a_selection_without_validation_data_is_refused_in_one_line(more, data):
    def loss(x, _batch, _key):
        return jnp.square(x), {}

    problem = gradjax.Problem(lambda _: jnp.float32(0.0), loss, data=data)
    with pytest.raises(Refusal, match="no validation split to choose on") as refused:
        gradjax.program(problem, num_steps=5, **more)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"keep": "first"}, "keep='first': expected 'last' or 'best'"),
        ({"keep": None}, "keep=None: expected 'last' or 'best'"),
        ({"patience": 0}, "patience=0: must be a positive whole number"),
        ({"patience": 2.0}, "patience=2.0: must be"),
        ({"patience": True}, "patience=True: must be"),
    ],
)
def test_a_selection_that_is_none_is_refused_in_one_line(more, line):
    with pytest.raises(Refusal) as refused:
        program_of(**more)
    assert line in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_metrics_without_the_targets_and_without_a_loss_are_refused():
    def metrics(x, batch, _key):
        return {"error": (jnp.abs(x - batch["target"]).sum(), jnp.float32(3))}

    problem = problem_of(metrics=metrics, target=Target("accuracy", mode="max"))
    with pytest.raises(Refusal, match="neither 'accuracy' nor 'loss' .* only error"):
        program_of(problem, keep="best")
    aimed = problem._replace(target=Target("error"))
    assert program_of(aimed, keep="best").plan.keep == "best"
