"""Plain texts of the user as records: one file, or a folder of files.

A text is cut into pieces of about 64 KiB, which `texts.load_plain` joins again. Where
there are enough files, all pieces of a file are in the same split. Otherwise the pieces
are assigned to splits.
"""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from gradjax.data import long_texts, record_format
from gradjax.data.image_files import visible
from gradjax.data.record_format import Features
from gradjax.data.record_writer import Content
from gradjax.data.splitting import Shares
from gradjax.errors import Refusal

_MIN_PIECES = 3  # one for each split


def content(path: Path, shares: Shares) -> Content:
    """Returns the records of plain texts.

    Args:
      path: a file, or a folder whose files are all texts.
      shares: of the splits, which decide whether files are divided among them.

    Raises:
      Refusal: there is no text, or too little; a file cannot be read or is not UTF-8.
        The line names it.
    """
    paths = visible(path) if path.is_dir() else [path]
    if not paths:
        raise Refusal(f"{path}: empty; expected texts")
    counts, total = [], hashlib.sha256()
    for one in paths:
        counts.append(sum(1 for _ in long_texts.pieces(one)))
        own = f"{one.relative_to(path)} {long_texts.sha256(one)}\n"
        total.update(own.encode(errors="surrogateescape"))
    num_pieces = sum(counts)
    if num_pieces < _MIN_PIECES:
        what = f"{num_pieces} piece{'s' if num_pieces != 1 else ''} of text"
        least = _MIN_PIECES * long_texts.PIECE
        raise Refusal(
            f"{path}: {what}; expected {least} characters or {_MIN_PIECES} files, so"
            " that each split has some"
        )
    by_file = min(shares.validation, shares.test) * len(paths) >= 1
    features = Features(None)
    serialise = record_format.serialiser(features)

    def records(units: Iterator[int], skip: int) -> Iterator[bytes]:
        found = _of_files(paths, units) if by_file else _of_pieces(paths, units)
        for piece in itertools.islice(found, skip, None):
            yield serialise(piece.encode(), None)

    files = f"{len(paths):,} file{'s' if len(paths) > 1 else ''}"
    return Content(
        features,
        len(paths) if by_file else num_pieces,
        num_pieces,
        records,
        {"kind": "text", "files": total.hexdigest(), "by_file": by_file},
        f"{num_pieces:,} pieces of text from {files} of {path.name}, split by"
        f" {'files' if by_file else 'pieces'}",
    )


def _of_files(paths: list[Path], units: Iterator[int]) -> Iterator[str]:
    for unit in units:
        yield from long_texts.pieces(paths[unit])


def _of_pieces(paths: list[Path], units: Iterator[int]) -> Iterator[str]:
    wanted = next(units, None)
    every = itertools.chain.from_iterable(map(long_texts.pieces, paths))
    for number, piece in enumerate(every):
        if wanted is None:
            return
        if number == wanted:
            yield piece
            wanted = next(units, None)
