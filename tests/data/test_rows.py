"""Files of rows as people bring them: what is understood of each, or refused."""

import gzip

import pytest

from gradjax.data import pairs, ratings, texts
from gradjax.errors import Refusal

SAID = [(f"word {k}", "good" if k % 3 else "bad") for k in range(20)]
PLAIN = "\n".join(f"{label}\t{text}" for text, label in SAID)
QUOTED = "text,label\n" + "\n".join(f'"{text}, ""so""",{label}' for text, label in SAID)
JSON = "\n".join(f'{{"text": "{text}", "label": "{label}"}}' for text, label in SAID)


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def all_texts(found):
    return {one for part in found[1:4] for one in part.texts}


WORDS = {text for text, _ in SAID}
UNDERSTOOD = {
    "plain.tsv": (PLAIN, "TSV without a header, text in column 2, label in column 1"),
    "named.tsv": (
        f"label\ttext\n{PLAIN}",
        "TSV with a header, text in column 'text', label in column 'label'",
    ),
    "odd.tsv": (
        f"mood\tphrase\n{PLAIN}",
        "TSV with a header, text in column 'phrase', label in column 'mood'",
    ),
    "windows.tsv": (
        "\ufeff" + f"label\ttext\n{PLAIN}\n".replace("\n", "\r\n"),
        "TSV with a header, text in column 'text', label in column 'label'",
    ),
    "excel.txt": (
        f"Label\tText\n{PLAIN}".encode("utf-16"),
        "TSV with a header, text in column 'Text', label in column 'Label'",
    ),
    "semicolons.csv": (
        "label;review\n" + PLAIN.replace("\t", ";"),
        "CSV with semicolons with a header, text in column 'review', label in column"
        " 'label'",
    ),
    "packed.csv.gz": (
        gzip.compress(f"label,text\n{PLAIN}".replace("\t", ",").encode()),
        "CSV with a header, text in column 'text', label in column 'label'",
    ),
    "lines.jsonl": (JSON, "JSON lines, text in column 'text', label in column 'label'"),
    "lines.txt": (JSON, "JSON lines, text in column 'text', label in column 'label'"),
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_texts_are_understood_and_it_is_said(tmp_path, name):
    content, said = UNDERSTOOD[name]
    found = texts.load_labelled(put(tmp_path, name, content))
    assert found.understood == f"{name}: {said}, 20 texts, 2 classes"
    assert all_texts(found) == WORDS
    assert found.class_names == ("bad", "good")


def test_quotes_of_pandas_do_not_stay_in_the_texts(tmp_path):
    found = texts.load_labelled(put(tmp_path, "a.csv", QUOTED))
    assert all_texts(found) == {f'{text}, "so"' for text in WORDS}
    tabs = PLAIN.replace("word 3", '"wo""rd\n3"')
    found = texts.load_labelled(put(tmp_path, "a.tsv", tabs))
    assert all_texts(found) == WORDS - {"word 3"} | {'wo"rd\n3'}


def test_a_quotation_mark_in_a_text_with_tabs_is_a_character(tmp_path):
    found = texts.load_labelled(
        put(tmp_path, "a.tsv", f'{PLAIN}\ngood\t"So said she\nbad\ta\tb')
    )
    assert all_texts(found) == WORDS | {'"So said she', "a\tb"}


def test_a_text_that_is_also_a_name_of_a_column_is_no_header(tmp_path):
    said = "\n".join(["question\thow?", "answer\tso", "question\twhy?"] * 5)
    found = texts.load_labelled(put(tmp_path, "a.tsv", said))
    assert found.class_names == ("answer", "question")
    assert found.understood.endswith(
        "without a header, text in column 2, label in column 1, 15 texts, 2 classes"
    )


def test_empty_lines_are_left_out_and_counted(tmp_path):
    found = texts.load_labelled(put(tmp_path, "a.tsv", f"\n{PLAIN}\n\n"))
    assert all_texts(found) == WORDS
    assert found.understood.endswith("2 classes, 2 empty lines left out")


def test_columns_can_be_chosen(tmp_path):
    wide = "id,phrase,mood\n" + "\n".join(
        f"{k},{text},{label}" for k, (text, label) in enumerate(SAID)
    )
    path = put(tmp_path, "a.csv", wide)
    with pytest.raises(Refusal, match="'id', 'phrase', 'mood': say it with --text_col"):
        texts.load_labelled(path)
    by_name = texts.load_labelled(path, None, "phrase", "mood")
    assert all_texts(by_name) == WORDS
    with pytest.raises(Refusal, match="--label_column=moood: .* did you mean 'mood'"):
        texts.load_labelled(path, None, "phrase", "moood")
    with pytest.raises(Refusal, match="both the text and the label"):
        texts.load_labelled(path, None, "mood", "mood")
    bare = put(tmp_path, "b.csv", wide.partition("\n")[2])
    assert all_texts(texts.load_labelled(bare, None, "2", "3")) == WORDS
    with pytest.raises(Refusal, match="--text_column=x: rotten_tomatoes is a data set"):
        texts.load_labelled("rotten_tomatoes", tmp_path, "x")


REFUSED = {
    "a.csv": (f"{QUOTED}\na,b,c", ":22: 3 fields; expected 2, as in the first line"),
    "b.csv": (f'{QUOTED}\n"a,b', ":22: unexpected end of data"),
    "c.csv": ("only\none\ncolumn", ":1: one column in 'only'; expected columns sep"),
    "d.csv": (QUOTED.encode() + b"\n\xe9,bad", ":22: byte 0xe9 is not UTF-8"),
    "e.jsonl": (f'{JSON}\n{{"text": 1}}', ":21: no 'label', which line 1 has"),
    "f.jsonl": (f"{JSON}\n{{oh", ":21: not JSON (Expecting property name"),
    "g.json": ("[1, 2]", ":1: a list; expected one object on each line"),
    "h.jsonl": (f'{JSON}\n{{"text": null, "label": 1}}', ":21: an empty text for"),
    "i.csv.gz": (b"no gzip", ": damaged (Not a gzipped file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_line_is_refused_by_its_number(tmp_path, name):
    content, said = REFUSED[name]
    path = put(tmp_path, name, content)
    with pytest.raises(Refusal) as caught:
        texts.load_labelled(path)
    assert str(caught.value).startswith(f"{path}{said}")


RATED = [f"u{k % 4},i{k % 5},{1 + k % 5}" for k in range(12)]
RATINGS = {
    "none.csv": ("\n".join(["user,item,rating", *RATED]), "no time"),
    "bare.csv": ("\n".join(RATED), "without a header, user in column 1"),
    "u.data": (
        "\n".join(f"{row},{k}" for k, row in enumerate(RATED)).replace(",", "\t"),
        "TSV without a header, user in column 1, item in column 2, rating in column 3,"
        " time in column 4",
    ),
    "ratings.dat": (
        "\n".join(f"{row},{k}" for k, row in enumerate(RATED)).replace(",", "::"),
        "columns separated by :: without a header",
    ),
    "r.jsonl": (
        "\n".join(
            f'{{"user": {k % 4}, "item": "i{k}", "rating": 3}}' for k in range(12)
        ),
        "JSON lines, user in column 'user'",
    ),
}


@pytest.mark.parametrize("name", RATINGS)
def test_ratings_of_many_forms_are_understood(tmp_path, name, monkeypatch):
    content, said = RATINGS[name]
    put(tmp_path, name, content)
    monkeypatch.chdir(tmp_path)
    found = ratings.load(f"./{name}")
    assert said in found.understood and found.understood.endswith("12 ratings")
    assert len(found.rating) == 12 and len(found.users) == 4
    parts = ratings.split(found)
    assert sorted(place for part in parts for place in part) == list(range(12))
    if found.has_time:
        assert len(ratings.split(found, "time").test) == 1
    else:
        with pytest.raises(Refusal, match="has no times; expected a column time"):
            ratings.split(found, "time")


TWO = [(f"the cat {k}", f"die Katze, {k}") for k in range(12)]
TABBED = "\n".join("\t".join(pair) for pair in TWO)
PAIRS = {
    "pairs.tsv": (TABBED, ("source", "target"), "TSV without a header"),
    "named.tsv": (f"en\tde\n{TABBED}", ("en", "de"), "source in column 'en'"),
    "pairs.csv": (
        "source,target\n" + "\n".join(f'{en},"{de}"' for en, de in TWO),
        ("source", "target"),
        "CSV with a header",
    ),
    "pairs.jsonl": (
        "\n".join(f'{{"translation": {{"en": "{e}", "de": "{d}"}}}}' for e, d in TWO),
        ("en", "de"),
        "JSON lines",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_one_file_are_understood(tmp_path, name):
    content, languages, said = PAIRS[name]
    path = put(tmp_path, name, content)
    found = pairs.load(path)
    assert (found.source, found.target) == languages
    assert said in found.understood
    assert found.understood.endswith("12 pairs of sentences")
    assert {pair for part in found[3:6] for pair in zip(*part, strict=True)} == set(TWO)
    if languages == ("en", "de"):
        assert pairs.load(path, "de").train.targets[0].startswith("the cat")
    with pytest.raises(Refusal, match="is no folder with a test split"):
        pairs.load(path, test="test")


def test_wrong_pairs_are_refused(tmp_path):
    path = put(tmp_path, "a.tsv", f"{TABBED}\nthe end\t ")
    with pytest.raises(Refusal, match=r"a.tsv:13: an empty sentence in column 2"):
        pairs.load(path)
    wide = put(tmp_path, "b.tsv", "\n".join(["a\tb\tc"] * 5))
    with pytest.raises(Refusal, match="which column has the source sentences"):
        pairs.load(wide)
    three = put(tmp_path, "c.tsv", "\n".join(f"{e}\t{d}\tx" for e, d in TWO))
    assert len(pairs.load(three, "1", "2").train.sources) == 10
