"""Texts from files and from TFDS's folders, and the tokenizer of them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from gradjax.data import content, texts, tokens
from gradjax.data.strings import pack, unpack
from gradjax.errors import Refusal

PREFIX = "tensorflow_datasets.core.features"
TEXT = {"pythonClassName": f"{PREFIX}.text_feature.Text", "text": {}}
NUMBER = {
    "pythonClassName": f"{PREFIX}.tensor_feature.Tensor",
    "tensor": {"dtype": "int32", "encoding": "none", "shape": {}},
}
CLASS = {
    "classLabel": {"numClasses": "2"},
    "pythonClassName": f"{PREFIX}.class_label_feature.ClassLabel",
}


@pytest.fixture
def write(data_dir):
    """Writes texts as TFDS would: write(name, features, train=[record, ...], ...)."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

    def feature(value):
        if isinstance(value, int):
            values = tf_feature_pb2.Int64List(value=[value])
            return tf_feature_pb2.Feature(int64_list=values)
        content = value if isinstance(value, bytes) else value.encode()
        values = tf_feature_pb2.BytesList(value=[content])
        return tf_feature_pb2.Feature(bytes_list=values)

    def made(name, features, **splits):
        folder = data_dir / name / "1.0.0"
        folder.mkdir(parents=True)
        described = []
        for split, records in splits.items():
            file = folder / f"{name}-{split}.array_record-00000-of-00001"
            writer = ArrayRecordWriter(str(file), "group_size:1")
            for record in records:
                named = {key: feature(value) for key, value in record.items()}
                example = tf_example_pb2.Example(
                    features=tf_feature_pb2.Features(feature=named)
                )
                writer.write(example.SerializeToString())
            writer.close()
            described.append(
                {
                    "name": split,
                    "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                    "shardLengths": [str(len(records))],
                    "numBytes": "1",
                }
            )
        info = {
            "name": name,
            "version": "1.0.0",
            "fileFormat": "array_record",
            "splits": described,
        }
        (folder / "dataset_info.json").write_text(json.dumps(info))
        kind = f"{PREFIX}.features_dict.FeaturesDict"
        told = {"featuresDict": {"features": features}, "pythonClassName": kind}
        (folder / "features.json").write_text(json.dumps(told))
        return folder

    return made


def labelled(count, label="label"):
    return [{"text": f"word{k} wörd", label: k % 2} for k in range(count)]


FEATURES = {"text": TEXT, "label": CLASS}


def refusal(call, *args):
    with pytest.raises(Refusal) as caught:
        call(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_texts_and_labels_are_those_written(write):
    write("toy", FEATURES, train=labelled(40), test=labelled(6))
    found = texts.load_labelled("toy")
    assert found.train.texts + found.validation.texts == [
        f"word{k} wörd" for k in range(40)
    ]
    assert len(found.validation.texts) == 4, "the last tenth"
    assert found.test.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert (found.name, found.class_names) == ("toy", ("0", "1"))
    again = texts.load_labelled("toy")  # from the cache
    assert again.train.texts == found.train.texts
    assert again.fingerprint == found.fingerprint


def test_where_test_labels_are_withheld_validation_is_tested_on(write):
    hidden = [{"text": "who knows", "label": -1}] * 5
    write("toy", FEATURES, train=labelled(40), validation=labelled(8), test=hidden)
    found = texts.load_labelled("toy")
    sizes = [len(part.texts) for part in (found.train, found.validation, found.test)]
    assert sizes == [36, 4, 8]


def test_clinc_is_read_in_scope(write):
    features = {"text": TEXT, "intent": NUMBER, "intent_name": TEXT}

    def records(count):
        return [
            {"text": f"request {k}", "intent": k % 3, "intent_name": f"intent{k % 3}"}
            for k in range(count)
        ]

    outside = [{"text": "?", "intent": 3, "intent_name": "oos"}]
    splits = {"train": records(9), "validation": records(3), "test": records(3)}
    write("clinc_oos", features, **splits, train_oos=outside, test_oos=outside)
    found = texts.load_labelled("clinc_oos")
    assert found.class_names == ("intent0", "intent1", "intent2")
    assert [len(found.train.texts), len(found.test.texts)] == [9, 3]


def test_a_label_of_no_class_is_refused(write):
    bad = [*labelled(5), {"text": "x", "label": 2}]
    folder = write("toy", FEATURES, train=labelled(20), test=bad)
    assert refusal(texts.load_labelled, "toy") == (
        f"{folder}, split test: example 5 has label 2; expected 0 to 1"
    )


def test_what_is_no_text_data_set_is_refused(write):
    write("numbers", {"x": NUMBER}, train=[{"x": 1}], test=[{"x": 1}])
    message = refusal(texts.load_labelled, "numbers")
    assert "features x; expected one Text and one ClassLabel" in message
    assert "expected one Text" in refusal(texts.load_plain, "numbers")
    write("latin", FEATURES, train=[{"text": b"\xff", "label": 0}])
    assert "record 0 is not UTF-8" in refusal(texts.load_labelled, "latin")
    write("lonely", FEATURES, train=labelled(20))
    assert "no labelled split beside train" in refusal(texts.load_labelled, "lonely")


def test_a_truncated_shard_is_refused_by_name(write):
    folder = write("toy", FEATURES, train=labelled(40), test=labelled(6))
    path = next(folder.glob("*test*"))
    path.write_bytes(path.read_bytes()[:100])
    assert refusal(texts.load_labelled, "toy").startswith(f"{path}: ")


def test_plain_text_is_joined(write):
    parts = {"train": ["ab", "c"], "validation": ["d"], "test": ["é"]}
    records = {split: [{"text": t} for t in said] for split, said in parts.items()}
    write("novel", {"text": TEXT}, **records)
    assert tuple(map(str, texts.load_plain("novel")[1:4])) == ("abc", "d", "é")


def test_records_that_are_read_in_several_parts_are_in_their_order(write, monkeypatch):
    monkeypatch.setattr(texts.records, "_TOGETHER", 3)
    said = [f"line {k}\n" for k in range(11)]
    rows = [{"text": one} for one in said]
    parts = {"train": rows, "validation": rows[:3], "test": rows[:1]}
    write("novel", {"text": TEXT}, **parts)
    found = texts.load_plain("novel")
    assert str(found.train) == "".join(said)
    assert str(found.validation) == "".join(said[:3])


def test_nothing_prepared_is_refused_in_one_line(data_dir):
    message = refusal(texts.load_labelled, "clinc_oos", data_dir)
    assert "not prepared" in message and "scripts.prepare_data clinc_oos" in message


LINES = [f"{'yes' if k % 3 else 'no'}\ttext number {k}" for k in range(20)]


def table(tmp_path, lines, name="mine.tsv"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_table_is_split_once_and_for_all(tmp_path):
    found = texts.load_labelled(table(tmp_path, LINES))
    parts = (found.train, found.validation, found.test)
    assert [len(part.texts) for part in parts] == [14, 2, 4]
    assert found.class_names == ("no", "yes")
    rows = {
        f"{found.class_names[label]}\t{text}"
        for part in parts
        for text, label in zip(part.texts, part.labels, strict=True)
    }
    assert rows == set(LINES)
    same = texts.load_labelled(table(tmp_path, LINES))
    assert same.train.texts == found.train.texts
    assert same.fingerprint == found.fingerprint


def test_a_folder_has_a_file_for_each_split(tmp_path):
    for split, lines in (("train", 12), ("validation", 3), ("test", 4)):
        table(tmp_path, LINES[:lines], f"{split}.tsv")
    found = texts.load_labelled(str(tmp_path))
    sizes = [len(part.texts) for part in (found.train, found.validation, found.test)]
    assert sizes == [12, 3, 4]
    path = table(tmp_path, [*LINES[:2], "maybe\tthree"], "test.tsv")
    assert refusal(texts.load_labelled, str(tmp_path)) == (
        f"{path}:3: label 'maybe' is not among the 2 of the train split: no, yes"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "no tab here",
            "1 field; expected 2, as in the first line (quote a field that"
            " contains the separator)",
        ),
        ("yes\t  ", "an empty text for label 'yes'; expected a label and a text"),
        ("\tsaid", "an empty label for the text 'said'; expected a label and a text"),
    ],
)
def test_a_bad_line_is_refused_by_file_and_number(tmp_path, line, expected):
    path = table(tmp_path, [*LINES[:7], line, *LINES[7:]])
    assert refusal(texts.load_labelled, path) == f"{path}:8: {expected}"


def test_a_bad_file_is_refused(tmp_path, monkeypatch):
    missing = str(tmp_path / "none.tsv")
    assert refusal(texts.load_labelled, missing) == (
        f"{missing!r}: No such file or directory; expected a text file"
    )
    assert "empty; expected text" in refusal(texts.load_plain, table(tmp_path, []))
    assert "3 lines; expected at least 10" in refusal(
        texts.load_labelled, table(tmp_path, LINES[:3])
    )
    assert "one label, 'a'; expected at least two" in refusal(
        texts.load_labelled, table(tmp_path, ["a\tb"] * 12)
    )
    assert "characters; expected at least 20" in refusal(
        texts.load_plain, table(tmp_path, ["short"])
    )
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"one\ntwo\n\xe9t\xe9")
    message = refusal(texts.load_plain, str(latin))
    assert message.startswith(f"{latin}:3: byte 0xe9 is not UTF-8")
    monkeypatch.setattr(content, "MAX_BYTES", 5)
    assert "too long; expected at most 5 bytes" in refusal(texts.load_plain, str(latin))


def test_a_text_is_cut_in_three(tmp_path):
    path = tmp_path / "book.txt"
    path.write_bytes("﻿".encode() + b"0123456789\r\n" * 100)
    found = texts.load_plain(str(path))
    assert found.train + found.validation + found.test == "0123456789\n" * 100
    assert [len(part) for part in found[1:4]] == [990, 55, 55]


def test_packing_keeps_texts():
    said = ["", "é", "two words", ""]
    assert unpack("x", pack("x", said)) == said


CORPUS = ["the cat sat on the mat", "the dog sat on the log", "a cat, a dog!"] * 3


@pytest.mark.parametrize("kind", tokens.KINDS)
@pytest.mark.slow
def test_a_tokenizer_is_the_same_every_time(kind):
    code = (
        "from gradjax.data import tokens; import hashlib;"
        f"made = tokens.train({CORPUS!r}, {kind!r}, 60);"
        "print(hashlib.sha256(made.state.encode()).hexdigest())"
    )
    command = [sys.executable, "-c", code]
    printed = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert printed[0] == printed[1]
    made = tokens.train(CORPUS, kind, 60)
    assert made.num_tokens <= 60
    (there,) = made.encode(["The cát  sat"])
    assert made.decode(there) == "the cat sat"
    assert tokens.from_state(made.state).encode(["a dog"]) == made.encode(["a dog"])


def test_unknown_words_and_characters():
    word, bpe = (tokens.train(CORPUS, kind, 60) for kind in tokens.KINDS)
    assert word.encode(["cat zebra"])[0].count(tokens.UNKNOWN) == 1
    assert tokens.UNKNOWN not in bpe.encode(["mad cog"])[0]
    assert tokens.UNKNOWN in bpe.encode(["日本"])[0]
    assert word.encode([""]) == [[]]


def test_case_can_be_kept():
    kept = tokens.train(["Ich bin"] * 3, "bpe", 60, is_lowered=False)
    assert kept.decode(kept.encode(["Ich bin"])[0]) == "Ich bin"


def test_padding():
    padded, lengths = tokens.pad([[5, 6, 7, 8], [9], []], 3)
    assert padded.tolist() == [[5, 6, 7], [9, 0, 0], [tokens.UNKNOWN, 0, 0]]
    assert lengths.tolist() == [3, 1, 1]


def test_no_other_split_speaks_to_the_tokenizer(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        other = [] if split == "train" else [f"yes\tzebra {split} " + "zebra " * 9]
        table(folder, [*LINES, *other], f"{split}.tsv")
    found = tokens.tokenize(texts.load_labelled(str(folder)), "word", 100, 64)
    assert found.train.tokens.shape[1] == 3, "the longest of the train split"
    assert found.test.tokens[-1].tolist() == [tokens.UNKNOWN] * 3
    assert found.num_cut == 2
    again = tokens.tokenize(texts.load_labelled(str(folder)), "word", 100, 64)
    np.testing.assert_array_equal(again.test.tokens, found.test.tokens)
    assert again.tokenizer.state == found.tokenizer.state


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((["a"], "words"), "tokenizer 'words': expected 'word' or 'bpe'"),
        ((["a"], "word", 4), "vocab_size=4: expected from 5 to 1048576"),
        (([], "word"), "a tokenizer of no text; expected the train split's"),
        (
            (["abcdefghij klm nop qrst"], "bpe", 8),
            "vocab_size=8: the texts have 21 characters; expected at least 25",
        ),
    ],
)
def test_what_cannot_be_a_tokenizer_is_refused(arguments, expected):
    assert refusal(tokens.train, *arguments) == expected
