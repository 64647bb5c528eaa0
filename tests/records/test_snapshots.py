"""The states in snapshots: trials that crashed or were stopped end with the same bits.

The parameter w goes from 0 to 1, because all training examples are 1. Validation is
best at 0.5, so the best parameters are seen long before the last step. The problem has
a state, a running mean of w, which is stored and kept with the parameters.
"""

import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.errors import Interrupted
from gradjax.records import faults, params, store
from gradjax.sweeps import execute, points
from gradjax.sweeps.execute import Hooks, run_cohort
from gradjax.trials.lanes import lanes
from gradjax.types import Settings

EVALUATIONS, EVERY = 20, 2
BASE = Settings("snapshots", optimizer="sgd")
COHORT = [points.trial(BASE, {"learning_rate": rate}, 0) for rate in (0.02, 0.03)]
NAME = "run-0"
# optax does not keep the type of a bfloat16 momentum.
OPTIMIZERS = {"float32": "sgd(momentum=0.5)", "bfloat16": "sgd"}


def loss(params, batch, _key, state):
    w = params["w"].astype(jnp.float32)
    state = {"mean": 0.5 * state["mean"] + 0.5 * w}
    return ((w - batch["x"]) ** 2).mean(), {}, state


def metrics(params, batch, key, state):
    count = jnp.float32(len(batch["x"]))
    return {"loss": (loss(params, batch, key, state)[0] * count, count)}


def lanes_of(keep, dtype):
    ones = np.ones(8, np.float32)
    sets = {"train": {"x": ones}, "validation": {"x": ones / 2}}
    start, state = {"w": jnp.zeros((), dtype)}, {"mean": jnp.float32(0.0)}
    problem = gradjax.problem(loss, start, **sets, metrics=metrics, state=state)
    program = gradjax.program(
        problem,
        OPTIMIZERS[dtype],
        num_steps=EVALUATIONS * EVERY,
        batch_size=4,
        eval_every=EVERY,
        keep=keep,
    )
    return lanes(program, 2, 1)


@pytest.fixture(scope="module")
def cases():
    """(keep, dtype) -> compiled lanes, and what they give without an interruption."""
    made = {}

    def case(keep, dtype, tmp_path):
        if (keep, dtype) not in made:
            own = lanes_of(keep, dtype)
            made[keep, dtype] = own, run(own, tmp_path / "whole")[0]
        return made[keep, dtype]

    return case


def run(own, folder, stop=None):
    """One process: (Trials, segments that were read, segments that were computed).

    `stop` is the signal that comes while the first new segment is computed.
    """
    counts = [0, 0]

    def count(k):
        def add(*_):
            counts[k] += 1

        return add

    it = store.create_or_open(folder, {"kind": "trials"}, say=pytest.fail)
    before = len(store.committed_segments(it))
    hooks = Hooks(
        keep=lambda cohort, _: np.ones(len(cohort), bool),
        on_read=count(0),
        on_segment=count(1),
        stop_requested=lambda: (
            stop if len(store.committed_segments(it)) > before else None
        ),
    )
    try:
        return run_cohort(it, NAME, own, COHORT, hooks), *counts
    finally:
        store.close(it)


@pytest.fixture
def often(monkeypatch):
    """A snapshot after each segment."""
    monkeypatch.setattr(execute, "_SNAPSHOT_S", -1.0)
    monkeypatch.setattr(execute, "_SNAPSHOT_PART", -1.0)


RESULTS = ("trace", "evaluation", "best", "kept_step")


def assert_same_bits(found, expected, names):
    for name in names:
        pair = getattr(found, name), getattr(expected, name)
        for a, b in zip(*map(jax.tree.leaves, pair), strict=True):
            assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), name


def params_in(folder, dtype="float32"):
    """The stored w of each trial, and its running mean."""
    it = store.open_to_read(folder, say=pytest.fail)
    found = [params.leaves_of(it, one.id) for one in COHORT]
    assert {own["w"].dtype for own, _ in found} == {np.dtype(dtype)}
    return [(own["w"].item(), state["mean"].item()) for own, state in found]


def params_of(trials):
    """The same of trials in memory."""
    pairs = (trials.params["w"].tolist(), trials.model_state["mean"].tolist())
    return list(zip(*pairs, strict=True))


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_crash_after_the_best_step_keeps_the_best_parameters(
    cases, dtype, tmp_path, monkeypatch
):
    own, whole = cases("best", dtype, tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv(faults.VARIABLE, "commit:after_journal:4:raise")
        with pytest.raises(RuntimeError, match="commit:after_journal"):
            run(own, tmp_path / "crashed")
    reader = store.open_to_read(tmp_path / "crashed", say=pytest.fail)
    name, arrays = store.latest_snapshot(reader)
    assert store.committed_segments(reader)[name]["steps"] > whole.kept_step.max()
    stored = [values.tobytes() for values in arrays.values()]
    assert whole.params["w"].tobytes() in stored, "the copy of the best parameters"

    found, num_read, num_computed = run(own, tmp_path / "crashed")
    assert num_read == 3 and num_computed > 0
    assert_same_bits(found, whole, (*RESULTS, "params", "model_state", "state"))
    assert found.params["w"].dtype == dtype
    np.testing.assert_allclose(found.params["w"].astype(np.float32), 0.5, atol=0.05)
    assert (found.state.params["w"].astype(np.float32) > 0.6).all()


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.slow
def test_stopped_after_every_segment_it_ends_with_the_same_bits(cases, keep, tmp_path):
    own, whole = cases(keep, "float32", tmp_path)
    num_stops = 0
    found = None
    while found is None:
        try:
            found, num_read, num_computed = run(
                own, tmp_path / "stopped", signal.SIGINT
            )
        except Interrupted:
            num_stops += 1
    assert (num_read, num_computed) == (num_stops, 0) and num_stops > 3
    assert_same_bits(found, whole, RESULTS)
    assert params_in(tmp_path / "stopped") == params_of(whole)
    is_best = whole.kept_step < EVALUATIONS * EVERY
    assert is_best.all() if keep == "best" else not is_best.any()


def test_parameters_of_a_narrow_type_keep_their_type_and_values(cases, tmp_path):
    own, _ = cases("best", "bfloat16", tmp_path)
    found, *_ = run(own, tmp_path / "run")
    assert params_in(tmp_path / "run", "bfloat16") == params_of(found)
