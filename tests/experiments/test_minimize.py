import numpy as np
import pytest

import gradjax
from experiments import minimize
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.types import Options


def minimized(folder, **settings):
    """The summary and the record of one run in that folder."""
    given = settings_of(minimize.EXPERIMENT, **settings)
    options = Options(workdir=str(folder / "run"), plot=False)
    train(minimize.EXPERIMENT, given, options=options)
    run = gradjax.load(folder / "run")
    return run.summary, run


def test_a_surface_to_its_minimum(tmp_path, capsys):
    summary, run = minimized(tmp_path, optimizer="lbfgs", steps=50)
    assert summary["problem"] == "rosenbrock" and summary["dataset"] is None
    assert abs(summary["gap"]) < 1e-9
    assert summary["trials"][0]["num_gradients"] > 50
    np.testing.assert_allclose(run.params["params"], [1.0, 1.0], atol=1e-4)
    assert run.predict is None
    assert "above the minimum" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:nothing was learned")
@pytest.mark.slow
def test_the_gap_of_a_noisy_problem_is_of_its_mean(tmp_path):
    summary, _ = minimized(
        tmp_path, problem="noisy_quadratic(dim=10)", optimizer="sgd", learning_rate=0.0
    )
    # Nothing moves: the mean loss at the start, not a draw of a step.
    start = gradjax.run(
        gradjax.program(
            minimize.problems.make("noisy_quadratic(dim=10)"), "sgd", num_steps=1
        ),
        {"learning_rate": 0.0},
    )
    expected = 0.5 * (np.asarray(start.params) ** 2 / np.arange(1, 11)).sum()
    assert summary["gap"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_data_in_batches_and_several_seeds(tmp_path):
    settings = {"problem": "ridge", "batch_size": 32, "seeds": 2, "steps": 100}
    summary, run = minimized(
        tmp_path, **settings, optimizer="sgd(momentum=0.9)", learning_rate=0.02
    )
    second = gradjax.load(tmp_path / "run", trial=1)
    assert run.trace["loss"].values.shape == (100,)
    assert (run.trace["loss"].values != second.trace["loss"].values).any()
    assert 0.0 < summary["gap"] < 0.02
    assert summary["test_squared_error"] < 0.6
    assert summary["intervals"]["gap"]["std"] > 0.0


REFUSED = {
    "--problem=rosenbrok": "'rosenbrock'",
    "--problem=quadratic(dimension=3)": "one of: condition, dim",
    "--problem=quadratic(dim=1)": "from 2 to 1000",
    "--problem=no_such_module:f": "cannot import",
    "--problem=os.system": "not allowed",
    "--optimizer=dpsgd(l2_norm_clip=1.0, noise_multiplier=1.0)": "no data",
    "--batch_size=4": "no data",
    "--steps=0": "positive",
    "--epochs=3": "rosenbrock has no data",
}


@pytest.mark.parametrize("flag", REFUSED)
def test_refuses_in_one_line_and_writes_nothing(flag, refused):
    assert REFUSED[flag] in refused(minimize.EXPERIMENT, flag)


@pytest.mark.parametrize(
    "settings", [{"learning_rate": 0.0}, {"optimizer": "sgd(learning_rate=0)"}]
)
@pytest.mark.slow
def test_a_rate_of_zero_is_allowed_and_said(settings, tmp_path, capsys):
    summary, _ = minimized(tmp_path, **{"optimizer": "sgd", "steps": 3, **settings})
    assert "learning rate 0" in capsys.readouterr().out
    assert summary["gap"] == pytest.approx(24.2, rel=1e-5)
