import pytest

from gradjax.errors import Refusal
from gradjax.records import store
from gradjax.records.plan import read_plan


def without_copy(folder):
    """Removes the copy of the plan, which earlier versions did not write."""
    path = folder / "journal.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    assert b'"kind":"plan"' in first
    path.write_bytes(b"".join(others))


def test_another_plan_is_refused_listing_both_values(
    folder, plan, opened, filled, contents, one_line
):
    filled(folder)
    before = contents(folder)
    other = {
        "space": {"learning_rate": "log(1e-3, 1)"},
        "seeds": [0, 1],
        "kind": "trials",
        "halving": 3,
    }
    with pytest.raises(Refusal) as refusal:
        opened(folder, other)
    assert (
        'space.learning_rate "log(1e-4, 1)" there, "log(1e-3, 1)" asked; halving'
        " (none) there, 3 asked"
    ) in one_line(refusal)
    assert "seeds" not in one_line(refusal)
    assert contents(folder) == before
    it, _ = opened(folder, {**plan, "seeds": (0, 1)})  # the same, as JSON
    store.close(it)


def test_a_plan_of_many_differences_is_one_short_line(folder, opened):
    opened_folder, _ = opened(folder, {f"key{k}": "x" * 500 for k in range(50)})
    store.close(opened_folder)
    with pytest.raises(Refusal, match="and 45 more") as refusal:
        opened(folder, {f"key{k}": "y" * 500 for k in range(50)})
    assert len(str(refusal.value)) < 1_500


def test_changed_contents_of_the_data_are_named_by_their_file(folder, opened):
    about = {"name": "reviews", "origin": "reviews.csv", "num_examples": {"train": 9}}
    it, _ = opened(folder, {"data": about | {"fingerprint": "a" * 64}})
    store.close(it)
    with pytest.raises(Refusal) as refusal:
        opened(folder, {"data": about | {"fingerprint": "b" * 64}})
    line = 'the contents of the data have changed: "reviews.csv"'
    assert line in str(refusal.value) and "aaa" not in str(refusal.value)


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 17])
def test_a_flipped_bit_in_the_plan_is_found_or_harmless(
    every, folder, plan, filled, flip
):
    filled(folder)
    without_copy(folder)
    path = folder / "plan.json"
    content = path.read_bytes()
    num_found = 0
    bits = range(0, 8 * len(content), every)
    for bit in bits:
        path.write_bytes(flip(content, bit))
        try:
            assert read_plan(folder) == plan
        except Refusal as refusal:
            assert str(path) in str(refusal)
            wrong = "put back a copy of it, let --overwrite begin again", "has format"
            assert any(words in str(refusal) for words in wrong)
            num_found += 1
    num_blank = sum(content[bit // 8] in b" \n" for bit in bits)
    assert num_found > len(bits) - num_blank - 8  # 1e-4 is 1E-4


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b"[" * 9_999])
def test_a_damaged_plan_is_refused(folder, content, opened, filled, one_line):
    filled(folder)
    without_copy(folder)
    (folder / "plan.json").write_bytes(content)
    for use in (lambda: opened(folder), lambda: store.status(folder)):
        with pytest.raises(Refusal, match="plan.json is damaged") as refusal:
            use()
        one_line(refusal)
    assert "plan.json is damaged" in store.verify(folder)[0]


def test_a_missing_plan_is_refused(folder, opened, filled):
    filled(folder)
    without_copy(folder)
    (folder / "plan.json").unlink()
    with pytest.raises(Refusal, match="plan.json is missing; put back a copy"):
        opened(folder)
    assert "plan.json is missing" in store.verify(folder)[0]


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"format": 3}', b"\xff" * 9])
def test_a_lost_plan_is_read_from_the_journal_and_restored_by_the_next_writer(
    folder, content, plan, opened, filled, contents
):
    filled(folder)
    before = contents(folder)
    path = folder / "plan.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    damaged, lines = contents(folder), []
    said = "its copy in journal.jsonl is used, and the same command restores it"
    assert store.open_to_read(folder, say=lines.append).plan == plan
    assert store.status(folder, say=lines.append)["plan"] == plan
    lines += store.verify(folder)
    assert len(lines) == 3 and all(
        said in line and "plan.json" in line for line in lines
    )
    assert contents(folder) == damaged, "a reader changes nothing"
    with pytest.raises(Refusal, match="trials of another plan"):
        opened(folder, {**plan, "seeds": [5]})
    assert contents(folder) == damaged, "a refused command changes nothing"
    it, lines = opened(folder)
    store.close(it)
    assert len(lines) == 1 and said in lines[0]
    assert contents(folder) == before and store.verify(folder) == []


def test_a_journal_without_a_copy_of_the_plan_gets_one(folder, plan, opened, filled):
    filled(folder)
    without_copy(folder)
    assert store.verify(folder) == []
    store.close(opened(folder)[0])
    (folder / "plan.json").unlink()
    it, _ = opened(folder)
    store.close(it)
    assert read_plan(folder) == plan and store.verify(folder) == []


def test_a_damaged_copy_is_written_again_and_named_until_then(folder, opened, filled):
    filled(folder)
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seeds":[0,1]', b'"seeds":[0,2]'))
    assert "line 1 (plan) is damaged" in store.verify(folder)[0]
    store.close(opened(folder)[0])
    assert store.verify(folder) == []
    (folder / "plan.json").unlink()
    store.close(opened(folder)[0])
    assert store.verify(folder) == []
