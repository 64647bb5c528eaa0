"""Batches are given to workers that are lost, late, slow or different, in turn."""

import pickle
from collections import Counter

import numpy as np
import pytest

from gradjax.errors import Interrupted, Refusal
from gradjax.executors import Executor, WorkerLost
from gradjax.records import adopted
from gradjax.records import store as stored
from gradjax.sweeps import dispatch
from gradjax.sweeps.batch import Counts, Task
from gradjax.sweeps.remote import Answer


def task(number):
    return Task(f"search-0-abc-{number:04d}", [], "", None, "", "none")


def answer(prefix, value=1.0, **more):
    """What a worker gives back of a batch."""
    arrays = {"trial": np.array(["a"]), "value": np.array([value])}
    files = [
        adopted.staged(None, "params", prefix, {"w": np.array([value])}),
        adopted.staged(None, "segment", f"{prefix}-000000", arrays, steps=1),
    ]
    given = Answer("process 1 on a", None, None, files, Counts(1))
    return pickle.dumps(given._replace(**more))


def refusal(line):
    return pickle.dumps(Answer("process 1 on a", line, None, [], Counts()))


def fake(does, num_workers=2, nodes=("a",)):
    """An executor in this process, with the list of what it was asked.

    `does` is called with the prefix of a batch (None: a probe) and with how often it
    was asked before. It returns an answer, raises WorkerLost, or returns None, if the
    worker does not answer.
    """
    asked, handles = [], {}
    tries = Counter()

    def submit(task, node):
        prefix = getattr(pickle.loads(task), "prefix", None)
        handle = len(asked)
        handles[handle] = prefix, tries[prefix]
        tries[prefix] += 1
        asked.append(("submit", prefix, node))
        return handle

    def ends(handle):
        try:
            return does(*handles[handle]) is not None
        except WorkerLost:
            return True

    return asked, Executor(
        slots=lambda: num_workers,
        nodes=lambda: list(nodes),
        submit=submit,
        wait=lambda handles, _: [one for one in handles if ends(one)],
        result=lambda handle: does(*handles[handle]),
        cancel=lambda handle: asked.append(("cancel", handles[handle][0], None)),
        close=lambda: None,
    )


@pytest.fixture
def store(tmp_path):
    opened = stored.create_or_open(tmp_path / "s", {"kind": "trials"}, say=print)
    yield opened
    stored.close(opened)


class Watched:
    """What the hooks were told."""

    def __init__(self):
        self.said, self.ended, self.now, self.stop = [], [], 0.0, None

    def hooks(self, tick_s=0.6):
        def clock():
            self.now += tick_s
            return self.now

        def set_aside(task):
            name = f"{task.prefix}-000000"
            arrays = {"is_set_aside": np.array([True])}
            return [adopted.staged(None, "segment", name, arrays)]

        return dispatch.Hooks(
            set_aside, self.ended.append, self.said.append, lambda: self.stop, clock
        )


def lines(store, name):
    """How often the journal commits a file."""
    text = (store.folder / "journal.jsonl").read_text()
    return text.count(f'"name":"{name}"') + text.count(f'"name": "{name}"')


def test_every_batch_is_committed_once(store):
    watched, tasks = Watched(), [task(k) for k in range(5)]
    asked, executor = fake(lambda prefix, _: answer(prefix))
    dispatch.run(store, executor, tasks, watched.hooks())
    assert [one[1] for one in asked] == [one.prefix for one in tasks]
    assert len(watched.ended) == 5
    for one in tasks:
        assert lines(store, f"{one.prefix}-000000") == 1
        assert stored.read(store, one.prefix)["w"] == 1.0
    assert dispatch.left_of(store, [one.prefix for one in [*tasks, task(9)]]) == [
        task(9).prefix
    ]


def test_a_lost_batch_goes_to_another_worker(store):
    def does(prefix, tries):
        if prefix == task(1).prefix and tries < 2:
            raise WorkerLost("its node\nwas lost " + "x" * 1_000)
        return answer(prefix)

    watched = Watched()
    dispatch.run(store, fake(does)[1], [task(0), task(1)], watched.hooks())
    assert len(watched.ended) == 2
    start = f"{task(1).prefix}: try 2 of 3 gave no result: its node was lost xx"
    assert watched.said[1].startswith(start)
    assert len(watched.said[1]) < 400 and "\n" not in watched.said[1]


def test_a_batch_that_ends_three_workers_is_set_aside_and_the_rest_goes_on(store):
    def does(prefix, _):
        if prefix == task(0).prefix:
            raise WorkerLost("its process ended")
        return answer(prefix)

    watched = Watched()
    asked, executor = fake(does)
    dispatch.run(store, executor, [task(k) for k in range(4)], watched.hooks())
    assert Counter(one[1] for one in asked)[task(0).prefix] == 3
    assert len(watched.ended) == 3
    assert watched.said[-1] == f"{task(0).prefix}: 0 trials are set aside"
    segment = stored.read(store, f"{task(0).prefix}-000000")
    assert segment["is_set_aside"].all()


def test_a_refusal_of_a_worker_ends_the_sweep_and_keeps_what_is_committed(store):
    def does(prefix, _):
        if prefix == task(2).prefix:
            return refusal("it has no data")
        return None if prefix == task(3).prefix else answer(prefix)

    asked, executor = fake(does)
    with pytest.raises(Refusal, match="process 1 on a: it has no data"):
        dispatch.run(store, executor, [task(k) for k in range(4)], Watched().hooks())
    assert set(stored.committed_segments(store)) == {
        f"{task(k).prefix}-000000" for k in range(2)
    }
    assert asked[-1] == ("cancel", task(3).prefix, None)


def test_a_signal_cancels_the_running_batches(store):
    watched = Watched()

    def does(prefix, _):
        if prefix == task(0).prefix:
            return answer(prefix)
        watched.stop = 15 if watched.ended else None
        return None

    asked, executor = fake(does)
    with pytest.raises(Interrupted, match="1 of 3 batches") as stopped:
        dispatch.run(store, executor, [task(k) for k in range(3)], watched.hooks())
    assert stopped.value.number == 15
    cancelled = [one[1] for one in asked if one[0] == "cancel"]
    assert cancelled == [task(1).prefix, task(2).prefix]


def test_a_straggler_gets_a_second_worker_and_the_first_commit_wins(store):
    last = task(5).prefix

    def does(prefix, tries):
        is_stuck = prefix == last and not tries
        return None if is_stuck else answer(prefix)

    watched = Watched()
    asked, executor = fake(does)
    dispatch.run(store, executor, [task(k) for k in range(6)], watched.hooks(0.5))
    assert [one[0] for one in asked if one[1] == last] == ["submit", "submit", "cancel"]
    assert "a second worker begins it, too" in watched.said[0]
    assert watched.now >= 30.0
    assert len(watched.ended) == 6
    assert lines(store, f"{last}-000000") == 1


def test_a_batch_is_given_up_after_a_long_time(store):
    def does(prefix, tries):
        is_stuck = prefix == task(5).prefix and tries < 2
        return None if is_stuck else answer(prefix)

    watched = Watched()
    asked, executor = fake(does, num_workers=1)
    tasks = [task(k) for k in range(6)]
    dispatch.run(store, executor, tasks, watched.hooks(100.0))
    assert [one[0] for one in asked[-5:]] == [*("submit", "cancel") * 2, "submit"]
    assert f"{task(5).prefix}: try 2 of 3 gave no result: no answer in" in str(
        watched.said
    )
    assert len(watched.ended) == 6


def test_without_a_worker_it_waits_and_says_so_once(store):
    watched, slots = Watched(), iter([1, 0, 0, 0, 1, 1])

    def does(prefix, tries):
        if prefix == task(0).prefix and not tries:
            raise WorkerLost("its node was lost")
        return answer(prefix)

    _, executor = fake(does)
    executor = executor._replace(slots=lambda: next(slots))
    dispatch.run(store, executor, [task(0), task(1)], watched.hooks())
    assert watched.said[1:] == ["no worker is left: waiting until one joins"]
    assert len(watched.ended) == 2


def test_two_workers_that_compute_the_same_batch_are_compared(store):
    first = pickle.loads(answer("b")).files
    assert adopted.commit(store, [adopted.Batch(first, {})])[0]
    assert not adopted.commit(store, [adopted.Batch(first, {})])[0]
    other = pickle.loads(answer("b", 2.0)).files
    with pytest.raises(Refusal, match="is not deterministic: two workers computed it"):
        adopted.commit(store, [adopted.Batch(other, {})])[0]
    marked = [one._replace(record=one.record | {"worker": 1}) for one in other]
    assert not adopted.commit(store, [adopted.Batch(marked, {})])[
        0
    ]  # of another environment
    assert stored.read(store, "b")["w"] == 1.0


def test_a_file_that_a_worker_has_staged_is_renamed_or_removed(store):
    def staged():
        arrays = {"value": np.array([1.0])}
        return [adopted.staged(store.folder, "segment", "b-000000", arrays)]

    files = staged()
    assert files[0].content is None
    assert adopted.commit(store, [adopted.Batch(files, {})])[0]
    assert not adopted.commit(store, [adopted.Batch(staged(), {})])[0]
    assert [one.name for one in (store.folder / "segments").iterdir()] == [
        "b-000000.npz"
    ]


def test_lines_have_the_marks_of_accepted_changes_and_of_other_workers(store):
    stored.append(store, {"environment": {"versions": {}}})
    mark = dispatch.mark_of(store, {"device": "b"})
    assert dispatch.mark_of(store, {"device": "c"}) == {"worker": 2}
    assert dispatch.mark_of(store, {"device": "b"}) == mark == {"worker": 1}
    assert dispatch.mark_of(store, None) == {}
    adopted.commit(store, [adopted.Batch(pickle.loads(answer("b")).files, mark)])[0]
    line = stored.committed_segments(store)["b-000000"]
    assert (line["environment"], line["worker"]) == (1, 1)


def test_a_probe_asks_every_node_and_says_which_has_another_environment():
    said = []
    asked, executor = fake(lambda *_: answer("b", environment={}), nodes=("a", "b"))
    dispatch.probe(executor, said.append)
    assert [one[2] for one in asked] == ["a", "b"]
    assert said == ["process 1 on a has another environment; its rows are marked"] * 2


def test_a_probe_refuses_a_worker_that_is_lost_or_refuses_or_is_silent(monkeypatch):
    def lost(*_):
        raise WorkerLost("ModuleNotFoundError: gradjax")

    with pytest.raises(Refusal, match="cannot start: ModuleNotFoundError: gradjax"):
        dispatch.probe(fake(lost)[1], print)
    with pytest.raises(Refusal, match="on a: it has no data"):
        dispatch.probe(fake(lambda *_: refusal("it has no data"))[1], print)
    with pytest.raises(Refusal, match="there is no worker"):
        dispatch.probe(fake(lost, nodes=())[1], print)
    monkeypatch.setattr(dispatch, "_PROBE_S", 0.01)
    with pytest.raises(Refusal, match="1 of 1 workers did not answer in 0.01 s"):
        dispatch.probe(fake(lambda *_: None)[1], print)
