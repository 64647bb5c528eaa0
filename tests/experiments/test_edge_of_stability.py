"""The lesson as its user types it: what it finds, keeps, refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import gradjax
from experiments import edge_of_stability
from experiments.edge_of_stability import Settings
from gradjax.report import edge_of_stability as report
from gradjax.report.edge_of_stability import End
from gradjax.types import Options, Series

RATES, ADAM_RATE, NUM_STEPS = (0.2, 0.35), 0.002, 12
WIDTH, DEPTH = 3, 1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A small run that is measured at every step, opened, and its folder."""
    folder = tmp_path_factory.mktemp("lesson")
    settings = Settings(
        "edge_of_stability",
        width=WIDTH,
        depth=DEPTH,
        learning_rate=("0.2", "0.35"),
        steps=NUM_STEPS,
        every=1,
        products=40,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        edge_of_stability.run(settings, Options(workdir="mine"))
        return gradjax.load("mine"), folder / "mine"


@pytest.fixture(scope="module")
def start():
    """The loss f[n] -> f[] of the small network and its initial parameters f[n]."""
    problem = edge_of_stability.tanh_digits(WIDTH, DEPTH)
    key, _ = jax.random.split(jax.random.key(np.uint32(0)))
    flat, unravel = ravel_pytree(problem.init(key))
    batch = problem.data.train.arrays
    return lambda x: problem.loss(unravel(x), batch, key)[0], flat


def test_it_keeps_the_curves_of_every_rate(tiny):
    run, folder = tiny
    for name in ("sgd.loss", "sgd.sharpness", "sgd.sharpness.residual"):
        assert run.trace[name].values.shape == (len(RATES), NUM_STEPS)
    product = run.trace["sgd.sharpness.times_rate"].values
    sharpness = run.trace["sgd.sharpness"].values
    np.testing.assert_allclose(product, np.array(RATES)[:, None] * sharpness, rtol=1e-5)
    assert run.trace["adam.adam_sharpness"].values.shape == (1, NUM_STEPS)
    assert (folder / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_its_figures_are_those_of_the_last_third(tiny):
    run, _ = tiny
    ends = run.summary["runs"]
    assert [end["learning_rate"] for end in ends] == [*RATES, ADAM_RATE]
    assert [end["threshold"] for end in ends] == [2.0, 2.0, 38.0]
    last = run.trace["sgd.sharpness.times_rate"].values[1, -4:] / 2.0
    end = ends[1]
    assert end["settled_mean"] == pytest.approx(last.mean(), rel=1e-5)
    assert end["settled_low"] == pytest.approx(last.min(), rel=1e-5)
    assert end["settled_high"] == pytest.approx(last.max(), rel=1e-5)
    assert not end["is_at_edge"]
    said = run.summary["sentence"]
    assert f"{last.mean():.3f} at 0.35" in said
    assert "have not settled: gradient descent at 0.2, seed 0" in said


def test_the_sharpness_is_that_of_the_dense_hessian(tiny, start):
    loss, x = start
    grad, hessian = jax.jit(jax.grad(loss)), jax.jit(jax.hessian(loss))
    measured = tiny[0].trace["sgd.sharpness"].values[0]
    assert measured[0] == pytest.approx(np.linalg.eigvalsh(hessian(x))[-1], rel=1e-4)
    for _ in range(NUM_STEPS - 1):
        x = x - RATES[0] * grad(x)
    assert measured[-1] == pytest.approx(np.linalg.eigvalsh(hessian(x))[-1], rel=1e-4)


@pytest.mark.slow
def test_the_preconditioned_sharpness_is_that_of_dense_matrices(tiny, start):
    loss, x = start
    rule = optax.adam(ADAM_RATE)
    state = rule.init(x)
    for _ in range(NUM_STEPS):
        before = x
        updates, state = rule.update(jax.grad(loss)(x), state)
        x = x + updates
    nu = np.asarray(optax.tree_utils.tree_get(state, "nu"), np.float64)
    root = np.sqrt(nu / (1.0 - 0.999**NUM_STEPS)) + 1e-8
    scale = 1.0 / np.sqrt((1.0 - 0.9**NUM_STEPS) * root)
    dense = scale[:, None] * np.asarray(jax.hessian(loss)(before), np.float64) * scale
    measured = tiny[0].trace["adam.adam_sharpness"].values[0, -1]
    assert measured == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=1e-3)


@pytest.mark.slow
@pytest.mark.optimized
def test_the_sharpness_settles_at_the_edge(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = edge_of_stability.run(
        Settings("edge_of_stability"), Options(workdir="mine")
    )
    *descent, adam = found["runs"]
    assert len({end["learning_rate"] for end in descent}) == 3
    for end in descent:
        assert 0.97 <= end["settled_mean"] <= 1.06
        assert 0.9 < end["settled_low"] < end["settled_high"] < 1.1
        assert end["first_at_edge"] > 20  # it begins below the edge
    assert 0.95 <= adam["settled_mean"] <= 1.05
    assert 0.9 < adam["settled_low"] < adam["settled_high"] < 1.1
    for end in found["runs"]:
        assert end["is_at_edge"]
        assert end["residual"] < 0.02
        assert end["loss_last"] < 0.1 * end["loss_first"]
    assert "where every run has settled" in found["sentence"]


@pytest.mark.slow
def test_a_run_that_diverges_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        "edge_of_stability",
        width=2,
        depth=1,
        learning_rate=("100",),
        steps=60,
        every=5,
        products=2,
    )
    found = edge_of_stability.run(settings, Options(workdir="mine"))
    end = found["runs"][0]
    assert end["status"] == "diverged"
    assert end["settled_mean"] is None
    assert not end["is_at_edge"]
    assert "gradient descent at 100, seed 0 (diverged)" in found["sentence"]
    assert (tmp_path / "mine" / "picture.png").is_file()


def test_a_network_has_its_shape_and_a_loss_of_squares():
    problem = edge_of_stability.tanh_digits(width=5, depth=2)
    params = problem.init(jax.random.key(0))
    shapes = [params[f"layer_{k}"]["kernel"].shape for k in range(3)]
    assert shapes == [(64, 5), (5, 5), (5, 10)]
    batch = problem.data.train.arrays
    assert problem.data.train.num_examples == 1_257
    np.testing.assert_allclose(batch["x"].mean(axis=0), 0.0, atol=1e-6)
    zeros = jax.tree.map(jnp.zeros_like, params)
    assert problem.loss(zeros, batch, None)[0] == pytest.approx(0.5)  # |one-hot| = 1


def test_the_first_step_at_the_edge_comes_after_one_below_it():
    def first(*values):
        steps = 10 * np.arange(1, len(values) + 1)
        return report.first_at_edge(Series(steps, np.array(values)))

    assert first(0.5, 0.9, 1.0, 0.9) == 30
    assert first(2.0, 0.1, 0.5, 1.2) == 40  # as Adam begins
    assert first(0.1, 0.2) is None
    assert first(1.5, 1.2) is None


def test_the_sentence_joins_seeds_and_names_what_is_away():
    def end(rate, seed, mean):
        common = ("gradient descent", "sharpness", 2.0, rate, seed)
        return End(*common, "finished", settled_mean=mean, is_at_edge=mean > 0.97)

    said = report.sentence(2_000, [end(0.2, 0, 1.0), end(0.2, 1, 1.02)])
    assert "sharpness x rate / 2 of gradient descent is 1.010 (1.000 to 1.020)" in said
    assert "where every run has settled" in said
    said = report.sentence(2_000, [end(0.2, 0, 1.0), end(0.1, 0, 0.6)])
    assert "not settled: gradient descent at 0.1, seed 0 (below it)" in said


REFUSED = {
    "--width=0": "1 to 1024",
    "--depth=0": "1 to 16",
    "--steps=11": "12 to 100000",
    "--every=0": "1 to 166",
    "--every=167": "1 to 166",
    "--products=1": "2 to 100",
    "--seeds=0": "1 to 100",
    "--seed=-1": "0 to 4294967295",
    "--adam_rate=0": "--adam_rate=0.0: expected",
    "--adam_rate=nan": "--adam_rate=nan: expected",
    "--learning_rate=0": "--learning_rate=0.0: expected",
    "--learning_rate=inf": "--learning_rate=inf: expected",
    "--learning_rate=0.1,fast": "--learning_rate='fast'",
    "--learning_rate=0.1,0.1": "given twice",
    "--learning_rate=1,2,3,4,5,6,7": "7 of them; at most 6",
    "--workdir=/no/such/folder/run": "mkdir -p /no/such/folder",
}


@pytest.mark.parametrize("flag", REFUSED)
def test_refuses_in_one_line_and_writes_nothing(flag, refused):
    assert REFUSED[flag] in refused(edge_of_stability.LESSON, flag)
