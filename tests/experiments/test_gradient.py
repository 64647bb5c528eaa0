"""The lesson as its user types it: what it finds, keeps, refuses."""

from fractions import Fraction

import numpy as np
import pytest

import gradjax
from experiments import gradient
from gradjax.types import Options


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """Runs it in an empty folder, which it gives back opened."""
    monkeypatch.chdir(tmp_path)

    def run(plot=False, **settings):
        gradient.run(
            gradient.Settings("gradient", **settings),
            Options(workdir="mine", overwrite=True, plot=plot),
        )
        return gradjax.load("mine")

    return run


def rosenbrock_slope(point, direction):
    """d . gradient in exact arithmetic: 2 (x - 1) - 400 x (y - x^2), 200 (y - x^2)."""
    x, y = map(Fraction, point)
    bowl = y - x**2
    grad = (2 * (x - 1) - 400 * x * bowl, 200 * bowl)
    return float(sum(g * Fraction(d) for g, d in zip(grad, direction, strict=True)))


def test_both_precisions_follow_the_theory(lesson, tmp_path, capsys):
    run = lesson(plot=True)
    found = run.summary
    exact = rosenbrock_slope(found["point"], found["direction"])
    assert found["slope"] == pytest.approx(exact, rel=1e-14)
    assert np.linalg.norm(found["direction"]) == pytest.approx(1.0, abs=1e-7)
    single, double = found["float32"], found["float64"]
    for one in (single, double):
        assert one["exponents"]["truncation"] == pytest.approx(2.0, abs=0.02)
        assert one["exponents"]["rounding"] == pytest.approx(-1.0, abs=0.08)
        assert one["exponents"]["forward"] == pytest.approx(1.0, abs=0.05)
        assert 0.2 < one["best_step"] / one["best_step_in_theory"] < 2.0
    ratio = 2.0**29  # of the two eps
    assert single["best_step"] / double["best_step"] == pytest.approx(
        ratio ** (1 / 3), rel=0.7
    )
    errors = single["smallest_error"] / double["smallest_error"]
    assert ratio ** (2 / 3) / 4.0 < errors < 4.0 * ratio ** (2 / 3)
    assert double["jax_grad_error"] < 1e-13 * abs(exact)
    assert single["jax_grad_error"] < single["smallest_error"] / 20.0
    said = " ".join(capsys.readouterr().out.split())
    assert found["sentence"] in said
    assert f"by {double['smallest_error']:.1e}" in found["sentence"]
    assert (tmp_path / "mine" / "picture.png").stat().st_size > 50_000


@pytest.mark.slow
def test_the_kept_curves_are_what_the_figures_say(lesson, tmp_path):
    run = lesson(num_steps=300, seed=5)
    for name in ("float32", "float64"):
        median = run.trace[f"{name}_median"]
        best = int(np.argmin(median.values[0]))
        assert median.steps[best] == run.summary[name]["best_step"]
        assert median.values[0, best] == run.summary[name]["smallest_error"]
        assert run.trace[f"{name}_central"].values.shape == (1, 300)
    assert not (tmp_path / "mine" / "picture.png").exists()


def test_on_a_quadratic_a_longer_step_costs_nothing(lesson):
    found = lesson(surface="booth", num_steps=300).summary
    x, y = found["point"]
    grad = np.asarray([10 * x + 8 * y - 34, 8 * x + 10 * y - 38])
    assert found["slope"] == pytest.approx(grad @ found["direction"], rel=1e-13)
    assert found["float64"]["exponents"]["truncation"] is None
    assert found["float64"]["best_step"] > 0.01
    assert "a longer step costs nothing" in found["sentence"]


@pytest.mark.slow
def test_a_point_is_one_however_it_is_written(lesson):
    first = lesson(surface="plateau", point="1,-2.50", num_steps=100)
    assert first.config["settings"]["point"] == "1.0, -2.5"
    assert first.summary["point"] == [1.0, -2.5]


REFUSED = {
    "--surface=rosenbrok": "'rosenbrock'",
    "--surface=quadratic": "surface 'quadratic'",
    "--point=1": "two numbers",
    "--point=1,2,3": "two numbers",
    "--point=a, b": "two numbers",
    "--point=__import__('os'),1": "two numbers",
    "--point=nan, 1": "x must lie from -2 to 2",
    "--point=0, 3.01": "y must lie from -1 to 3",
    "--point=" + "9" * 10_000: "two numbers",
    "--num_steps=99": "from 100 to 10000",
    "--num_steps=10001": "from 100 to 10000",
    "--seed=-1": "from 0 to 4294967295",
    "--workdir=/no/such/folder/run": "mkdir -p /no/such/folder",
    "--pont=1, 1": "Unknown command line flag 'pont'",
}


@pytest.mark.parametrize("flag", REFUSED, ids=lambda flag: flag[:40])
def test_refuses_in_one_line_and_writes_nothing(flag, refused):
    said = refused(gradient.LESSON, flag)
    assert REFUSED[flag] in said
    assert len(said) < 400
