"""The lesson as its user types it: what it finds, keeps, refuses."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import gradjax
from experiments import schedule_gradient
from experiments.schedule_gradient import Settings
from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.types import Options

NUM_STEPS, POINTS, DIM = 32, 5, 20


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """One small run of it, opened, and what it printed."""
    folder = tmp_path_factory.mktemp("lesson")
    settings = Settings(
        "schedule_gradient",
        problem=f"noisy_quadratic(dim={DIM})",
        steps=NUM_STEPS,
        points=POINTS,
        outer_steps=25,
        seeds=64,
        fresh=64,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        schedule_gradient.run(settings, Options(workdir="mine"))
        return gradjax.load("mine"), (folder / "mine" / "picture.png").read_bytes()


def expected_loss(peak, values):
    """In closed form: m <- (1 - r h)^2 m + r^2 h, coordinate by coordinate."""
    h = 1.0 / np.arange(1, DIM + 1)
    places = np.linspace(0.0, 1.0, POINTS)
    rates = peak * np.interp(np.arange(NUM_STEPS) / NUM_STEPS, places, values)
    step = lambda m, r: (1.0 - r * h) ** 2 * m + r**2 * h  # noqa: E731
    return 0.5 * (h * functools.reduce(step, rates, np.ones(DIM))).sum()


@pytest.mark.slow
def test_what_it_learned_is_near_the_best_that_there_is(found):
    """The best for the mean over all seeds; the descent saw 64 of them."""
    schedules = found[0].summary["schedules"]
    learned = schedules["learned"]
    exact = {name: expected_loss(**one) for name, one in schedules.items()}
    best = minimize(
        lambda values: expected_loss(learned["peak"], values),
        np.full(POINTS, 0.25),
        bounds=[(0.0, 1.0)] * POINTS,
    ).fun
    assert exact["learned"] < 0.97 * exact["constant"]
    assert exact["learned"] < exact["cosine"]
    assert best <= exact["learned"] < best + 0.1 * (exact["constant"] - best)
    assert all(0.0 <= value <= 1.0 for value in learned["values"])
    assert learned["peak"] == pytest.approx(4.0 * schedules["constant"]["peak"])


@pytest.mark.slow
def test_fresh_seeds_agree_with_the_closed_form(found):
    summary = found[0].summary
    gain = summary["gains"]["train"]["constant"]
    exact = {name: expected_loss(**one) for name, one in summary["schedules"].items()}
    half = gain["high"] - gain["estimate"]
    expected = exact["constant"] - exact["learned"]
    assert abs(gain["estimate"] - expected) < 2.0 * half
    assert gain["low"] > 0.0
    ends = summary["fresh_losses"]["train"]
    difference = ends["constant"] - ends["learned"]
    assert gain["estimate"] == pytest.approx(difference, rel=1e-4)


def test_it_goes_down_and_keeps_what_it_saw(found):
    run, picture = found
    descent = run.trace["descent"]
    assert descent.values.shape == (64, 26)
    means = descent.values.mean(axis=0)
    np.testing.assert_allclose(run.summary["descent_losses"], means, rtol=1e-6)
    assert means[10:].max() < means[0]
    rates = run.trace["learned"]
    learned = run.summary["schedules"]["learned"]
    kept = learned["peak"] * np.array(learned["values"])
    np.testing.assert_allclose(rates.values.ravel(), kept, rtol=1e-6)
    assert rates.steps[-1] == NUM_STEPS
    assert picture[:4] == b"\x89PNG"


def test_the_sentence_has_the_figures(found):
    summary = found[0].summary
    ends, gain = summary["fresh_losses"]["train"], summary["gains"]["train"]["constant"]
    said = summary["sentence"]
    assert f"of the {POINTS} numbers of its schedule: 25 steps down" in said
    assert f"fresh seeds it ends at {ends['learned']:.3g}" in said
    assert f"the best constant at {ends['constant']:.3g}: " in said
    assert (
        f"{gain['estimate']:.2g} lower [{gain['low']:.2g}, {gain['high']:.2g}]" in said
    )


def test_the_numbers_are_cut_and_a_descent_that_diverges_ends(capsys):
    settings = Settings("schedule_gradient", outer_steps=9, outer_rate=0.3)

    def measured(values):
        loss = values[0] if values[0] > 0.0 else jnp.nan
        return jnp.stack([loss, loss]), jnp.asarray([1.0, -1.0])

    start = np.array([0.5, 0.5], np.float32)
    path = schedule_gradient._descend(settings, measured, start)
    np.testing.assert_allclose(path.values, [[0.5, 0.5], [0.2, 0.8]], atol=1e-3)
    assert "outer step 2 led to a run that diverges" in capsys.readouterr().out


def test_a_gradient_that_is_none_is_refused():
    settings = Settings("schedule_gradient")

    def measured(values):
        return jnp.ones(2), jnp.full_like(values, jnp.nan)

    with pytest.raises(Refusal, match="eps_root=1e-16"):
        schedule_gradient._descend(settings, measured, np.ones(2, np.float32))


def test_a_schedule_becomes_its_numbers():
    settings = Settings("schedule_gradient", points=3)
    points = schedule_gradient._points("linear(1, 0.2)", settings)
    np.testing.assert_allclose(points, [1.0, 0.6, 0.2], rtol=1e-6)
    assert points.dtype == np.float32


REFUSED = {
    "--steps=1": "2 to 10000",
    "--points=1": "2 to 200",
    "--outer_steps=0": "1 to 1000",
    "--outer_rate=0": "--outer_rate=0.0: expected",
    "--outer_rate=nan": "--outer_rate=nan: expected",
    "--headroom=0.5": "--headroom=0.5: expected",
    "--seeds=0": "1 to 1000",
    "--fresh=1": "2 to 1000",
    "--seed=-1": "0 to 4294967295",
    "--seed=4294967290": "0 to 4294967295",
    "--start=cosin": "'cosine'",
    "--optimizer=sdg": "'sgd'",
    "--optimizer=sgd(learning_rate=0.1)": "gives its own",
    "--optimizer=lbfgs": "no learning rate to schedule",
    "--batch_size=4": "noisy_quadratic(dim=100) has no data",
    "--problem=quadratc": "'quadratic'",
    "--workdir=/no/such/folder/run": "mkdir -p /no/such/folder",
}


@pytest.mark.parametrize("flag", REFUSED)
def test_refuses_in_one_line_and_writes_nothing(flag, refused):
    assert REFUSED[flag] in refused(schedule_gradient.LESSON, flag)


def test_a_start_of_zeros_is_said_and_a_rate_of_zero_is_refused(
    tmp_path_factory, monkeypatch, capsys, refused
):
    monkeypatch.setattr(schedule_gradient, "_tune", lambda *_: 1 / 0)
    sizes = {"steps": 10, "points": 2, "start": "[0, 0]", "problem": "booth"}
    settings = Settings("schedule_gradient", **sizes)
    with pytest.raises(ZeroDivisionError):
        schedule_gradient.run(settings, Options(str(tmp_path_factory.mktemp("run"))))
    assert "[0, 0]: the learning rate is 0 in every step" in capsys.readouterr().out

    entry = optimizers.OPTIMIZERS["sgd"]._replace(rate=("learning_rate", 0.0))
    monkeypatch.setitem(optimizers.OPTIMIZERS, "sgd", entry)
    said = refused(schedule_gradient.LESSON, "--problem=booth")
    assert "or its own is 0" in said


def test_a_line_search_in_a_chain_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search = "chain(scale_by_zoom_linesearch(max_linesearch_steps=3), sgd)"
    with pytest.raises(Refusal, match="scale_by_zoom_linesearch has a loop"):
        schedule_gradient.run(
            Settings("schedule_gradient", optimizer=search), Options()
        )
    assert list(tmp_path.iterdir()) == []
