"""A sweep that goes on in another environment: row 22 of what it lives with."""

import platform

import jax
import numpy as np
import pytest

from gradjax.errors import Refusal
from gradjax.records import faults, journal, store
from gradjax.records.environment import environment
from gradjax.trials.cores import cpu

OLD = {"device": "cpu", "versions": {"jax": "0.10.1"}}
NEW = {"device": "cpu", "versions": {"jax": "0.10.2"}}
PLAN = {"space": "log(1e-4, 1)", "environment": OLD}


@pytest.fixture(autouse=True)
def _counts():
    faults.forget()


@pytest.fixture
def folder(tmp_path):
    """A store of one segment, one round and one snapshot, closed."""
    it, _ = opened(tmp_path / "sweep", OLD)
    store.append(it, {"round": "search"})
    store.commit(it, "a", {"x": np.arange(3)}, trials=2)
    store.snapshot(it, "a", {"x": np.arange(3)})
    store.close(it)
    return tmp_path / "sweep"


def opened(folder, environment, accept_changes=False, **more):
    lines = []
    plan = {**PLAN, "environment": environment, **more}
    it = store.create_or_open(
        folder, plan, say=lines.append, accept_changes=accept_changes
    )
    return it, lines


def marks(it):
    return {
        name: one.get("environment")
        for name, one in store.committed_segments(it).items()
    }


def accepted(it):
    return [one["environment"] for one in store.events(it) if "environment" in one]


def contents(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in paths if path.name != ".lock"}


def test_row_22_another_environment_is_refused_naming_the_flag(folder):
    before = contents(folder)
    with pytest.raises(Refusal) as refusal:
        opened(folder, NEW)
    line = str(refusal.value)
    assert '(environment.versions.jax "0.10.1" there, "0.10.2" asked)' in line
    assert "--accept_changes goes on" in line and "\n" not in line
    assert contents(folder) == before


@pytest.mark.parametrize("accept_changes", [False, True])
def test_row_22_no_flag_accepts_another_plan(folder, accept_changes):
    before = contents(folder)
    with pytest.raises(Refusal) as refusal:
        opened(folder, NEW, accept_changes, space="log(1e-3, 1)")
    line = str(refusal.value)
    assert "--accept_changes" not in line
    assert line.index("space ") < line.index("environment.versions.jax ")
    assert contents(folder) == before


def test_a_plan_that_names_no_environment_is_another_plan(folder):
    plan = {"space": PLAN["space"]}
    with pytest.raises(Refusal, match=r"environment\.device .* \(none\) asked"):
        store.create_or_open(folder, plan, say=print, accept_changes=True)


def test_row_22_with_the_flag_it_goes_on_and_marks_the_rows(folder):
    it, lines = opened(folder, NEW, accept_changes=True)
    assert lines == [
        f"{folder}: another environment than before is accepted; what is computed from"
        " here on is marked environment=1"
    ]
    assert accepted(it) == [NEW]
    store.commit(it, "b", {"x": np.arange(4)}, trials=2)
    store.close(it)
    again, lines = opened(folder, NEW)  # the flag is not needed any more
    assert lines == [] and accepted(again) == [NEW]
    assert marks(again) == {"a": None, "b": 1}
    store.commit(again, "c", {"x": np.arange(5)})
    assert marks(again)["c"] == 1
    store.close(again)
    assert store.verify(folder) == []
    assert store.status(folder)["num_environments"] == 1
    assert store.status(folder)["plan"]["environment"] == OLD, "the plan is immutable"


def test_the_same_environment_is_accepted_once(folder):
    for _ in range(2):
        it, _ = opened(folder, NEW, accept_changes=True)
        assert accepted(it) == [NEW]
        store.close(it)


def test_back_in_the_first_environment_is_a_change_again(folder):
    store.close(opened(folder, NEW, accept_changes=True)[0])
    with pytest.raises(Refusal, match='jax "0.10.2" there, "0.10.1" asked'):
        opened(folder, OLD)
    it, _ = opened(folder, OLD, accept_changes=True)
    store.commit(it, "b", {"x": np.arange(4)})
    assert accepted(it) == [NEW, OLD] and marks(it) == {"a": None, "b": 2}
    store.close(it)


def test_the_flag_changes_nothing_where_nothing_differs(folder):
    before = contents(folder)
    it, lines = opened(folder, OLD, accept_changes=True)
    assert lines == [] and accepted(it) == []
    store.close(it)
    assert contents(folder) == before


def test_what_another_environment_gave_is_replaced_and_said(folder):
    """After its snapshot, a segment is computed again; what follows builds on it."""
    other = {"x": np.arange(3) + 1}
    it, _ = opened(folder, OLD)
    for keep in (store.commit, store.snapshot):
        with pytest.raises(Refusal, match="not deterministic"):
            keep(it, "a", other)
    store.close(it)
    it, lines = opened(folder, NEW, accept_changes=True)
    store.commit(it, "a", {"x": np.arange(3)})
    assert marks(it) == {"a": None}, "the same values need no mark"
    store.commit(it, "a", other)
    store.snapshot(it, "a", other)
    assert [line.count("replaced by what this one gives") for line in lines[1:]] == [
        1,
        1,
    ]
    with pytest.raises(Refusal, match="not deterministic"):
        store.commit(it, "a", {"x": np.arange(3)})
    store.close(it)
    it, lines = opened(folder, NEW)
    assert lines == [] and marks(it) == {"a": 1}
    np.testing.assert_array_equal(store.read(it, "a")["x"], other["x"])
    latest = store.latest_snapshot(it)
    assert latest is not None
    np.testing.assert_array_equal(latest[1]["x"], other["x"])
    store.close(it)
    assert len(list((folder / "snapshots").iterdir())) == 1


@pytest.mark.parametrize("step", ["before_journal", "mid_journal"])
def test_stopped_while_it_is_accepted_it_is_not_accepted(folder, monkeypatch, step):
    monkeypatch.setenv(faults.VARIABLE, f"event:{step}:1:raise")
    with pytest.raises(RuntimeError, match="fault at event"):
        opened(folder, NEW, accept_changes=True)
    monkeypatch.delenv(faults.VARIABLE)
    with pytest.raises(Refusal, match="--accept_changes"):
        opened(folder, NEW)
    store.close(opened(folder, NEW, accept_changes=True)[0])


def test_a_bit_flipped_in_the_event_is_never_silent(folder):
    store.close(opened(folder, NEW, accept_changes=True)[0])
    path = folder / "journal.jsonl"
    content = bytearray(path.read_bytes())
    content[content.index(b"0.10.2")] ^= 1
    path.write_bytes(bytes(content) + journal.encode({"kind": "event", "event": {}}))
    assert any("is damaged" in line for line in store.verify(folder))
    with pytest.raises(Refusal, match="--accept_changes"):
        opened(folder, NEW)


def test_a_unit_cannot_say_itself_where_it_was_computed(folder):
    it, _ = opened(folder, OLD)
    with pytest.raises(Refusal, match="environment"):
        store.commit(it, "b", {"x": np.arange(3)}, environment=3)
    store.close(it)


X86 = "processor : 0\nmodel name : A B-1\nflags : fpu {}\n\nprocessor : 1\n"


@pytest.mark.parametrize(
    ("text", "widest"),
    [
        (X86.format("sse4_2 avx avx2 avx512f"), " avx512f"),
        (X86.format("avx2 avx sse4_2"), " avx2"),
        ("processor : 0\nFeatures : fp asimd sve\n", " sve"),
        ("vendor : other\n", ""),
        (None, ""),
    ],
)
def test_the_widest_instruction_set_of_a_cpu_is_recorded(text, widest, tmp_path):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    machine = platform.machine()
    name = "A B-1" if text and "model" in text else machine
    assert cpu(path) == {"cpu": name, "instruction_set": machine + widest}


def test_a_record_without_the_instruction_set_goes_on(folder):
    new = OLD | {"instruction_set": "x86_64 avx2", "cpu": "A"}
    store.close(opened(folder, new)[0])
    store.close(opened(folder.parent / "other", new)[0])
    store.close(opened(folder.parent / "other", new | {"cpu": "B"})[0])
    with pytest.raises(Refusal, match=r'environment.instruction_set "x86_64 avx2"'):
        opened(folder.parent / "other", new | {"instruction_set": "x86_64 avx"})


def test_the_precision_of_products_is_recorded_if_it_is_set():
    assert "matmul_precision" not in environment()
    with jax.default_matmul_precision("float32"):
        assert environment()["matmul_precision"] == "float32"
