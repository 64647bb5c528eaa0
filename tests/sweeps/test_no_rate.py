"""Optimizers without a learning rate, which no schedule can multiply."""

import numpy as np
import optax
import pytest

import gradjax
from experiments import recommend
from gradjax import problems
from gradjax.commands import experiment
from gradjax.comparing import call, cells, forecast
from gradjax.comparing.spaces import shown, spaces_of

PROBLEM = "quadratic(condition=10)"
COMPARED = {
    "num_gradients": 12,
    "num_trials": 2,
    "num_seeds": 2,
    "ranges": None,
    "batch_size": None,
    "baseline": None,
    "pairs": "baseline",
    "search": "random",
    "seed": 0,
    "horizons": [1],
    "retune": True,
    "studies": 1,
}


@pytest.fixture
def parabola():
    """A problem without data."""
    return problems.make(PROBLEM)


@pytest.mark.parametrize("schedule", ["cosine", [1.0, 0.5], lambda t: 1.0 - t])
def test_a_schedule_beside_a_finished_optimizer_is_refused(schedule, parabola):
    with pytest.raises(ValueError, match="the optimizer has no learning rate"):
        gradjax.program(parabola, optax.adam(0.1), schedule, num_steps=3)


FINISHED = optax.adam(0.1)


def test_a_finished_optimizer_is_named_by_its_import_path(parabola):
    path = f"{__name__}:FINISHED"
    with pytest.raises(ValueError, match=f"{path} has no learning rate"):
        gradjax.program(parabola, path, "cosine", num_steps=3)
    with pytest.raises(ValueError, match=f"'lr': {path} has no hyperparameters"):
        gradjax.run(gradjax.program(parabola, path, num_steps=3), {"lr": 1.0})


def test_a_number_with_a_schedule_of_its_own_is_no_rate(parabola):
    own = "chain(ema(decay=linear(peak=0.5)), lbfgs)"
    made = gradjax.program(parabola, own, num_steps=3)
    assert "optimizer.ema.decay.peak" in made.hparams
    with pytest.raises(ValueError, match="schedule=cosine: chain has no learning rate"):
        gradjax.program(parabola, own, "cosine", num_steps=3)


@pytest.mark.parametrize("optimizer", ["sgd(0.1)", "sgd", "sam(sgd(0.1))"])
def test_a_rate_that_is_a_part_of_the_expression_follows_it(optimizer, parabola):
    gradjax.program(parabola, optimizer, "cosine", num_steps=3)


def test_sweeps_and_tune_refuse_it(typed):
    line = "schedule=cosine: lbfgs has no learning rate"
    made = problems.make(PROBLEM)
    with pytest.raises(ValueError, match=line):
        gradjax.sweep(made, "lbfgs", {}, [0], schedule="cosine", num_steps=3)
    with pytest.raises(ValueError, match=line):
        gradjax.tune(made, ["sgd", "lbfgs"], {}, schedule="cosine", num_steps=3)
    flags = (f"--problem={PROBLEM}", "--optimizer=lbfgs", "--steps=3", "--noplot")
    for more in ("--schedule=cosine", "--sweep=schedule=[constant, cosine]"):
        done = typed("experiments.minimize", *flags, more)
        assert done.returncode == 2 and line in done.stderr


def test_a_rate_of_all_that_one_optimizer_lacks_is_refused_by_its_name(typed):
    line = "learning_rate is for all optimizers, and lbfgs has no such hyperparameter;"
    exact = f"{line} sgd.learning_rate is that of sgd alone"
    with pytest.raises(ValueError, match=exact):
        gradjax.tune(
            problems.make(PROBLEM),
            ["sgd", "lbfgs"],
            {"learning_rate": [0.1, 0.2]},
            num_steps=3,
        )
    both = "--sweep=optimizer=[sgd, lbfgs]"
    for more in ("--sweep=learning_rate=[0.1, 0.2]", "--learning_rate=0.1"):
        flags = (f"--problem={PROBLEM}", both, more, "--steps=3", "--noplot")
        done = typed("experiments.minimize", *flags)
        assert done.returncode == 2 and exact in done.stderr
    lbfgs = ("--optimizer=lbfgs", "--sweep=learning_rate=[0.1]", "--steps=3")
    done = typed("experiments.minimize", f"--problem={PROBLEM}", *lbfgs, "--noplot")
    assert "'learning_rate': lbfgs has no hyperparameters" in done.stderr


def test_the_default_schedule_of_an_experiment_is_left_out():
    own = recommend.EXPERIMENT
    for optimizer, schedule in (("lbfgs", "constant"), ("adamw", "cosine")):
        found = experiment.settings_of(own, optimizer=optimizer)
        assert experiment.with_schedule(own, found).schedule == schedule
    given = experiment.settings_of(own, optimizer="lbfgs", schedule="linear")
    assert experiment.with_schedule(own, given).schedule == "linear"


def test_a_comparison_names_it_and_gives_the_schedule_to_the_others():
    asked = call.request({}, ["sgd", "lbfgs"], [PROBLEM], schedule="cosine", **COMPARED)
    found = cells.cells_of(asked)
    assert [one.settings.schedule for one in found] == ["cosine", "constant"]
    line = "no learning rate, so no schedule: lbfgs"
    assert line in forecast.size_lines(asked, found)
    own = spaces_of(("sgd", "lbfgs"), {"schedule.end": "linear(0, 0.1)"})
    assert "schedule.end" in shown(own["sgd"]) and shown(own["lbfgs"]) == ""


@pytest.mark.slow
def test_a_comparison_with_it_ends():
    asked = {key: COMPARED[key] for key in ("num_gradients", "num_trials", "num_seeds")}
    found = gradjax.compare(["sgd", "lbfgs"], [PROBLEM], **asked)
    values = [one.value for one in found.tables[0].outcomes if one.optimizer == "lbfgs"]
    assert np.isfinite(values).all() and len(values) == 2
