"""Reads translations from one file of the user with a pair of sentences in each row."""

import hashlib
import os
from pathlib import Path

from gradjax.data import columns
from gradjax.data import content as contents
from gradjax.data import rows as row_files
from gradjax.data.columns import Column, Role
from gradjax.data.pair_files import Pairs, Read
from gradjax.data.rows import Rows
from gradjax.errors import Refusal

_SOURCES, _TARGETS = ("source", "src"), ("target", "tgt", "translation")
# ISO 639-1 codes and some names of languages, which mark a header in pairs.
_LANGUAGES = """
aa ab af ak am an ar as av ay az ba be bg bm bn bo br bs ca ce co cs cu cv cy da de
dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi hr ht hu
hy ia id ig io is it iu ja jv ka kg ki kk kl km kn ko ks ku kv kw ky la lb lg ln lo
lt lu lv mg mh mi mk ml mn mr ms mt my nb ne nl nn no nv ny oc om or os pa pl ps pt
qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th
ti tk tl tn to tr ts tt tw ug uk ur uz ve vi vo wo xh yi yo zh zu arabic chinese
czech dutch english french german greek hebrew hindi italian japanese korean polish
portuguese russian spanish swedish turkish
"""


def is_rows(name: str) -> bool:
    """Says whether a name is a file of rows, not the start of two files' names."""
    path = Path(os.path.expanduser(name))
    plain = path.name.lower().removesuffix(".gz")
    return os.path.isfile(path) or plain.endswith((".csv", ".tsv", ".jsonl", ".ndjson"))


def read(name: str, source: str | None, target: str | None) -> Read:
    """Reads pairs from a file of rows: CSV, TSV or JSON lines, see `rows.read`.

    The columns are those given, or those named source and target. Of two columns the
    first one is the source, where none or the other is given. The languages are the
    names of the columns.

    Args:
      name: the path of the file.
      source: the name or the number, from 1, of the column of the source sentences.
      target: the same for the translations.

    Raises:
      Refusal: the file is missing or not UTF-8, a row has another number of fields or
        an empty sentence, or a column is unknown or cannot be found.
    """
    path = Path(os.path.expanduser(name))
    content = contents.read(path)
    given = {row_files.normal(one) for one in (source, target) if one}
    known = {*_SOURCES, *_TARGETS, *_LANGUAGES.split(), *given}
    rows = row_files.read(path, known, content, num_known=2)
    places = _columns(rows, source, target)
    sides = (
        [_sentence(rows, k, column) for k in range(len(rows.fields))]
        for column in places
    )
    languages = "source", "target"
    if rows.header is not None:
        languages = rows.header[places[0].place], rows.header[places[1].place]
    said = [f"source in {places[0].shown}", f"target in {places[1].shown}"]
    counts = [f"{len(rows.fields):,} pairs of sentences"]
    understood = columns.described(rows, said, counts)
    fingerprint = hashlib.sha256(content).hexdigest()
    return Read(languages, {"train": Pairs(*sides)}, fingerprint, understood)


def _columns(
    rows: Rows, source: str | None, target: str | None
) -> tuple[Column, Column]:
    first, second = columns.two(
        rows,
        (
            Role("source sentences", "source", source, _SOURCES),
            Role("translations", "target", target, _TARGETS),
        ),
        lambda rows: (columns.nth(rows, 0), columns.nth(rows, 1)),
    )
    if first == second:
        raise Refusal(f"{rows.path}: {first.shown} is both the source and the target")
    return first, second


def _sentence(rows: Rows, k: int, column: Column) -> str:
    sentence = " ".join(rows.fields[k][column.place].split())
    if not sentence:
        shown = f"an empty sentence in {column.shown}"
        raise Refusal(f"{rows.path}:{rows.lines[k]}: {shown}; expected a pair")
    return sentence
