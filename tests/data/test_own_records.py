"""Data sets that are written from files of the user."""

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from gradjax import data
from gradjax.data import (
    image_files,
    long_texts,
    record_writer,
    table_records,
    text_records,
    texts,
)
from gradjax.data.record_journal import Place
from gradjax.data.splitting import SPLITS, Shares
from gradjax.errors import Refusal

SHARES = Shares(0.2, 0.2)


def write(content, data_dir, name="own"):
    return record_writer.write(content, Place(data_dir, name), SHARES, 4_000)


@pytest.fixture
def photos(tmp_path):
    """Ten images of two classes, of several kinds and sizes."""
    rng = np.random.default_rng(0)
    root = tmp_path / "photos"
    for number in range(10):
        folder = root / ("cat" if number % 2 else "dog") / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8 + number % 3, 6, 3), np.uint8)
        ending = ("png", "jpg", "bmp")[number % 3]
        Image.fromarray(pixels).save(folder / f"{number}.{ending}")
    (root / "cat" / ".hidden").write_bytes(b"nothing")
    return root


def test_images_are_resized_and_read_by_class(photos, data_dir):
    counts = write(image_files.content(photos, (8, 6)), data_dir)
    assert counts == {"train": 6, "validation": 2, "test": 2}
    read = data.load("own", data_dir)
    images = np.concatenate([getattr(read, split)["image"] for split in SPLITS])
    labels = np.concatenate([getattr(read, split)["label"] for split in SPLITS])
    assert images.shape == (10, 8, 6, 3) and sorted(labels) == [0] * 5 + [1] * 5
    as_it_was = np.asarray(Image.open(photos / "dog/deep/0.png"))
    assert [k for k in range(10) if (images[k] == as_it_was).all()]


def test_a_file_of_the_right_form_is_taken_as_it_is(tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(8, 6)).save(path)
    assert image_files.encoded(path, (8, 6, 1)) == path.read_bytes()
    assert image_files.encoded(path, (8, 6, 3)) != path.read_bytes()


def test_a_photo_is_turned_upright(tmp_path):
    pixels = np.zeros((8, 6, 3), np.uint8)
    pixels[0] = 255  # a bright row, which is a column on its side
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    files = image_files.Files([path], [0], ("a",))
    assert list(image_files.look(files).sizes) == [(6, 8)]
    made = image_files.encoded(path, (6, 8, 3))
    (tmp_path / "made.png").write_bytes(made)
    upright = np.asarray(Image.open(tmp_path / "made.png"))
    np.testing.assert_array_equal(upright, np.rot90(pixels, -1))


def test_several_sizes_are_refused(photos):
    with pytest.raises(Refusal, match="8x6.*--image_size=H,W"):
        image_files.content(photos)


@pytest.mark.parametrize("damage", [b"", b"no image", None])
def test_an_unreadable_image_is_named_and_nothing_is_left(photos, data_dir, damage):
    path = photos / "dog/deep/4.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 40] if damage is None else damage)
    with pytest.raises(Refusal, match=r"4\.jpg: no image that can be read"):
        write(image_files.content(photos, (8, 6)), data_dir)
    assert not list(data_dir.rglob("*array_record*"))
    assert not list(data_dir.rglob(".*"))


def test_images_of_16_bits_are_refused(photos):
    Image.fromarray(np.zeros((8, 6), np.uint16)).save(photos / "cat/16.png")
    with pytest.raises(Refusal, match=r"16\.png.*mode I;16; expected 8 bits"):
        image_files.content(photos, (8, 6))


def test_a_folder_without_images_of_two_classes_is_refused(photos, tmp_path):
    (photos / "empty").mkdir()
    for folder, expected in (
        (photos, "empty; expected the images"),
        (photos / "cat", "1 subfolder; expected"),
        (tmp_path / "nothing", "no such folder"),
    ):
        with pytest.raises(Refusal, match=expected):
            image_files.content(folder)


CSV = "id;Review;stars\n" + "".join(
    f'{k};"a ""text"" {k};\nof two lines";{k % 2 + 1} star\n' for k in range(20)
)
JSON = "".join(
    json.dumps({"text": f"tëxt {k}", "label": k % 3, "other": None}) + "\n"
    for k in range(20)
)


@pytest.mark.parametrize(
    ("name", "content", "classes"),
    [
        ("own.csv", CSV, ("1 star", "2 star")),
        ("own.jsonl", JSON, ("0", "1", "2")),
        ("own.tsv", "label\ttext\n" + "a\tx, y\nb\tz\n" * 5, ("a", "b")),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_table_is_read_as_texts_with_labels(
    tmp_path, data_dir, name, content, classes, is_packed
):
    path = tmp_path / (f"{name}.gz" if is_packed else name)
    path.write_bytes(gzip.compress(content.encode()) if is_packed else content.encode())
    write(table_records.content(path), data_dir)
    read = texts.load_labelled("own", data_dir)
    assert read.class_names == classes
    pairs = [
        (text, read.class_names[label])
        for part in (read.train, read.validation, read.test)
        for text, label in zip(part.texts, part.labels, strict=True)
    ]
    if name == "own.csv":
        expected = [
            (f'a "text" {k};\nof two lines', f"{k % 2 + 1} star") for k in range(20)
        ]
    elif name == "own.jsonl":
        expected = [(f"tëxt {k}", str(k % 3)) for k in range(20)]
    else:
        expected = [("x, y", "a"), ("z", "b")] * 5
    assert sorted(pairs) == sorted(expected)


def test_a_table_without_labels_is_a_text(tmp_path, data_dir):
    path = tmp_path / "own.jsonl"
    path.write_text(JSON)
    write(table_records.content(path, has_labels=False), data_dir)
    read = texts.load_plain("own", data_dir)
    lines = "".join(str(getattr(read, split)) for split in SPLITS).splitlines()
    assert sorted(lines) == sorted(f"tëxt {k}" for k in range(20))


@pytest.mark.parametrize(
    ("content", "columns", "expected"),
    [
        (b"", (), "empty"),
        (b"text,label\n", (), "0 label in 0 rows"),
        (b"text,label\na,b\n", (), "1 label in 1 rows"),
        (b"text,label\na,b\nc\n", (), r":3: 1 fields; expected 2"),
        (b"text,label\na,b\n ,c\n", (), r":3: column 'text' is empty"),
        (b'text,label\na,b\n"c,d\n', (), r":3: unexpected end"),
        (b"text,label\na,b\n\xff,c\n", (), r":3: byte 0xff is not UTF-8"),
        (b"text,label\na,b\n", ("txt",), "unknown column 'txt'; did you mean 'text'"),
        (b"text,label\na,b\n", ("text", "text"), "cannot be both"),
        (b"one,two\na,b\n", (), "which column.*--text_column"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path, content, columns, expected):
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    with pytest.raises(Refusal, match=expected):
        table_records.content(path, *columns)


def test_wrong_json_lines_are_one_line(tmp_path):
    path = tmp_path / "own.jsonl"
    for content, expected in (
        ('{"text": "a", "label": 1}\n[1]\n', ":2: a list"),
        ('{"text": "a", "label": 1}\n{"text"\n', ":2: not JSON"),
        ('{"text": "a", "label": 1}\n{"text": "b"}\n', ":2: column 'label' is empty"),
    ):
        path.write_text(content)
        with pytest.raises(Refusal, match=expected):
            table_records.content(path)


@pytest.mark.parametrize("is_folder", [False, True])
def test_texts_are_cut_and_joined_again(tmp_path, data_dir, monkeypatch, is_folder):
    monkeypatch.setattr(long_texts, "PIECE", 100)
    whole = [f"töxt {k}\r\n" * 30 for k in range(10)]
    path = tmp_path / "own.txt"
    if is_folder:
        path = tmp_path / "own"
        path.mkdir()
        for number, one in enumerate(whole):
            (path / f"{number}.txt").write_bytes(one.removesuffix("\r\n").encode())
    else:
        path.write_bytes("".join(whole).encode())
    write(text_records.content(path, SHARES), data_dir)
    read = texts.load_plain("own", data_dir)
    parts = [str(getattr(read, split)).splitlines(keepends=True) for split in SPLITS]
    expected = "".join(whole).replace("\r\n", "\n").splitlines(keepends=True)
    assert sorted(sum(parts, [])) == sorted(expected)
    if is_folder:  # a file is in one split
        assert not set(parts[0]) & set(parts[1]) and not set(parts[0]) & set(parts[2])
        assert len(parts[1]) == len(parts[2]) == 60


def test_a_text_in_one_line_is_cut_too(tmp_path, monkeypatch):
    monkeypatch.setattr(long_texts, "PIECE", 100)
    path = tmp_path / "own.txt"
    path.write_text("ä" * 1_030)
    found = list(long_texts.pieces(path))
    assert "".join(found) == "ä" * 1_030 + "\n"
    assert len(found) == 6


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"short", "1 piece of text; expected"),
        (b"", "0 pieces of text"),
        (b"a\nb\n\xff", r":3: byte 0xff is not UTF-8"),
    ],
)
def test_a_wrong_text_is_one_line(tmp_path, content, expected):
    path = tmp_path / "own.txt"
    path.write_bytes(content)
    with pytest.raises(Refusal, match=expected):
        text_records.content(path, SHARES)
    with pytest.raises(Refusal, match="No such file"):
        text_records.content(tmp_path / "nothing.txt", SHARES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal, match="empty; expected texts"):
        text_records.content(tmp_path / "empty", SHARES)
