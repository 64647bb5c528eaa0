"""Translations from files and from TFDS's folders, and how they are laid out."""

import gzip
import json

import pytest

from gradjax.data import content, pairs, ratings, texts
from gradjax.data.pair_files import Pairs
from gradjax.errors import Refusal

ENGLISH = [f"the cat number {k} sat on mat {k % 7}." for k in range(40)]
GERMAN = [f"die Katze Nummer {k} saß auf Matte {k % 7}." for k in range(40)]
PREFIX = "tensorflow_datasets.core.features"
TEXT = {"pythonClassName": f"{PREFIX}.text_feature.Text", "text": {}}


def put(folder, stem, english, german, is_packed=False):
    folder.mkdir(exist_ok=True)
    for language, lines in (("en", english), ("de", german)):
        content = "".join(f"{line}\n" for line in lines).encode()
        if is_packed:
            content = gzip.compress(content)
        name = f"{stem}.{language}{'.gz' if is_packed else ''}"
        (folder / name).write_bytes(content)


@pytest.fixture
def folder(tmp_path):
    """Train, val and two test splits, as Multi30k has them."""
    there = tmp_path / "multi"
    put(there, "train", ENGLISH[:30], GERMAN[:30], is_packed=True)
    put(there, "val", ENGLISH[30:34], GERMAN[30:34], is_packed=True)
    put(there, "test_a", ENGLISH[34:38], GERMAN[34:38])
    put(there, "test_b", ENGLISH[38:], GERMAN[38:])
    return there


def refusal(call, *args, **more):
    with pytest.raises(Refusal) as caught:
        call(*args, **more)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_of_splits_plain_or_packed(folder):
    found = pairs.load(str(folder), "en", None, "test_b")
    assert (found.source, found.target) == ("en", "de")
    assert found.train == Pairs(ENGLISH[:30], GERMAN[:30])
    assert found.validation == Pairs(ENGLISH[30:34], GERMAN[30:34])
    assert found.test == Pairs(ENGLISH[38:], GERMAN[38:])
    back = pairs.load(str(folder), None, "en", "test_b")
    assert back.train == Pairs(GERMAN[:30], ENGLISH[:30])
    assert back.fingerprint != found.fingerprint


def test_two_files_are_split_by_sentence(tmp_path):
    """The two translations of a sentence are never in two splits."""
    doubled = [*ENGLISH, *ENGLISH], [*GERMAN, *[line.upper() for line in GERMAN]]
    put(tmp_path, "books", *doubled)
    found = pairs.load(str(tmp_path / "books"), "en", "de")
    parts = found.train, found.validation, found.test
    assert [len(part.sources) for part in parts] == [66, 6, 8]
    sources = [set(part.sources) for part in parts]
    assert not (sources[0] & sources[1] or sources[1] & sources[2])
    assert not sources[0] & sources[2]
    everything = {pair for part in parts for pair in zip(*part, strict=True)}
    assert everything == set(zip(*doubled, strict=True))
    again = pairs.load(str(tmp_path / "books"), "en", "de")
    assert again == found


def test_unaligned_files_are_refused_with_the_line(folder):
    put(folder, "test_a", ENGLISH[:5], GERMAN[:3])
    english, german = folder / "test_a.en", folder / "test_a.de"
    assert refusal(pairs.load, str(folder), "en", "de", "test_a") == (
        f"{english} has 5 and {german} has 3 lines: line 4 of {english} has no partner"
    )
    assert refusal(pairs.load, str(folder), "de", "en", "test_a") == (
        f"{german} has 3 and {english} has 5 lines: line 4 of {english} has no partner"
    )


def test_an_empty_line_is_refused_by_number(folder):
    put(folder, "test_a", [*ENGLISH[:2], "  ", "four"], GERMAN[:4])
    message = refusal(pairs.load, str(folder), "en", "de", "test_a")
    assert message == f"{folder / 'test_a.en'}:3: an empty line; expected a sentence"


def test_a_bad_file_is_refused(folder, monkeypatch):
    path, load = folder / "train.en.gz", (pairs.load, str(folder), "en", "de", "test_a")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert refusal(*load).startswith(f"{path}: damaged (")
    path.write_bytes(b"no gzip at all")
    assert refusal(*load).startswith(f"{path}: damaged (Not a gzipped file")
    path.write_bytes(gzip.compress(b"one\ntwo\n\xe9\n"))
    assert refusal(*load).startswith(f"{path}:3: byte 0xe9 is not UTF-8")
    path.write_bytes(gzip.compress(b"\n"))
    assert "empty; expected text" in refusal(*load)
    monkeypatch.setattr(content, "MAX_BYTES", 100)
    path.write_bytes(gzip.compress(b"0" * 101))
    assert refusal(*load).startswith(f"{path}: too long; expected at most 100 bytes")
    path.unlink()
    assert "files of two languages are expected" in refusal(*load)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None, "test_a"), "choose with --source and --target"),
        (("en", "en", "test_a"), "--source and --target are both 'en'"),
        (("fr", "de", "test_a"), "unknown language 'fr'"),
        (("en", "de", None), "choose with --test: test_a or test_b"),
        (("en", "de", "test_aa"), "did you mean 'test_a'"),
        (("en", "de", "train"), "unknown test split of"),
        (("en", "de", "val"), "unknown test split of"),
    ],
)
def test_a_choice_that_is_open_or_wrong_is_refused(folder, asked, expected):
    assert expected in refusal(pairs.load, str(folder), *asked)


def test_two_files_have_no_test_split_to_choose(tmp_path):
    put(tmp_path, "books", ENGLISH, GERMAN)
    message = refusal(pairs.load, str(tmp_path / "books"), "en", "de", "test_a")
    assert message.startswith("--test=test_a: ") and "no folder" in message


def test_the_same_files_as_other_splits_are_other_data(tmp_path):
    for name, stem in (("one", "val"), ("other", "test")):
        put(tmp_path / name, "train", ENGLISH[:30], GERMAN[:30])
        put(tmp_path / name, stem, ENGLISH[30:], GERMAN[30:])
    one, other = (pairs.load(str(tmp_path / k), "en", "de") for k in ("one", "other"))
    assert one.fingerprint != other.fingerprint


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize(
    "name", ["a" * 300, "~nobody-of-that-name/x", "./" + "b" * 300]
)
def test_no_name_of_a_user_shows_a_traceback(name):
    for load in (pairs.load, texts.load_labelled, texts.load_plain, ratings.load):
        refusal(load, name)
    refusal(ratings.load, f"{name}.csv")


@pytest.mark.usefixtures("data_dir")
def test_what_is_not_there_is_refused(tmp_path):
    message = refusal(pairs.load, str(tmp_path / "none"), "en", "de")
    assert "files of two languages are expected" in message
    assert "not prepared" in refusal(pairs.load, "ted_hrlr_translate/pt_to_en")


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    folder = tmp_path / "prepared"
    folder.mkdir()
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def write(data_dir):
    """Writes sentences as TFDS would: write("name/config", features, train=[...])."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    def example(record):
        named = {
            key: tf_feature_pb2.Feature(
                bytes_list=tf_feature_pb2.BytesList(value=[value.encode()])
            )
            for key, value in record.items()
        }
        features = tf_feature_pb2.Features(feature=named)
        return tf_example_pb2.Example(features=features).SerializeToString()

    def made(name, features, **splits):
        base, config = name.split("/")
        folder = data_dir / base / config / "1.0.0"
        folder.mkdir(parents=True)
        described = []
        for split, records in splits.items():
            file = folder / f"{base}-{split}.array_record-00000-of-00001"
            writer = ArrayRecordWriter(str(file), "group_size:1")
            for record in records:
                writer.write(example(record))
            writer.close()
            form = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
            described.append(
                {
                    "name": split,
                    "filepathTemplate": form,
                    "shardLengths": [str(len(records))],
                    "numBytes": "1",
                }
            )
        info = {
            "name": base,
            "configName": config,
            "version": "1.0.0",
            "fileFormat": "array_record",
            "splits": described,
        }
        (folder / "dataset_info.json").write_text(json.dumps(info))
        (folder / "features.json").write_text(json.dumps(features))
        return folder

    return made


def translation(*languages):
    return {
        "pythonClassName": f"{PREFIX}.translation_feature.Translation",
        "translation": {"languages": list(languages)},
    }


def records(start, stop):
    return [
        {"en": e, "pt": p}
        for e, p in zip(ENGLISH[start:stop], GERMAN[start:stop], strict=True)
    ]


def test_a_translation_of_tfds_goes_as_its_name_says(write):
    splits = {"train": records(0, 30), "validation": records(30, 34)}
    write("ted/pt_to_en", translation("en", "pt"), **splits, test=records(34, 40))
    found = pairs.load("ted/pt_to_en")
    assert (found.name, found.source, found.target) == ("ted/pt_to_en", "pt", "en")
    assert found.train == Pairs(GERMAN[:30], ENGLISH[:30])
    assert found.test == Pairs(GERMAN[34:], ENGLISH[34:])
    assert pairs.load("ted/pt_to_en", "en").train.sources == ENGLISH[:30]
    assert "unknown language 'fr'" in refusal(pairs.load, "ted/pt_to_en", "fr")
    message = refusal(pairs.load, "ted/pt_to_en", None, None, "test_a")
    assert "is a TFDS data set with its own test split" in message


def test_tatoebas_form_is_split_by_sentence(write):
    names = ("source_language", "source_sentence", "target_language", "target_sentence")
    features = {
        "featuresDict": {"features": {name: TEXT for name in names}},
        "pythonClassName": f"{PREFIX}.features_dict.FeaturesDict",
    }
    rows = [
        dict(zip(names, ("de", g, "en", e), strict=True))
        for e, g in zip(ENGLISH, GERMAN, strict=True)
    ]
    write("tatoeba/tatoeba_de", features, train=rows)
    found = pairs.load("tatoeba/tatoeba_de")
    assert (found.source, found.target) == ("de", "en")
    sizes = [len(part.sources) for part in (found.train, found.validation, found.test)]
    assert sizes == [33, 3, 4]
    rows[7]["source_language"] = "fr"
    write("tatoeba/tatoeba_fr", features, train=rows)
    assert "from fr to en; expected de to en" in refusal(
        pairs.load, "tatoeba/tatoeba_fr"
    )


def test_what_is_no_translation_is_refused(write):
    features = {
        "featuresDict": {"features": {"text": TEXT}},
        "pythonClassName": f"{PREFIX}.features_dict.FeaturesDict",
    }
    write("plain/text", features, train=[{"text": "a"}])
    message = refusal(pairs.load, "plain/text")
    assert "features text; expected a Translation" in message
