"""A worker says how it differs from the record before it computes anything."""

import functools
import re
import threading

import numpy as np
import pytest

from gradjax.errors import Refusal
from gradjax.executors import EXECUTORS
from gradjax.records import environment, frames
from gradjax.records import store as stored
from gradjax.sweeps import remote
from gradjax.sweeps.batch import Task
from gradjax.sweeps.remote import Made, Work
from gradjax.trials import devices
from gradjax.types import Sweep
from tests.sweeps.in_process import executor
from tests.sweeps.runs import trained

SWEEP = Sweep(
    sweep=("learning_rate=[0.01, 0.02, 0.03, 0.04]",),
    executor="processes",
    lane_width=2,
    fresh_seeds=0,
)
HERE = environment() | {"num_threads": 2, "sources": {"gradjax": "a", "rule.py": "b"}}
OTHERS = {
    "jaxlib": {"versions": HERE["versions"] | {"jaxlib": "0.0.1"}},
    "python": {"python": "3.0.0"},
    "device": {"device": "TPU v9"},
    "backend": {"backend": "tpu"},
    "instruction_set": {"instruction_set": "x86_64 sse4_2"},
    "num_threads": {"num_threads": 64},
    "gradjax": {"sources": {"gradjax": "c", "rule.py": "b"}},
    "rule.py": {"sources": {"gradjax": "a", "rule.py": "d"}},
}
SAME = {
    "cpu": {"cpu": "another name"},
    "git_revision": {"git_revision": "0"},
    "num_devices": {"num_devices": 99},
    "not here": {"sources": {"gradjax": "a"}},  # it came with its content
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_decides_bits_is_refused(name):
    with pytest.raises(Refusal, match=rf"differs from this machine \(.*{name}.* there"):
        remote.check(HERE, HERE | OTHERS[name], False)
    remote.check(HERE, HERE | OTHERS[name], True)
    assert len(remote.differences(HERE, HERE | OTHERS[name])) == 1


@pytest.mark.parametrize("name", SAME)
def test_what_decides_nothing_is_accepted(name):
    remote.check(HERE, HERE | SAME[name], False)


@pytest.fixture
def asks(monkeypatch):
    """Asks a worker in this process whether it is as a record needs it."""

    def ask(wanted, made, accepts=False):
        monkeypatch.setattr(devices, "use", lambda _: None)
        work = Work(
            functools.partial(give, made), wanted, {"hash": "a"}, {}, accepts, {}
        )
        given = remote.run(remote.dump(work), remote.dump_task(None))
        return remote.load(given)

    remote._made.cache_clear()
    yield ask
    remote._made.cache_clear()


def give(made):
    if isinstance(made, Exception):
        raise made
    return made


def test_a_worker_answers_with_its_refusal_or_its_environment(asks):
    here, made = environment(), Made(lambda _: None, {"hash": "a"})
    assert asks(here, made).refusal is None
    assert asks(here, made).environment is None
    assert re.fullmatch(r"process \d+ on .+", asks(here, made).where)
    other = here | OTHERS["jaxlib"]
    assert "jaxlib" in asks(other, made).refusal
    given = asks(other, made, accepts=True)
    assert given.refusal is None
    assert given.environment["versions"] == here["versions"]
    line = "data set digits is not prepared"
    assert asks(here, Refusal(line)).refusal == line
    other = asks(here, Made(lambda _: None, {"hash": "b"}))
    assert other.refusal == "it has other data than this machine (data.hash)"


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(Refusal, match="cannot be sent to other processes"):
        remote.dump_task(Task("a", [threading.Lock()], "", None, "", "none"))


@pytest.fixture
def trains(tmp_path, monkeypatch):
    """Trains a sweep by workers in this process."""

    def train(name, does=lambda *_: None, asked=SWEEP):
        start, log = executor(does, monkeypatch)
        monkeypatch.setitem(EXECUTORS, "processes", start)
        found = trained(tmp_path / name, asked)
        return frames(tmp_path / name), found, log

    return train


def ordered(curves):
    """Curves in an order that does not depend on how many segments hold them."""
    by = ["trial", "name", "step"]
    return curves.sort_values(by, kind="stable").reset_index(drop=True)


@pytest.mark.slow
def test_a_batch_without_results_is_set_aside_and_the_rest_is_as_inline(
    trains, tmp_path
):
    def does(prefix, _):
        return "lost" if prefix and prefix.endswith("0001") else None

    found, summary, log = trains("a", does)
    inline = SWEEP._replace(executor="inline")
    trained(tmp_path / "b", inline)
    wanted = frames(tmp_path / "b")
    assert found.trials["status"].tolist() == [*["finished"] * 2, *["set aside"] * 2]
    assert summary["num_set_aside"] == 2
    assert len(log) == 1 + 1 + 3  # a probe, a batch, and three tries of the other
    assert found.trials[:2].equals(wanted.trials[:2])
    trials = set(wanted.trials["trial"][:2])
    curves = wanted.curves[wanted.curves["trial"].isin(trials)]
    assert ordered(found.curves).equals(ordered(curves))


@pytest.mark.slow
def test_rows_of_other_workers_are_marked(trains, tmp_path, monkeypatch):
    own = remote.own_environment

    def other(files):
        return own(files) | {"device": "another one"}

    def does(prefix, _):
        changed = other if prefix and prefix.endswith("0001") else own
        monkeypatch.setattr(remote, "own_environment", changed)
        remote._made.cache_clear()

    with pytest.raises(Refusal, match="device another one there"):
        trains("a", does)
    accepted = SWEEP._replace(accept_mixed_bits=True)
    found, _, _ = trains("a", does, accepted)
    assert found.trials["worker_environment"].tolist() == [0, 0, 1, 1]
    store = stored.open_to_read(tmp_path / "a", say=print)
    events = [one["worker"] for one in stored.events(store) if "worker" in one]
    assert [one["device"] for one in events] == ["another one"]


@pytest.mark.slow
def test_a_worker_without_the_folder_returns_the_files(trains, monkeypatch):
    monkeypatch.setattr(remote, "_shared_folder", lambda _: None)
    found, _, _ = trains("a")
    monkeypatch.undo()
    assert found.trials["status"].eq("finished").all()
    assert np.isfinite(found.trials["validation_loss"]).all()
