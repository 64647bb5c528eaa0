"""Reads translations from two text files of the user, aligned line by line.

A wrong line is refused with its file and line number. An empty line is wrong, because a
sentence is missing there and the lines after it may be misaligned.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import NamedTuple

from gradjax import expressions
from gradjax.data import content as contents_of
from gradjax.errors import Refusal

_VALIDATION = ("validation", "valid", "val", "dev")
_LANGUAGE = r"(?!gz\b)([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*)"  # en, pt-br, zh_Hans


class Pairs(NamedTuple):
    """Sentences and their translations."""

    sources: list[str]
    targets: list[str]  # targets[i] is the translation of sources[i]


class Read(NamedTuple):
    """The content of the user's files."""

    languages: tuple[str, str]  # source, target
    parts: dict[str, Pairs]  # train, and validation and test if there are files
    fingerprint: str  # sha256 of their contents
    understood: str = ""  # one line: what was understood of a file of rows


def is_path(name: str) -> bool:
    """Says whether a data set's name refers to files of the user, not to TFDS."""
    is_spelt = name.startswith(("/", "./", "../", "~"))
    path = Path(name)
    return is_spelt or os.path.isdir(name) or bool(_by_language(path.parent, path.name))


def read(name: str, source: str | None, target: str | None, test: str | None) -> Read:
    """Reads aligned files: a folder of splits, or two files.

    A folder contains `train.en` and `train.de` (for en and de), the same for
    `validation` (or valid, val, dev) and for `test` (or any name that begins with
    test); the names may end in `.gz`. Two files `books.en` and `books.de` are given as
    `books`.

    Args:
      name: the folder, or the common start of the names of two files.
      source: the source language, as in the file names; None: the one that is not the
        target.
      target: the target language; None: the one that is not the source.
      test: the files of a folder that are the test split, such as `test_2016_flickr`;
        None: those whose names begin with "test", if they are unique. It must be None
        for two files.

    Raises:
      Refusal: a file is missing, damaged or not UTF-8; two files differ in their number
        of lines (the message gives the first line without a partner); a line is empty;
        or the direction is ambiguous.
    """
    path = Path(os.path.expanduser(name))
    if test is not None and not os.path.isdir(path):
        raise Refusal(f"--test={test}: {name} is no folder with a test split")
    stems = _stems(path, test) if os.path.isdir(path) else {"train": path}
    first = stems["train"]
    there = tuple(_by_language(first.parent, first.name))
    if len(there) < 2:
        found = ", ".join(f"{first.name}.{one}" for one in there) or "none"
        raise Refusal(
            f"{first}.*: files of two languages are expected, such as"
            f" {first.name}.en and {first.name}.de; found {found}"
        )
    languages = direction(there, source, target, is_ordered=False)
    parts, said = {}, []
    for split, stem in stems.items():
        parts[split], contents = _read_aligned(stem, languages)
        said += [split, *(hashlib.sha256(one).hexdigest() for one in contents)]
    return Read(languages, parts, hashlib.sha256(" ".join(said).encode()).hexdigest())


def direction(
    there: tuple[str, ...], source: str | None, target: str | None, is_ordered: bool
) -> tuple[str, str]:
    """Chooses the source language and the target language.

    Args:
      there: the languages of the data set.
      source: the requested source language, or None.
      target: the requested target language, or None.
      is_ordered: whether `there` is (source, target) if none is requested.

    Returns:
      (source, target).

    Raises:
      Refusal: a language is not in the data set, or the choice is ambiguous.
    """
    for wanted in (source, target):
        if wanted is not None and wanted not in there:
            raise Refusal(expressions.unknown(wanted, there, "language"))
    listed = ", ".join(there)
    if source is not None and source == target:
        raise Refusal(f"--source and --target are both {source!r}; there are {listed}")
    if source is None and target is None and is_ordered and len(there) == 2:
        return there[0], there[1]
    sources = [source] if source else [one for one in there if one != target]
    targets = [target] if target else [one for one in there if one != source]
    if len(sources) > 1 or len(targets) > 1:
        raise Refusal(f"languages {listed}: choose with --source and --target")
    return sources[0], targets[0]


def _stems(folder: Path, test: str | None) -> dict[str, Path]:
    """Returns the path of each split without the suffix for the language."""
    pattern = re.compile(rf"(.+)\.{_LANGUAGE}(?:\.gz)?")
    matches = (pattern.fullmatch(name) for name in _names(folder))
    names = sorted({match[1] for match in matches if match})
    stems = {"train": folder / "train"}
    if validation := [name for name in _VALIDATION if name in names]:
        stems["validation"] = folder / validation[0]
    tests = [name for name in names if name.startswith("test")]
    if test is not None:
        taken = [stem.name for stem in stems.values()]
        known = [name for name in names if name not in taken]
        if test not in known:
            raise Refusal(expressions.unknown(test, known, f"test split of {folder}"))
        tests = [test]
    if len(tests) > 1 and "test" not in tests:
        raise Refusal(f"{folder}: choose with --test: {' or '.join(tests)}")
    if tests:
        stems["test"] = folder / ("test" if "test" in tests and not test else tests[0])
    return stems


def _names(folder: Path) -> list[str]:
    try:
        return sorted(child.name for child in folder.iterdir())
    except OSError:
        return []


def _by_language(folder: Path, stem: str) -> dict[str, Path]:
    """Returns language -> file; an unpacked file is preferred to its .gz."""
    pattern = re.compile(rf"{re.escape(stem)}\.{_LANGUAGE}(?:\.gz)?")
    found: dict[str, Path] = {}
    for name in _names(folder):
        if match := pattern.fullmatch(name):
            found.setdefault(match[1], folder / name)
    return found


def _read_aligned(stem: Path, languages: tuple[str, str]) -> tuple[Pairs, list[bytes]]:
    there = _by_language(stem.parent, stem.name)
    for language in languages:
        if language not in there:
            found = ", ".join(path.name for path in there.values()) or "none"
            raise Refusal(f"{stem}.{language}: no such file, nor .gz; found {found}")
    paths = [there[language] for language in languages]
    contents = [contents_of.read(path) for path in paths]
    sources, targets = (
        contents_of.decode(*pair).removesuffix("\n").split("\n")
        for pair in zip(paths, contents, strict=True)
    )
    sizes = len(sources), len(targets)
    if sizes[0] != sizes[1]:
        longer = paths[0] if sizes[0] > sizes[1] else paths[1]
        said = " and ".join(f"{p} has {n}" for p, n in zip(paths, sizes, strict=True))
        line = min(sizes) + 1
        raise Refusal(f"{said} lines: line {line} of {longer} has no partner")
    cleaned = (
        [_sentence(path, number, line) for number, line in enumerate(lines, 1)]
        for path, lines in zip(paths, (sources, targets), strict=True)
    )
    return Pairs(*cleaned), contents


def _sentence(path: Path, number: int, line: str) -> str:
    if not (sentence := line.strip()):
        raise Refusal(f"{path}:{number}: an empty line; expected a sentence")
    return sentence
