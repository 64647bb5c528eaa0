"""The lesson as its user types it: what it finds, keeps, refuses."""

import numpy as np
import pytest

import gradjax
from experiments import learning_rate
from gradjax.types import Options


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """Runs it in an empty folder, which it gives back opened."""
    monkeypatch.chdir(tmp_path)

    def run(plot=False, **settings):
        learning_rate.run(
            learning_rate.Settings("learning_rate", **settings),
            Options(workdir="mine", overwrite=True, plot=plot),
        )
        return gradjax.load("mine")

    return run


def test_the_sweep_finds_the_edge_of_theory(lesson, tmp_path, capsys):
    run = lesson(plot=True)
    found = run.summary
    assert found["edge_theory"] == pytest.approx(2.0)
    assert found["ratio"] == pytest.approx(1.0, abs=0.002)
    low, high = found["edge_bracket"]
    assert low < high <= 1.001 * low
    assert low == found["edge_found"]
    # (1 - r h)^2 a step is least, over h from 0.01 to 1, at r = 2 / 1.01.
    step = np.diff(np.log(run.trace["final"].steps))[0]
    assert abs(np.log(found["best_rate"] * 1.01 / 2.0)) <= step
    assert found["too_small_below"] == pytest.approx(found["best_rate"] / 2, rel=0.3)
    assert found["too_large_above"] == found["edge_found"]
    finals = run.trace["final"].values[0]
    assert found["best_height"] == finals.min()
    assert run.trace["right"].values[0, -1] < run.trace["too_small"].values[0, -1]
    assert run.trace["too_large"].values[0, -1] > found["start_height"]
    said = " ".join(capsys.readouterr().out.split())
    assert found["sentence"] in said
    assert f"above {low:.6g} (too large) the loss grows" in said
    assert (tmp_path / "mine" / "picture.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_final_height_of_each_rate_is_that_of_the_closed_form(lesson):
    problem = "quadratic(dim=2, condition=4, rotated=False)"
    run = lesson(problem=problem, steps=20, num_rates=5, low=0.1, high=1.6)
    import jax

    with jax.enable_x64(True):
        key, _ = jax.random.split(jax.random.key(np.uint32(0)))
        start = np.asarray(jax.random.normal(key, (2,), float))
    h = np.array([0.25, 1.0])
    rates = run.trace["final"].steps[:, None]
    at = (1.0 - np.float32(rates) * h) ** 20 * start
    expected = 0.5 * (h * at**2).sum(axis=1)
    np.testing.assert_allclose(run.trace["final"].values[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "edge"),
    [("sgd(momentum=0.9)", 3.8), ("sgd(momentum=0.5, nesterov=True)", 1.5)],
)
@pytest.mark.slow
def test_momentum_moves_the_edge_as_theory_says(lesson, optimizer, edge):
    found = lesson(optimizer=optimizer, num_rates=9, low=0.5, high=10.0).summary
    assert found["edge_theory"] == pytest.approx(edge)
    assert found["ratio"] == pytest.approx(1.0, abs=0.003)


def test_of_adam_it_says_only_what_it_found(lesson):
    found = lesson(optimizer="adam", steps=100, num_rates=5, high=1e-2).summary
    assert found["edge_theory"] is found["edge_found"] is found["ratio"] is None
    assert "none makes the loss grow" in found["sentence"]
    assert "theory" not in found["sentence"]
    assert any("an end of the sweep" in value for _, value in found["rows"])


def test_where_every_rate_is_too_large_it_says_so(lesson):
    run = lesson(plot=True, num_rates=3, low=10.0, high=20.0, steps=50)
    assert run.summary["best_rate"] is None
    assert run.summary["num_growing"] == 3
    assert "all are too large" in run.summary["sentence"]


def test_a_loss_below_zero_is_measured_from_the_least_seen(lesson, monkeypatch):
    from gradjax import problems

    made = problems.make("quadratic(dim=2)")
    shifted = made._replace(
        loss=lambda *given: (made.loss(*given)[0] - 5.0, {}), minimum=None
    )
    monkeypatch.setitem(problems.PROBLEMS, "shifted", lambda: shifted)
    found = lesson(problem="shifted", num_rates=9, low=0.5, high=10.0).summary
    assert found["edge_theory"] is None
    assert found["edge_found"] == pytest.approx(2.0, rel=0.01)


REFUSED = {
    "--steps=19": "20 to 100000",
    "--steps=1000000": "20 to 100000",
    "--num_rates=2": "3 to 201",
    "--low=0": "--low=0.0: expected",
    "--low=-1": "--low=-1.0: expected",
    "--low=nan": "--low=nan: expected",
    "--high=inf": "--high=inf: expected",
    "--low=200": "below --high, which is 100",
    "--optimizer=sdg": "'sgd'",
    "--optimizer=sgd(learning_rate=0.1)": "gives its own",
    "--optimizer=lbfgs": "no learning rate to sweep",
    "--problem=quadratc": "'quadratic'",
    "--problem=quadratic(condition=0.5)": "condition=0.5",
    "--problem=noisy_quadratic": "drawn anew",
    "--problem=os.system": "not allowed",
    "--seed=-1": "0 to 4294967295",
    "--workdir=/no/such/folder/run": "mkdir -p /no/such/folder",
}


@pytest.mark.parametrize("flag", REFUSED)
def test_refuses_in_one_line_and_writes_nothing(flag, refused):
    assert REFUSED[flag] in refused(learning_rate.LESSON, flag)
