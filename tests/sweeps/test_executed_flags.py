"""Workers train every kind of a sweep to the rows and curves of the inline one."""

import pytest

from gradjax.executors import EXECUTORS
from gradjax.records import frames
from gradjax.records import store as stored
from gradjax.types import Sweep
from tests.executors.commands import ordered
from tests.sweeps.in_process import executor
from tests.sweeps.runs import trained

pytestmark = pytest.mark.slow
RATES = Sweep(sweep=("learning_rate=[0.01, 0.02, 0.03]",), lane_width=2, fresh_seeds=0)
RANDOM = ("learning_rate=log(1e-3, 1)",)
CASES = {
    "fresh seeds": (RATES._replace(fresh_seeds=3), {}),
    "seeds": (RATES, {"seeds": 3}),
    "keep": (RATES, {"keep": "best", "eval_every": 20}),
    "patience": (RATES, {"patience": 2, "eval_every": 10}),
    "all parameters": (RATES._replace(keep_params="all"), {}),
    "no parameters": (RATES._replace(keep_params="none"), {}),
    "snapshots": (RATES._replace(keep_snapshots=40), {}),
    "diverging": (
        RATES._replace(sweep=("learning_rate=[0.01, 1e9]",)),
        {"optimizer": "sgd"},
    ),
    "diagnostics": (RATES, {"diagnostics": "distances"}),
    "optimizers": (RATES._replace(sweep=("optimizer=[adam, sgd, lion]",)), {}),
    "random": (RATES._replace(sweep=RANDOM, search="random", trials=5), {}),
    "tpe": (RATES._replace(sweep=RANDOM, search="tpe", trials=12), {}),
    "one run": (Sweep(), {}),
}


@pytest.fixture
def by_workers(tmp_path, monkeypatch):
    """Trains by workers in this process."""

    def train(name, asked, **flags):
        start, log = executor(lambda *_: None, monkeypatch)
        with monkeypatch.context() as patch:
            patch.setitem(EXECUTORS, "processes", start)
            trained(tmp_path / name, asked._replace(executor="processes"), **flags)
        assert log
        return frames(tmp_path / name)

    return train


def files_of(folder, kind):
    store = stored.open_to_read(folder, say=print)
    return {name for name, one in store.files.items() if one["kind"] == kind}


def assert_same(found, wanted):
    assert found.trials.equals(wanted.trials)
    assert ordered(found.curves).equals(ordered(wanted.curves))


@pytest.mark.parametrize("name", CASES)
def test_rows_and_curves_are_those_of_inline(name, by_workers, tmp_path):
    asked, flags = CASES[name]
    flags = {"steps": 100} | flags
    found = by_workers("a", asked, **flags)
    trained(tmp_path / "b", asked, **flags)
    assert_same(found, frames(tmp_path / "b"))
    for kind in ("params", "states", "kept_snapshot"):
        here, there = (files_of(tmp_path / one, kind) for one in "ab")
        assert bool(here) == bool(there), kind


def test_a_sweep_that_was_trained_by_workers_is_extended_inline(by_workers, tmp_path):
    asked = RATES._replace(keep_params="all")
    by_workers("a", asked, steps=100)
    trained(tmp_path / "a", asked, steps=200)
    trained(tmp_path / "b", asked, steps=100)
    trained(tmp_path / "b", asked, steps=200)
    assert_same(frames(tmp_path / "a"), frames(tmp_path / "b"))


def test_more_trials_of_a_sweep_are_trained_by_workers(by_workers, tmp_path):
    asked = RATES._replace(sweep=RANDOM, search="random")
    trained(tmp_path / "a", asked._replace(trials=3), steps=100)
    found = by_workers("a", asked._replace(trials=6), steps=100)
    trained(tmp_path / "b", asked._replace(trials=6), steps=100)
    wanted = frames(tmp_path / "b").trials.sort_values("trial", ignore_index=True)
    assert found.trials.sort_values("trial", ignore_index=True).equals(wanted)
