"""Results of many trials: curves of windows, the best step, the step at the target."""

import numpy as np
import pytest

import gradjax
from gradjax import Target, problems
from gradjax.training import blocks, traces
from gradjax.trials import batches, lanes

RATES = [{"learning_rate": rate} for rate in (0.01, 0.05, 1e6)]


@pytest.fixture(scope="module")
def problem():
    return problems.make("ridge")


def program_of(problem, num_steps=103, every=20):
    return gradjax.program(
        problem, "sgd", num_steps=num_steps, batch_size=16, eval_every=every
    )


def run(program, trace_every=1):
    return batches.run(lanes.lanes(program), RATES, [0, 1, 2], trace_every)


@pytest.mark.slow
def test_windows_are_means_that_end_with_their_block(problem):
    program = program_of(problem)
    whole, thin = run(program), run(program, trace_every=7)
    steps = thin.trace["loss"].steps
    block = program.plan.block_steps
    assert steps[-1] == 103 and {block, 2 * block} <= set(steps.tolist())
    assert np.diff(steps).max() == 7
    starts = np.concatenate([[0], steps[:-1]])
    full, means = (x.trace["loss"].values[:2] for x in (whole, thin))
    for k, (start, end) in enumerate(zip(starts, steps, strict=True)):
        np.testing.assert_allclose(
            means[:, k], full[:, start:end].mean(axis=1, dtype=np.float64), rtol=1e-6
        )
    np.testing.assert_array_equal(whole.diverged_step, thin.diverged_step)
    step = int(thin.diverged_step[2])
    assert step > 0 and np.isnan(thin.trace["loss"].values[2, starts >= step]).all()
    np.testing.assert_array_equal(whole.num_gradients, thin.num_gradients)
    assert whole.num_gradients.tolist() == [103, 103, step]


@pytest.mark.parametrize(
    ("num_steps", "every", "most"),
    [(500, 100, 1_000), (8_595, 1_719, 1_000), (10_000, 10_000, 1_000)],
)
def test_at_most_a_thousand_points_by_default(num_steps, every, most, problem):
    plan = program_of(problem, num_steps, every).plan
    width = traces.default_every(plan)
    ends = traces.window_ends(plan, width, 0, blocks.num_blocks(plan))
    assert len(ends) <= most and ends[-1] == num_steps
    assert width == 1 or len(ends) > most / 2
    assert (np.diff(ends) > 0).all()


def test_a_window_is_the_same_in_segments_of_any_length(problem):
    plan = program_of(problem).plan
    values = np.random.default_rng(0).normal(size=(3, 103)).astype(np.float32)
    total = blocks.num_blocks(plan)

    def cut(first, count):
        start = first * plan.block_steps
        stop = min(start + count * plan.block_steps, 103)
        starts = traces.window_starts(plan, 7, first, count)
        ends = traces.window_ends(plan, 7, first, count)
        return traces.window_means(values[:, start:stop], starts, ends)

    parts = [cut(k, 1) for k in range(total)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), cut(0, total))


@pytest.mark.slow
def test_the_best_evaluation_and_the_first_at_the_target(problem):
    seen = run(program_of(problem)).trace["validation_loss"]
    middle = float(seen.values[0, 2])
    aimed = problem._replace(target=Target("loss", middle, "min"))
    found = run(program_of(aimed))
    best = seen.values[:2].argmin(axis=1)
    np.testing.assert_array_equal(found.best[:2], seen.values[:2].min(axis=1))
    np.testing.assert_array_equal(found.best_step[:2], seen.steps[best])
    first = int((seen.values[0] <= np.float32(middle)).argmax())
    assert found.target_step[0] == seen.steps[first]
    assert found.target_step[2] == 0, "it diverged before"


@pytest.mark.slow
def test_without_validation_the_best_is_that_of_the_training_curve():
    made = problems.make("quadratic(condition=2)")
    made = made._replace(target=Target("loss", 1e-3, "min"))
    rates = {"learning_rate": [0.5, 1e-6, 1e9]}
    found = gradjax.sweep(made, "sgd", rates, num_steps=200)
    curve = found.trace["loss"]
    np.testing.assert_array_equal(found.best[:2], curve.values[:2].min(axis=1))
    met = curve.values[0] <= np.float32(1e-3)
    assert found.target_step[0] == curve.steps[met.argmax()] > 1
    assert found.target_step[1] == 0 and found.status[2] == "diverged"
    assert found.target_step[2] == 0
