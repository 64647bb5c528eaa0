import hashlib
import json
import resource
import signal

import numpy as np
import pytest

from gradjax import data
from gradjax.data import record_journal, record_writer, splitting, synthetic
from gradjax.data.record_format import Features, serialiser
from gradjax.data.record_journal import Place
from gradjax.data.splitting import SPLITS, Shares
from gradjax.data.synthetic import Synthetic
from gradjax.errors import Refusal

ASKED = Synthetic(90, (8, 6, 3), 3, seed=1)
SHARES = Shares(0.1, 0.2)
SHARD = 2_000  # bytes: ten images


def written(place, content=None, **given):
    made = synthetic.content(ASKED) if content is None else content
    return record_writer.write(made, place, SHARES, SHARD, **given)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Killed(BaseException):
    """Ends a command, as a signal does."""


def after(number):
    def stop(count, _):
        nonlocal number
        number -= count
        if number < 0:
            raise Killed

    return stop


def test_the_images_are_read_as_they_were_made(data_dir):
    counts = written(Place(data_dir, "toy"))
    assert counts == {"train": 63, "validation": 9, "test": 18}
    read = data.load("toy", data_dir)
    patterns = synthetic._patterns(ASKED)
    for split in SPLITS:
        units = list(splitting.units_of(split, SHARES, 90))
        made = [synthetic.example(ASKED, patterns, one) for one in units]
        found = getattr(read, split)
        np.testing.assert_array_equal(found["image"], [image for image, _ in made])
        np.testing.assert_array_equal(found["label"], [label for _, label in made])
    assert read.num_classes == 3 and set(read.train["label"]) == {0, 1, 2}


def test_the_description_has_the_checksum_of_every_shard(data_dir):
    place = Place(data_dir, "toy")
    written(place)
    info = json.loads((place.folder / "dataset_info.json").read_text())
    shards = sorted(place.folder.glob("*.array_record-*"))
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shards
    }
    assert info["downloadChecksums"] == found
    lengths = [one["shardLengths"] for one in info["splits"]]
    assert sum(map(len, lengths)) == len(shards) > 9
    import tensorflow_datasets as tfds

    features = tfds.builder_from_directory(place.folder).info.features
    assert features["label"].names == ["0", "1", "2"]


@pytest.mark.parametrize("number", [5, 35, 70, 89])
def test_an_interrupted_command_goes_on_to_the_same_bytes(data_dir, number):
    whole, cut = Place(data_dir / "a", "toy"), Place(data_dir / "b", "toy")
    written(whole)
    with pytest.raises(Killed):
        written(cut, on_written=after(number))
    assert data.prepared.find("toy", cut.data_dir) is None
    assert not list(cut.unfinished.glob("*.tmp"))
    done = record_journal.read(cut.unfinished)[1]
    told = []
    written(cut, on_written=lambda count, _: told.append(count))
    assert told[0] == sum(one.num_records for one in done) >= number - 10
    assert sum(told) == 90
    assert bytes_of(cut.folder) == bytes_of(whole.folder)


def test_it_goes_on_before_a_damaged_shard_and_after_the_last_names(
    data_dir, monkeypatch
):
    whole, cut = Place(data_dir / "a", "toy"), Place(data_dir / "b", "toy")
    written(whole)

    def killed(_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(record_journal, "publish", killed)
        with pytest.raises(Killed):
            written(cut)
    assert data.prepared.find("toy", cut.data_dir) is None
    path = sorted(cut.unfinished.glob("toy-train*"))[2]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    told = []
    written(cut, on_written=lambda count, _: told.append(count))
    assert 0 < told[0] < 30 and sum(told) == 90
    assert bytes_of(cut.folder) == bytes_of(whole.folder)


def test_the_splits_are_decided_by_the_seed():
    one, other = (
        {
            split: list(splitting.units_of(split, Shares(0.1, 0.2, seed), 1000))
            for split in SPLITS
        }
        for seed in (0, 1)
    )
    for found in (one, other):
        assert sorted(sum(found.values(), [])) == list(range(1000))
        assert [len(found[split]) for split in SPLITS] == [700, 100, 200]
    assert len(set(one["test"]) & set(other["test"])) < 100


@pytest.mark.parametrize(
    ("shares", "count"),
    [((0.0, 0.1), 10), ((0.5, 0.5), 10), ((0.1, 0.1), 2), ((float("nan"), 0.1), 9)],
)
def test_impossible_shares_are_refused(shares, count):
    with pytest.raises(Refusal, match="expected two shares|too few"):
        splitting.sizes(Shares(*shares), count)


def test_another_data_set_in_the_place_is_refused_and_can_be_replaced(data_dir):
    place = Place(data_dir, "toy")
    written(place)
    before = bytes_of(place.folder)
    other = synthetic.content(ASKED._replace(seed=2))
    with pytest.raises(Refusal, match="--overwrite"):
        written(place, other)
    written(place)  # the same data set is complete
    assert bytes_of(place.folder) == before
    with pytest.raises(Killed):
        written(place, other, overwrite=True, on_written=after(50))
    assert bytes_of(place.folder) == before  # until the other one is complete
    third = synthetic.content(ASKED._replace(seed=3))
    with pytest.raises(Refusal, match="is another data set"):
        written(place, third)
    written(place, other, overwrite=True)
    assert bytes_of(place.folder) != before
    assert [path.name for path in place.folder.parent.iterdir()] == ["1.0.0"]


def test_an_unfinished_data_set_of_other_flags_is_refused(data_dir):
    place = Place(data_dir, "toy")
    with pytest.raises(Killed):
        written(place, on_written=after(50))
    other = synthetic.content(ASKED._replace(num_classes=4))
    with pytest.raises(Refusal, match=r"begun with other.*\(num_classes\)"):
        written(place, other)
    written(place, other, overwrite=True)
    assert data.load("toy", data_dir).num_classes == 4


def test_another_version_is_never_replaced(prepare, data_dir):
    prepare("toy", version="3.0.1")
    with pytest.raises(Refusal, match="another --name"):
        written(Place(data_dir, "toy"), overwrite=True)


def test_only_one_process_writes(data_dir):
    place = Place(data_dir, "toy")
    place.unfinished.mkdir(parents=True)
    with (
        record_journal.locked(place),
        pytest.raises(Refusal, match="another process writes"),
    ):
        written(place)


@pytest.mark.parametrize("name", ["", "A", "../x", "digits", "a/b", "toy:1.0.0", "é"])
def test_a_wrong_name_is_refused(data_dir, name):
    with pytest.raises(Refusal, match="--name="):
        written(Place(data_dir, name))
    assert not list(data_dir.iterdir())


def test_a_full_disk_is_one_line_and_nothing_is_taken_for_whole(data_dir):
    serialise = serialiser(Features(None))
    texts = np.random.default_rng(0).bytes(60_000)

    def records(units, skip):
        for _ in list(units)[skip:]:
            yield serialise(texts, None)

    content = record_writer.Content(Features(None), 90, 90, records, {}, "noise")
    place, shard = Place(data_dir, "toy"), 2_000_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(Refusal, match="cannot write in .*File too large"):
            record_writer.write(content, place, SHARES, shard)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert data.prepared.find("toy", data_dir) is None
    record_writer.write(content, place, SHARES, shard)
    assert data.prepared.find("toy", data_dir) == place.folder


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_examples": 0},
        {"shape": (8, 8, 2)},
        {"shape": (0, 8, 1)},
        {"num_classes": 1},
        {"shape": (2**13, 2**13, 3), "num_classes": 10},
    ],
)
def test_impossible_synthetic_images_are_refused(wrong):
    with pytest.raises(Refusal, match="expected"):
        synthetic.content(ASKED._replace(**wrong))
