"""The lesson as its user types it: what it finds, keeps, refuses."""

import numpy as np
import pytest

import gradjax
from experiments import batch_size
from gradjax.types import Options

DATA = {
    "x": np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32),
    "y": np.random.default_rng(1).normal(size=40).astype(np.float32),
}


def loss(params, batch, _key):
    return 0.5 * ((batch["x"] @ params - batch["y"]) ** 2).mean(), {}


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """Runs it in an empty folder, which it gives back opened; `tiny` is quick."""
    from gradjax import problems

    held_out = {name: values[:10] for name, values in DATA.items()}
    tiny = problems.problem(loss, np.zeros(3, np.float32), DATA, held_out)
    bare = problems.problem(loss, np.zeros(3, np.float32), DATA)
    monkeypatch.setitem(problems.PROBLEMS, "tiny", lambda: tiny)
    monkeypatch.setitem(problems.PROBLEMS, "bare", lambda: bare)
    monkeypatch.chdir(tmp_path)

    def run(plot=False, **settings):
        batch_size.run(
            batch_size.Settings("batch_size", **settings),
            Options(workdir="mine", overwrite=True, plot=plot),
        )
        return gradjax.load("mine")

    return run


@pytest.mark.slow
def test_small_batches_take_more_steps_and_get_further(lesson, tmp_path, capsys):
    run = lesson(
        plot=True, problem="logistic_regression", epochs=5, batch_size=("8", "full")
    )
    few, full = run.summary["sizes"]
    num_examples = full["batch_size"]
    assert few["batch_size"] == 8
    assert (few["steps"], full["steps"]) == (5 * -(-num_examples // 8), 5)
    assert few["learning_rate"] == full["learning_rate"] == pytest.approx(0.1)
    assert few["validation_loss"] < 0.2 < 0.3 < full["validation_loss"] < np.log(2.0)
    assert few["validation_accuracy"] > 0.9
    for one in (few, full):
        speed = one["gradients_per_s"] * one["batch_size"]
        assert one["examples_per_s"] == pytest.approx(speed)
        assert one["gradients_per_s"] == pytest.approx(1.0 / one["step_s"])
    said = " ".join(capsys.readouterr().out.split())
    assert "2 batch sizes, 2 programs to compile" in said
    assert run.summary["sentence"] in said
    assert f"{few['validation_loss']:.3g} in {few['steps']} steps of 8" in said
    assert (tmp_path / "mine" / "picture.png").read_bytes()[:4] == b"\x89PNG"
    assert run.trace["loss_8"].values.shape == (1, few["steps"])
    held_out = run.trace[f"validation_loss_{num_examples}"]
    assert held_out.steps.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_the_full_batch_is_gradient_descent_step_by_step(lesson):
    run = lesson(problem="tiny", batch_size=("40,8",), epochs=4, learning_rate=0.2)
    x, y = DATA["x"].astype(float), DATA["y"].astype(float)
    params, losses = np.zeros(3), []
    for _ in range(4):
        losses.append(0.5 * np.mean((x @ params - y) ** 2))
        params = params - 0.2 * x.T @ (x @ params - y) / 40
    np.testing.assert_allclose(run.trace["loss_40"].values[0], losses, rtol=1e-5)
    held_out = 0.5 * np.mean((x[:10] @ params - y[:10]) ** 2)
    full, few = run.summary["sizes"]
    assert full["validation_loss"] == pytest.approx(held_out, rel=1e-5)
    assert full["training_loss"] == pytest.approx(losses[-1], rel=1e-5)
    assert few["steps"] == 20


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "power"), [("sqrt", 0.5), ("linear", 1.0)])
def test_the_rate_follows_its_rule_from_the_smallest_batch(lesson, rule, power):
    run = lesson(
        problem="tiny",
        batch_size=("32", "8"),
        scale_rate=rule,
        learning_rate=0.01,
        epochs=1,
    )
    large, small = (one["learning_rate"] for one in run.summary["sizes"])
    assert small == 0.01
    assert large == pytest.approx(0.01 * 4.0**power)


@pytest.mark.slow
def test_seeds_are_trials_and_what_diverged_is_named(lesson):
    run = lesson(
        problem="bare", batch_size=("4,full",), learning_rate=1e6, epochs=30, seeds=2
    )
    for one in run.summary["sizes"]:
        assert one["diverged"]
        assert one["training_loss"] is None
    assert "diverged within 300 steps of 4 and within 30" in run.summary["sentence"]
    losses = run.trace["loss_40"].values  # NaN from the step that diverged on
    assert losses.shape[0] == 2
    assert np.isfinite(losses[:, 0]).all()
    assert not np.isfinite(losses[:, -1]).any()


@pytest.mark.slow
def test_without_a_validation_split_training_losses_are_told(lesson):
    run = lesson(problem="bare", batch_size=("8", "full"), epochs=2)
    assert "reached a training loss of" in run.summary["sentence"]
    assert run.summary["sizes"][0]["validation_loss"] is None


REFUSED = {
    "--batch_size=0": "1 to the 1257 training examples",
    "--batch_size=8": "1; expected from 2 to 7",
    "--batch_size=8,8": "given twice",
    "--batch_size=8,ful": "expected 'full'",
    "--batch_size=2000,8": "1 to the 1257 training examples",
    "--epochs=0": "1 to 10000",
    "--epochs=9999": "at most 1,000,000",
    "--scale_rate=linaer": "'linear'",
    "--learning_rate=-1": "at least 0",
    "--optimizer=adma": "'adam'",
    "--problem=quadratic": "no data",
    "--problem=digit_mlp": "'digits_mlp'",
    "--seeds=0": "1 to 100",
    "--seed=-1": "0 to 4294967295",
    "--workdir=/no/such/folder/run": "mkdir -p /no/such/folder",
}


@pytest.mark.parametrize("flag", REFUSED)
@pytest.mark.slow
def test_refuses_in_one_line_and_writes_nothing(flag, refused):
    assert REFUSED[flag] in refused(batch_size.LESSON, flag)


@pytest.mark.parametrize(
    "flags_given",
    [
        ("--optimizer=lbfgs", "--scale_rate=linear"),
        ("--learning_rate=1e38", "--scale_rate=linear"),
    ],
)
def test_refuses_a_rate_that_cannot_be_scaled(flags_given, refused):
    assert "--scale_rate=linear" in refused(batch_size.LESSON, *flags_given)
