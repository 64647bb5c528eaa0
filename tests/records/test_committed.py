"""The segments of a cohort, and the file of the parameters of a trial, are found."""

import numpy as np
import pytest

from gradjax.records import adopted, committed, params, store
from gradjax.sweeps import execute


@pytest.fixture
def opened(tmp_path):
    made = store.create_or_open(tmp_path / "s", {"kind": "trials"}, say=pytest.fail)
    yield made
    store.close(made)


def segment(store_, name):
    about = {"interval": [0, 1], "steps": 10, "num_steps": 10}
    store.commit(store_, name, {"trial": np.asarray([name])}, **about)


def test_the_segments_of_a_cohort_are_found_without_those_of_others(opened):
    for name in ("search-0-a-1000", "search-0-a-10000", "search-0-b-1000"):
        segment(opened, f"{name}-000000")
    segment(opened, "search-0-a-1000-000001")
    names = ["search-0-a-1000-000000", "search-0-a-1000-000001"]
    found = committed.committed_segments(opened, "search-0-a-1000")
    assert list(found) == names
    every = committed.committed_segments(opened)
    assert found == {name: every[name] for name in names}
    assert committed.committed_segments(opened, "search-0-a") == {}


def test_an_opened_store_has_the_index_of_the_one_that_was_closed(opened):
    segment(opened, "search-0-a-0000-000000")
    segment(opened, "search-0-a-0000-000001")
    again = store.open_to_read(opened.folder, say=pytest.fail)
    assert again.cohorts == opened.cohorts != {}


def test_a_segment_that_is_committed_again_is_in_the_index_once(opened):
    segment(opened, "search-0-a-0000-000000")
    line = opened.files["search-0-a-0000-000000"]
    committed.add(opened, line)
    assert opened.cohorts == {"search-0-a-0000": ["search-0-a-0000-000000"]}


def test_a_batch_of_a_worker_is_in_the_index(opened):
    name = "search-0-a-0000"
    about = {"interval": [0, 1], "steps": 10, "num_steps": 10}
    own = {"trial": np.asarray(["t"])}
    files = [
        adopted.staged(opened.folder, "params", name, own),
        adopted.staged(opened.folder, "segment", f"{name}-000000", own, **about),
    ]
    assert adopted.commit(opened, [adopted.Batch(files, {})])[0]
    assert opened.cohorts == {name: [f"{name}-000000"]}
    assert store.is_committed(opened, "params", name)
    assert not store.is_committed(opened, "segment", name)


def test_the_parameters_of_another_cohort_whose_number_begins_alike_do_not_count(
    opened,
):
    """The cohorts 1000 and 10000 of one group are two."""
    segment(opened, "search-0-a-1000-000000")
    segment(opened, "search-0-a-10000-000000")
    store.commit_params(opened, "search-0-a-10000", {"trial": np.asarray(["t"])})
    assert execute.can_go_on(opened, "search-0-a-10000")
    assert not execute.can_go_on(opened, "search-0-a-1000")


def test_the_parameters_of_a_trial_are_read_from_the_file_at_its_place(
    opened, monkeypatch
):
    ids = [f"t{k}" for k in range(30)]
    trials = [{"group": "g" if k < 29 else "h"} for k in range(30)]
    event = {"round": "search", "number": 0, "ids": ids, "trials": trials}
    store.append(opened, event)
    for k in reversed(range(10)):  # in any order, with three trials each
        own = {"trial": np.asarray(ids[3 * k : 3 * k + 3]), "params/w": np.arange(3.0)}
        store.commit_params(opened, f"search-0-g-{k:04d}", own)
    read = []
    real = store.read
    monkeypatch.setattr(store, "read", lambda s, n: read.append(n) or real(s, n))
    leaves = params.leaves_of(opened, "t13")
    assert leaves is not None
    assert leaves[0]["w"] == 1.0
    assert read[-1] == "search-0-g-0004"
    assert len(read) <= 2
    assert params.leaves_of(opened, "t29") is None  # of another group


def test_parameters_of_a_trial_that_the_journal_does_not_list_are_found(opened):
    own = {"trial": np.asarray(["lost"]), "params/w": np.ones(1)}
    store.commit_params(opened, "search-0-g-0000", own)
    assert params.leaves_of(opened, "lost") is not None
