"""The real dispatcher and store with simulated workers, some of which are lost."""

import os
from collections import Counter

import numpy as np
import pytest

from gradjax.files import read_npz
from gradjax.records import adopted, store
from gradjax.sweeps import dispatch
from gradjax.sweeps.batch import Task
from gradjax.sweeps.points import Trial
from gradjax.types import Settings
from scripts import simulated_cluster as simulated
from scripts.simulated_cluster import Cluster

PART = 5  # trials of a batch
HARSH = Cluster(50, 0.05, stragglers=0.03, poisoned=0.02, task_s=10.0, seed=4)


def tasks_of(folder, count, size=PART):
    ids = [f"{k:016d}" for k in range(count)]
    made = [Trial(one, "g", Settings("toy"), {}, {}, 0, "sgd") for one in ids]
    return [
        Task(f"search-0-g-{k:04d}", made[at : at + size], str(folder), None, "h", "all")
        for k, at in enumerate(range(0, count, size))
    ]


def files_of(task, folder, is_set_aside=False):
    ids = np.asarray([one.id for one in task.trials])
    arrays = {"trial": ids, "is_set_aside": np.full(len(ids), is_set_aside)}
    name = f"{task.prefix}-000000"
    return [
        adopted.staged(folder, "params", task.prefix, {"trial": ids[:1]}),
        adopted.staged(folder, "segment", name, arrays, round="h"),
    ]


def simulate(folder, cluster, count, size=PART):
    opened = store.create_or_open(folder, {"kind": "trials"}, say=pytest.fail)
    log, lines, finished = simulated.new_log(), [], []
    hooks = dispatch.Hooks(
        set_aside=lambda task: files_of(task, None, is_set_aside=True),
        finished=finished.append,
        say=lines.append,
        stop_requested=lambda: None,
        clock=log.clock,
    )
    try:
        workers = simulated.start(cluster, lambda one: files_of(one, folder), log)
        dispatch.run(opened, workers, tasks_of(folder, count, size), hooks)
    finally:
        store.close(opened)
    return log, lines, finished


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster") / "sweep"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # its time is that of the disk
        return folder, *simulate(folder, HARSH, 500)


def test_each_trial_is_committed_once_although_workers_are_lost(ended):
    folder, log, _, _ = ended
    assert log.counts["lost"] > 5
    assert log.counts["machines"] > 0
    assert store.verify(folder) == []
    opened = store.open_to_read(folder, say=pytest.fail)
    found = Counter(
        id
        for name in store.committed_segments(opened)
        for id in store.read(opened, name)["trial"].tolist()
    )
    assert found == Counter(f"{k:016d}" for k in range(500))
    lines = (folder / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 2 * 100  # the plan, and both files of each batch


def test_only_batches_that_end_all_of_their_workers_are_set_aside(ended):
    folder, log, lines, finished = ended
    said = {one.partition(":")[0] for one in lines if one.endswith("are set aside")}
    assert said == log.poisoned != set()
    assert len(finished) == 100 - len(said)
    for path in (folder / "segments").iterdir():
        is_set_aside = read_npz(path)["is_set_aside"]
        assert is_set_aside.all() == is_set_aside.any()
        assert is_set_aside.all() == (path.stem.rpartition("-")[0] in said)


def test_a_second_worker_begins_what_takes_long_and_one_of_both_counts(ended):
    _, log, lines, finished = ended
    doubled = [one for one in lines if "a second worker begins it" in one]
    assert doubled
    assert log.counts["cancelled"] > 0
    ends = len(finished) + log.counts["lost"] + log.counts["cancelled"]
    assert log.counts["tasks"] == ends
    assert log.counts["most_at_once"] <= 50


def test_the_same_seed_gives_the_same_cluster(tmp_path, ended, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    _, log, lines, _ = ended
    again, said, _ = simulate(tmp_path / "sweep", HARSH, 500)
    assert again.counts == log.counts
    assert again.now == log.now
    assert said == lines


@pytest.mark.slow
def test_the_time_of_the_driver_does_not_grow_with_the_number_of_batches(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    cluster = Cluster(1_000, failures=0.05, stragglers=0.01)
    log, _, finished = simulate(tmp_path / "sweep", cluster, 10_000, size=1)
    assert len(finished) > 9_950  # a few are set aside: three workers were lost
    cpu = [cpu for cpu, _ in log.answers]
    first, last = cpu[1_500] - cpu[500], cpu[-2_000] - cpu[-3_000]
    assert last < 2 * first
