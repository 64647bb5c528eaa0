"""Every line and every file of a finished sweep, damaged one at a time.

Each reader gives what is right or one line. The resuming command restores everything.
"""

import shutil
import warnings

import numpy as np
import pytest

import gradjax
from experiments import minimize
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.errors import Refusal
from gradjax.records import store, summary_of
from gradjax.types import Options, Sweep

RATES = Sweep(sweep=("learning_rate=[0.01, 0.1]",), fresh_seeds=1)
DRAWN = {"problem": "ridge", "steps": 20, "batch_size": 32, "optimizer": "sgd"}


def swept(folder, seeds=1):
    settings = settings_of(minimize.EXPERIMENT, seeds=seeds, **DRAWN)
    options = Options(workdir=str(folder), plot=False)
    return train(minimize.EXPERIMENT, settings, RATES, options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep of two rounds of search and two rounds of fresh seeds."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    swept(folder)
    swept(folder, seeds=2)
    return folder


def rows_of(folder):
    """(trials by id, curves by trial, name and step) of a folder."""
    trials, curves = gradjax.frames(folder)
    if trials.empty:
        return {}, {}
    assert trials.trial.is_unique
    assert not curves.duplicated(["trial", "name", "step"]).any()
    rows = {row["trial"]: row for row in trials.to_dict("records")}
    points = zip(curves.trial, curves.name, curves.step, curves.value, strict=True)
    return rows, {(trial, name, step): value for trial, name, step, value in points}


def one_line(call, folder):
    """The result of a reader, or None after a refusal of one line."""
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = call(folder)
    except Refusal as refusal:
        assert "\n" not in str(refusal) and str(folder) in str(refusal)
        return None
    assert all("\n" not in str(one.message) for one in said)
    return found


def check(folder, expected):
    """Reads a damaged folder in every way, then resumes it."""
    rows, points = one_line(rows_of, folder) or ({}, {})
    for trial, row in rows.items():
        if row["status"] in ("finished", "diverged"):
            np.testing.assert_equal(row, expected[0][trial])
    assert points.items() <= expected[1].items()
    run = one_line(gradjax.load, folder)
    for name, series in {} if run is None else run.trace.items():
        trial = run.summary["trials"][0]["trial"]
        for step, value in zip(*series, strict=True):
            assert expected[1][trial, name, step] == value
    for call in (store.status, store.verify, summary_of):
        one_line(call, folder)
    summary = one_line(lambda folder: swept(folder, seeds=2), folder)
    if summary is None:
        return False
    found = one_line(rows_of, folder)
    np.testing.assert_equal(found, expected)
    return True


def garbled(line):
    return line[: len(line) // 2] + b"#" + line[len(line) // 2 + 1 :]


LINES = {
    "garbled": garbled,
    "shortened": lambda line: line[: len(line) // 2] + b"\n",
    "dropped": lambda _: b"",
}
FILES = {
    "deleted": None,
    "emptied": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "flipped": garbled,
}


def damaged(whole, tmp_path, how, every):
    """Yields (folder, what was damaged in it); `every`: all, or a part of them."""
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    names = [str(p.relative_to(whole)) for p in sorted(whole.rglob("*")) if p.is_file()]
    each = range(len(lines)) if how in LINES else names
    for k, which in list(enumerate(each))[every]:
        folder = shutil.copytree(whole, tmp_path / f"{how}-{k}")
        if how in LINES:
            content = [*lines[:k], LINES[how](lines[k]), *lines[k + 1 :]]
            (folder / "journal.jsonl").write_bytes(b"".join(content))
        elif FILES[how] is None:
            (folder / which).unlink()
        else:
            path = folder / which
            path.write_bytes(FILES[how](path.read_bytes()))
        yield folder, which


EACH = [  # each line and each file is damaged once
    pytest.param(how, slice(k, None, len(ways)), marks=pytest.mark.slow, id=how)
    for ways in (LINES, FILES)
    for k, how in enumerate(ways)
]
# In the quick tests: the line of a round, the line of a segment, and the plan.
SOME = [("garbled", slice(1, 2)), ("dropped", slice(3, 4)), ("deleted", slice(2, 3))]


@pytest.mark.parametrize(("how", "every"), [*EACH, *SOME])
@pytest.mark.slow
def test_damage_gives_a_right_result_or_one_line(how, every, whole, tmp_path):
    with warnings.catch_warnings(record=True):
        expected = rows_of(whole)
    for folder, which in damaged(whole, tmp_path, how, every):
        assert check(folder, expected), which
