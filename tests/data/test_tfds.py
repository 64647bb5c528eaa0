import json
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from gradjax import data
from gradjax.errors import Refusal


def refusal(name="toy", data_dir=None):
    with pytest.raises(Refusal) as caught:
        data.load(name, data_dir)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_images_and_labels_are_those_written(prepare, toy):
    first, second, test = toy.examples(30), toy.examples(10, 1), toy.examples(6, 2)
    folder = prepare(train=[first, second], test=[test])
    dataset = data.load("toy:1.0.0")
    parts = (dataset.train, dataset.validation)
    images = np.concatenate([part["image"] for part in parts])
    np.testing.assert_array_equal(images, toy.pixels(first + second))
    np.testing.assert_array_equal(dataset.test["image"], toy.pixels(test))
    np.testing.assert_array_equal(dataset.test["label"], [0, 1, 2, 0, 1, 2])
    assert [len(part["label"]) for part in parts] == [36, 4]  # the last tenth
    assert (images.dtype, dataset.test["label"].dtype) == (np.uint8, np.int32)
    assert dataset[:1] + dataset[4:6] == ("toy", 3, 255.0)
    assert dataset.origin == str(folder)


def test_a_validation_split_of_its_own_is_used(prepare, toy):
    parts = {"train": 20, "validation": 5, "test": 6}
    prepare(**{name: [toy.examples(size)] for name, size in parts.items()})
    dataset = data.load("toy")
    sizes = [len(part["label"]) for part in dataset[1:4]]
    assert sizes == list(parts.values())


@pytest.mark.slow
def test_a_second_load_reads_the_cache_alone(prepare, cache_home):
    prepare()
    first = data.load("toy")
    assert [path.name for path in cache_home.iterdir()] == [
        f"toy-{first.fingerprint[:16]}.npz"
    ]
    code = (
        "import sys; from gradjax import data; d = data.load('toy');"
        "print(d.num_classes, d.train['image'].sum(),"
        "'tensorflow_datasets' in sys.modules, 'PIL' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["3", str(first.train["image"].sum()), "False", "False"]


def test_a_changed_file_is_never_served_from_the_cache(prepare, toy):
    folder = prepare()
    before = data.load("toy")
    toy.write_shard(next(folder.glob("*test*")), toy.examples(6, seed=9))
    after = data.load("toy")
    assert before.fingerprint != after.fingerprint
    assert not np.array_equal(before.test["image"], after.test["image"])


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "cut by a byte":
        path.write_bytes(content[:-1])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        content[300] ^= 16
        path.write_bytes(content)
    elif how == "text":
        path.write_bytes(b"not found, try later\n" * 10_000)
    elif how == "zeros":
        path.write_bytes(bytes(len(content)))
    else:
        path.unlink()
        if how == "a folder":
            path.mkdir()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("truncated", "truncated or damaged at 65536 bytes .*; expected 6 records"),
        ("cut by a byte", "truncated or damaged at .*; expected 6 records"),
        ("empty", "begins with nothing; expected an ArrayRecord file"),
        ("flipped", "damaged .*hash mismatch"),
        ("text", "begins with 6e6f74.*; expected an ArrayRecord file"),
        ("zeros", "begins with 0000.*; expected an ArrayRecord file"),
        ("missing", "no such shard; expected 6 records"),
        ("a folder", "no such shard; expected 6 records"),
    ],
)
def test_a_damaged_shard_is_refused_by_name(prepare, cache_home, how, expected):
    path = next(prepare().glob("*test*"))
    data.load("toy")  # what is cached does not hide the damage
    damage(path, how)
    with pytest.raises(Refusal, match=f"^{path}: {expected}"):
        data.load("toy")
    assert len(list(cache_home.iterdir())) == 1


def test_a_shard_with_other_records_is_refused(prepare, toy):
    path = next(prepare().glob("*test*"))
    toy.write_shard(path, toy.examples(7))
    assert refusal() == f"{path}: 7 records; expected 6"


@pytest.mark.slow
def test_no_flipped_bit_changes_an_array(prepare):
    rng = random.Random(0)
    path = next(prepare().glob("*train*"))
    content, good = path.read_bytes(), data.load("toy")
    num_refused = 0
    for i in range(60):
        damaged = bytearray(content)
        # The records lie in the first 8 KB, their index in the last block.
        place = rng.randrange(8_000) if i % 2 else rng.randrange(len(content))
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            dataset = data.load("toy")
        except Refusal as error:
            num_refused += 1
            assert str(path) in str(error)
        else:
            np.testing.assert_array_equal(dataset.train["image"], good.train["image"])
            np.testing.assert_array_equal(dataset.train["label"], good.train["label"])
    assert num_refused >= 20


def test_a_compressed_bomb_is_refused_before_it_unpacks(prepare, toy):
    path = next(prepare().glob("*test*"))
    toy.write_shard(path, [*toy.examples(5), (bytes(2**25), 0)])
    assert path.stat().st_size < 2**18
    assert "bytes that unpack to 335" in refusal()


def test_an_image_of_another_shape_is_refused_before_it_unpacks(prepare, toy):
    bomb = toy.png(np.zeros((5000, 5000, 3), np.uint8))
    prepare("bomb", train=[[*toy.examples(9), (bomb, 0)]], test=[toy.examples(6)])
    expected = "record 9 is an image 5000x5000xRGB; expected 5x6xRGB"
    assert refusal("bomb").endswith(expected)
    gray = toy.png(np.zeros(toy.shape[:2], np.uint8))
    prepare("gray", train=[toy.examples(9)], test=[[(gray, 0)]])
    assert refusal("gray").endswith("record 0 is an image 5x6xL; expected 5x6xRGB")


@pytest.mark.parametrize("content", [b"", b"not an image", b"GIF89a", None])
def test_a_record_that_is_no_image_is_refused(prepare, toy, content):
    if content is None:
        content = toy.examples(1)[0][0][:-30]
    prepare(train=[toy.examples(9)], test=[[*toy.examples(2), (content, 0)]])
    assert "record 2 is no image" in refusal()


@pytest.mark.parametrize("label", [-1, 3, 2**32])
def test_a_label_out_of_range_is_refused(prepare, toy, label):
    image = toy.examples(1)[0][0]
    folder = prepare(train=[toy.examples(9)], test=[[*toy.examples(2), (image, label)]])
    expected = f"{folder}, split test: example 2 has label {label}; expected 0 to 2"
    assert refusal() == expected


def test_an_empty_split_is_refused(prepare, toy):
    prepare("hollow", train=[toy.examples(9)], test=[[]])
    assert "split" in refusal("hollow")
    prepare("partial", train=[toy.examples(9)])
    assert "splits train; expected train and test" in refusal("partial")


def test_another_format_says_how_to_prepare_it(prepare):
    prepare(file_format="tfrecord")
    message = refusal()
    assert "prepared as tfrecord; expected array_record" in message
    assert "`python -m scripts.prepare_data toy`" in message


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 1}', "\0"])
def test_a_damaged_description_is_refused(prepare, file, content):
    folder = prepare()
    (folder / file).write_text(content)
    assert str(folder) in refusal()


def test_other_features_are_named(prepare, toy):
    folder = prepare()
    description = toy.features()
    listed = description["featuresDict"]["features"]
    listed["picture"] = listed.pop("image")
    (folder / "features.json").write_text(json.dumps(description))
    assert "features label, picture; expected image and label" in refusal()


@pytest.mark.parametrize("key", ["image", "label"])
def test_features_of_another_kind_are_refused(prepare, toy, key):
    folder = prepare()
    other = {
        "text": {},
        "pythonClassName": "tensorflow_datasets.core.features.text_feature.Text",
    }
    description = json.dumps(toy.features(**{key: other}))
    (folder / "features.json").write_text(description)
    assert "expected an Image and a ClassLabel" in refusal()


def test_images_of_any_shape_are_refused(prepare, toy):
    folder = prepare()
    text = json.dumps(toy.features()).replace('"6"', '"-1"')
    (folder / "features.json").write_text(text)
    assert "shape (None, 5, 3); expected uint8 of one fixed shape" in refusal()


def test_more_than_memory_is_refused(prepare, toy):
    folder = prepare()
    text = json.dumps(toy.features()).replace('"6"', '"2000000000"')
    (folder / "features.json").write_text(text)
    assert "bytes in memory; expected at most" in refusal()


@pytest.mark.slow
def test_mnist_is_exact_and_then_fast(real_data_dir):
    dataset = data.load("mnist", real_data_dir)
    assert dataset.train["image"].shape == (55_000, 28, 28, 1)
    assert dataset.validation["image"].shape == (5_000, 28, 28, 1)
    assert dataset.test["image"].shape == (10_000, 28, 28, 1)
    # How often each digit is in the official test labels.
    assert np.bincount(dataset.test["label"]).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    images = np.concatenate([dataset.train["image"], dataset.validation["image"]])
    assert round(float(images.mean()) / 255, 4) == 0.1307  # as every tutorial has it
    assert round(float(images.std()) / 255, 4) == 0.3081
    start = time.monotonic()
    again = data.load("mnist", real_data_dir)
    assert time.monotonic() - start < 0.5
    np.testing.assert_array_equal(again.test["image"], dataset.test["image"])


@pytest.mark.slow
def test_real_shards_damaged_are_refused(real_data_dir, data_dir):
    source = real_data_dir / "mnist/3.0.1"
    folder = data_dir / "mnist/3.0.1"
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    path = folder / "mnist-train.array_record-00000-of-00001"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert f"{path}: truncated or damaged" in refusal("mnist")
    flipped = bytearray(content)
    flipped[1_000_000] ^= 1
    path.write_bytes(flipped)
    assert f"{path}: damaged" in refusal("mnist")
    path.unlink()
    assert f"{path}: no such shard; expected 60000 records" in refusal("mnist")


@pytest.mark.slow
def test_jpeg_images_are_read(real_data_dir):
    if not data.is_prepared("cifar10_jpeg_subset", real_data_dir):
        pytest.skip("cifar10_jpeg_subset is not prepared here")
    dataset = data.load("cifar10_jpeg_subset", real_data_dir)
    assert dataset.train["image"].shape == (4_500, 32, 32, 3)
    assert dataset.num_classes == 10
