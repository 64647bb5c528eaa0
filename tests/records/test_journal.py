import json
import os
import random

import numpy as np
import pytest

from gradjax.errors import Refusal
from gradjax.records import faults, journal
from gradjax.records.durable import open_to_append

RECORDS = [
    {"kind": "segment", "name": "a", "value": 0.1},
    {"kind": "event", "event": {"text": 'é "quoted"\n\u2028', "list": [1, None]}},
    {"kind": "segment", "name": "b", "big": 2**60, "small": -0.0},
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def written(path, records=RECORDS):
    with open_to_append(path) as file:
        for record in records:
            journal.append(file, record, "event")
    return path.read_bytes()


def test_lines_come_back_in_order_and_are_plain_json(path):
    content = written(path)
    assert journal.read(path).records == RECORDS
    assert journal.read(path).tail is None
    lines = [json.loads(line) for line in content.splitlines()]
    assert [{k: v for k, v in line.items() if k != "check"} for line in lines] == (
        RECORDS
    )
    assert all(len(line["check"]) == 64 for line in lines)


def test_a_journal_that_is_not_there_is_empty(path):
    assert journal.read(path) == journal.Journal([], [], None, 0, 0)


def test_cut_anywhere_the_whole_lines_stay(path):
    content = written(path)
    ends = [k + 1 for k, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content)):
        path.write_bytes(content[:length])
        found = journal.read(path)
        whole = sum(end <= length for end in ends)
        assert found.records == RECORDS[:whole]
        assert found.end == max([0, *(end for end in ends if end <= length)])
        assert (found.tail is None) == (length in [0, *ends])


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 17])
def test_a_flipped_bit_loses_its_own_line_and_is_reported(path, every):
    content = written(path)
    starts = np.cumsum([0, *(len(line) + 1 for line in content.split(b"\n"))])
    for bit in range(0, 8 * len(content), every):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        found = journal.read(path)
        line = int(np.searchsorted(starts, bit // 8, "right")) - 1
        is_newline = content[bit // 8] == ord("\n")
        lost = {line, line + 1} if is_newline and line < 2 else {line}
        expected = [record for k, record in enumerate(RECORDS) if k not in lost]
        assert found.records == expected
        assert found.damaged or found.tail


def test_a_damaged_line_is_named_as_far_as_it_can_be_read(path):
    content = written(path)
    path.write_bytes(content.replace(b'"value":0.1', b'"value":0.2'))
    assert journal.read(path).damaged == [journal.Damaged(1, "segment 'a'")]
    path.write_bytes(b"\0" * 50 + content[50:])
    assert journal.read(path).damaged[0].line == 1


@pytest.mark.parametrize("point", ["mid_journal", "before_journal_fsync"])
@pytest.mark.parametrize("action", ["enospc", "raise", "int"])
def test_a_line_that_fails_is_cut_and_the_next_one_is_whole(
    path, monkeypatch, point, action
):
    written(path)
    monkeypatch.setenv(faults.VARIABLE, f"event:{point}:1:{action}")
    with (
        open_to_append(path) as file,
        pytest.raises((OSError, RuntimeError, KeyboardInterrupt)),
    ):
        journal.append(file, RECORDS[0], "event")
    assert journal.read(path).records == RECORDS
    assert journal.read(path).tail is None
    monkeypatch.delenv(faults.VARIABLE)
    written(path, RECORDS[:1])
    assert journal.read(path).records == [*RECORDS, RECORDS[0]]


def test_nothing_is_added_after_a_torn_line(path):
    content = written(path)
    path.write_bytes(content[:-1])
    with (
        open_to_append(path) as file,
        pytest.raises(Refusal, match="last line is torn"),
    ):
        journal.append(file, RECORDS[0], "event")
    assert path.read_bytes() == content[:-1]


def test_plain_gives_what_reading_gives():
    value = {
        "nan": float("nan"),
        "inf": np.float32(-np.inf),
        "tuple": (1, 2.5),
        "array": np.asarray([1.0, np.nan]),
        "count": np.int64(3),
        "flag": np.bool_(True),
        7: "seven",
    }
    plain = journal.plain(value, "it")
    assert plain == {
        "nan": None,
        "inf": None,
        "tuple": [1, 2.5],
        "array": [1.0, None],
        "count": 3,
        "flag": True,
        "7": "seven",
    }
    assert journal.decode(journal.encode(plain)[:-1]) == plain


@pytest.mark.parametrize("value", [{1, 2}, object(), {(1, 2): 3}, 1j])
def test_what_json_does_not_hold_is_refused(value):
    with pytest.raises(Refusal, match="^it cannot be kept as JSON"):
        journal.plain({"value": value}, "it")


def test_a_journal_with_another_name_outside_is_refused(path, tmp_path):
    (tmp_path / "precious").write_bytes(b"")
    os.link(tmp_path / "precious", path)
    with pytest.raises(Refusal, match="hard link"):
        open_to_append(path)
    path.unlink()
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):
        open_to_append(path)
    assert (tmp_path / "precious").read_bytes() == b""


def test_garbage_is_not_a_journal(path):
    random.seed(0)
    path.write_bytes(random.randbytes(10_000) + b"\n")
    found = journal.read(path)
    assert found.records == []
    assert found.damaged or found.tail


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("commit:before", "expected <point>"),
        ("commit:before:0:kill", "expected <point>"),
        ("commit:before:x:kill", "expected <point>"),
        ("commit:befor:1:kill", "did you mean 'commit:before'"),
        ("commit:before:1:kil", "did you mean 'kill'"),
    ],
)
def test_a_misspelt_fault_is_refused(monkeypatch, setting, words):
    monkeypatch.setenv(faults.VARIABLE, setting)
    with pytest.raises(Refusal, match=words):
        faults.reach("event:before_journal")


def test_a_fault_happens_at_its_own_point_the_nth_time(monkeypatch):
    monkeypatch.setenv(faults.VARIABLE, "commit:before:3:raise")
    for _ in range(2):
        faults.reach("commit:before")
        faults.reach("commit:mid_write")
    with pytest.raises(RuntimeError, match="commit:before"):
        faults.reach("commit:before")
    faults.reach("commit:before")
