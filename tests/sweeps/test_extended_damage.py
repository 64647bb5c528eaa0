"""An extension of a finished run survives kills, damage and changed versions."""

import shutil

import pytest

from gradjax import Refusal, records
from gradjax.records import journal, opening, reading, store
from gradjax.types import Sweep
from tests.sweeps.runs import trained
from tests.sweeps.test_extended import check_same, stopped

OWN = {"problem": "rosenbrock", "batch_size": None}
ADOPTED = "commit:after_journal:1"  # the trunk is committed


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    folder = tmp_path_factory.mktemp("short") / "run"
    trained(folder, **OWN, steps=20)
    return folder


@pytest.fixture
def killed(short, tmp_path, monkeypatch):
    """A run of 20 steps whose extension to 40 was killed after it had its trunk."""
    shutil.copytree(short, tmp_path / "run")
    stopped(monkeypatch, ADOPTED, tmp_path / "run", **OWN, steps=40)
    return tmp_path / "run"


def without_line(folder, text):
    path = folder / journal.FILE
    lines = path.read_bytes().splitlines(keepends=True)
    changed = [line.replace(text, b"?" * len(text)) for line in lines]
    assert sum(a != b for a, b in zip(lines, changed, strict=True)) == 1
    path.write_bytes(b"".join(changed))


@pytest.mark.slow
def test_the_line_names_the_step_where_it_begins(short, tmp_path, monkeypatch, capsys):
    shutil.copytree(short, tmp_path / "run")
    stopped(monkeypatch, "event:after_journal:1", tmp_path / "run", **OWN, steps=40)
    capsys.readouterr()
    trained(tmp_path / "run", **OWN, steps=80)
    assert "goes on from step 20 to step 80, with" in capsys.readouterr().out


@pytest.mark.slow
def test_the_states_of_the_shorter_run_replace_a_lost_snapshot(killed, tmp_path):
    shutil.copytree(killed, tmp_path / "kept")
    trained(tmp_path / "kept", **OWN, steps=40)
    for path in (killed / "snapshots").iterdir():
        path.write_bytes(b"damaged")
    shutil.copytree(killed, tmp_path / "both")
    trained(killed, **OWN, steps=40)
    check_same(killed, tmp_path / "kept")
    for path in (tmp_path / "both" / "states").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(Refusal, match=r"the states of run-0 .* --overwrite trains"):
        trained(tmp_path / "both", **OWN, steps=40)


@pytest.mark.slow
def test_a_damaged_line_of_an_unfinished_extension_is_restored(killed, tmp_path):
    shutil.copytree(killed, tmp_path / "kept")
    trained(tmp_path / "kept", **OWN, steps=40)
    without_line(killed, b'"extended"')
    with pytest.raises(Refusal, match="the command with the larger number of steps"):
        trained(killed, **OWN, steps=20)
    trained(killed, **OWN, steps=40)
    rows, kept = (
        reading.rows(opening.open_to_read(folder, say=str))
        for folder in (killed, tmp_path / "kept")
    )
    assert rows == kept and len(rows) == 1


@pytest.mark.slow
def test_the_trunk_keeps_the_mark_of_its_environment(short, tmp_path, monkeypatch):
    shutil.copytree(short, tmp_path / "run")
    real = records.environment
    changed = lambda *names: real(*names) | {"platform": "another"}  # noqa: E731
    monkeypatch.setattr(records, "environment", changed)
    trained(tmp_path / "run", Sweep(accept_changes=True), **OWN, steps=40)
    found = reading.segment_records(opening.open_to_read(tmp_path / "run", say=str))
    marks = [found[name].get("environment", 0) for name in sorted(found)]
    assert marks[0] == 0 and set(marks[1:]) == {1}


@pytest.mark.slow
def test_the_states_of_a_cohort_are_read_once(tmp_path, monkeypatch):
    varied = ("optimizer=[adam, rmsprop]",)
    asked = Sweep(varied, keep_params="all", fresh_seeds=0)
    trained(tmp_path / "sweep", asked, **OWN, steps=20)
    real, names = store.read, []
    monkeypatch.setattr(store, "read", lambda s, n: names.append(n) or real(s, n))
    for steps in (40, 40):
        trained(tmp_path / "sweep", asked, **OWN, steps=steps)
    of_states = [name for name in names if name.endswith("-states")]
    assert len(of_states) == len(set(of_states)) == 2
