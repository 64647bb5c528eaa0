"""Loads ratings of items by users, from a MovieLens set of TFDS or a user's file.

A prepared set is read without TensorFlow and without a network connection, and cached
(see `data.tfds`). Measured for MovieLens latest-small on 2 CPU cores: the first load
takes 13 s, later ones 0.3 s.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.data import content, prepared, ratings_file, records, shards
from gradjax.data.cache import Arrays
from gradjax.data.order import order
from gradjax.errors import Refusal

SPLITS = ("random", "time")
_TEST = _VALIDATION = 0.1  # share of all ratings for each; the rest is for training
_FEWEST = 10  # ratings, so that none of the three splits is empty
_RECORD_BYTES = 4096  # the largest allowed mean size of an unpacked record
_CHUNK = 10_000  # records read at once
_NEEDED = ("user_id", "movie_id", "user_rating", "timestamp", "movie_title")


class Ratings(NamedTuple):
    """All ratings of a data set, ordered by time."""

    name: str  # the TFDS name, or the name of the file
    user: np.ndarray  # i32[ratings], in [0, users)
    item: np.ndarray  # i32[ratings], in [0, items)
    rating: np.ndarray  # f32[ratings]
    time: np.ndarray  # f64[ratings], ascending; without times, places in the source
    users: np.ndarray  # str[users], the names of the users in the source
    items: np.ndarray  # str[items], the names of the items in the source
    titles: np.ndarray  # str[items], the name where an item has no title
    genres: np.ndarray  # bool[items, genres]; no columns if the source has no genres
    fingerprint: str  # sha256 of the source
    origin: str  # one readable line: the folder or the file
    has_time: bool = True  # whether the source has times
    understood: str = ""  # one line: what was understood of a file of the user


class Parts(NamedTuple):
    """The ratings of each split: indices i64[...] into Ratings' arrays, ascending."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def load(name: str, data_dir: str | Path | None = None) -> Ratings:
    """Loads ratings by name.

    Args:
      name: a TFDS name such as `movielens/latest-small-ratings`, or the path of a file
        with the columns user, item, rating and, optionally, time (or the names of
        MovieLens: userId, movieId, rating, timestamp), title and genres (separated by
        |), see `ratings_file.read`.
      data_dir: TFDS's folder; None means `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
      The ratings ordered by time; those of equal time, or without times, are in the
      order of the source.

    Raises:
      Refusal: the data set is not prepared, damaged, has other features, or has fewer
        than ten ratings; for a file the line has the file and the line number.
    """
    understood = ""
    if content.is_path(name):
        path = Path(os.path.expanduser(name))
        columns, fingerprint, understood = ratings_file.read(path)
        plain_name, origin = path.name, str(path)
    else:
        folder, fingerprint, columns = records.read_or_decode(
            "ratings", name, data_dir, _decode
        )
        plain_name, origin = prepared.parse(name)[0], str(folder)
    num_ratings = len(columns["rating"])
    if num_ratings < _FEWEST:
        raise Refusal(f"{origin}: {num_ratings} ratings; expected at least {_FEWEST}")
    _check_ratings(columns["rating"], origin)
    has_time = "time" in columns
    if not has_time:
        columns["time"] = np.arange(num_ratings, dtype=np.float64)
    found = _with_dense_ids(plain_name, columns, fingerprint, origin)
    return found._replace(has_time=has_time, understood=understood)


def split(ratings: Ratings, by: str = "random", index: int = 0) -> Parts:
    """Splits ratings: a tenth for test, a tenth for validation, the rest for training.

    The split depends only on the arguments, not on the seed of a run.

    Args:
      ratings: the ratings to split.
      by: "random": ratings are drawn uniformly; "time": the latest tenth is the test
        split, and the tenth before it is the validation split.
      index: number of the random split, from 0, for comparisons paired over splits.

    Raises:
      Refusal: `by` is another word, the index is not a valid number, or ratings without
        times are split by time.
    """
    if by not in SPLITS:
        raise Refusal(f"split={by!r}: expected {' or '.join(map(repr, SPLITS))}")
    if not 0 <= index < 2**32:
        raise Refusal(f"split_index={index}: expected a whole number from 0 to 2**32-1")
    num_ratings = len(ratings.rating)
    num_test = round(num_ratings * _TEST)
    num_validation = round(num_ratings * _VALIDATION)
    if by == "time":
        if not ratings.has_time:
            expected = "expected a column time, or split='random'"
            raise Refusal(f"split='time': {ratings.origin} has no times; {expected}")
        if index:
            raise Refusal(f"split_index={index}: there is one split by time, index 0")
        places = np.arange(num_ratings)
    else:
        positions = np.arange(num_ratings, dtype=np.uint32)
        places = order(index, 0, positions, num_ratings).astype(np.int64)
    cuts = [num_ratings - num_test - num_validation, num_ratings - num_test]
    return Parts(*map(np.sort, np.split(places, cuts)))


def is_new(ids: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Marks the held-out ratings of a user (or an item) without training ratings.

    Args:
      ids: i32[ratings], the users or the items of all ratings.
      train: i64[train], indices of the training ratings.
      held_out: i64[held_out], indices of the held-out ratings.

    Returns:
      bool[held_out].
    """
    return ~np.isin(ids[held_out], ids[train])


def _decode(folder: Path) -> Arrays:
    """Reads one array per feature, in the order of the records."""
    builder = records.builder(folder)
    features: Any = builder.info.features
    if not set(_NEEDED) <= set(features):
        found = ", ".join(sorted(features))
        raise Refusal(f"{folder}: features {found}; expected {', '.join(_NEEDED)}")
    columns: dict[str, list[Any]] = {name: [] for name in _NEEDED}
    genres: list[str] = []
    has_genres = "movie_genres" in features
    name_of = features["movie_genres"].feature.int2str if has_genres else str
    for record in _records(builder):
        for name in _NEEDED:
            columns[name].append(record[name])
        told = record["movie_genres"] if has_genres else []
        genres.append("|".join(name_of(int(label)) for label in told))
    return {
        "user": np.array(columns["user_id"]).astype(str),
        "item": np.array(columns["movie_id"]).astype(str),
        "rating": np.array(columns["user_rating"], np.float32),
        "time": np.array(columns["timestamp"], np.float64),
        "title": _decode_texts(columns["movie_title"]),
        "genres": np.array(genres),
    }


def _decode_texts(texts: list[bytes]) -> np.ndarray:
    return np.array([text.decode("utf-8", "replace") for text in texts])


def _records(builder: Any) -> Iterable[Any]:
    """Yields the records of the train split; every shard is checked first."""
    info = builder.info.splits["train"]
    for path, length in zip(info.filepaths, info.shard_lengths, strict=True):
        shards.check(Path(path), length, length * _RECORD_BYTES + 2**20)
    source, num_records = builder.as_data_source("train"), info.num_examples
    for start in range(0, num_records, _CHUNK):
        keys = range(start, min(start + _CHUNK, num_records))
        try:
            yield from source.__getitems__(list(keys))
        except Exception as error:  # a wrong hash, or a record that cannot be parsed
            reason = _first_line(error)
            raise Refusal(f"{builder.data_dir}: damaged ({reason})") from error


def _check_ratings(values: np.ndarray, origin: str) -> None:
    is_bad = ~np.isfinite(values)
    if is_bad.any():
        place = int(is_bad.argmax())
        raise Refusal(f"{origin}: rating {place} is {values[place]}; expected finite")


def _with_dense_ids(
    name: str, columns: Arrays, fingerprint: str, origin: str
) -> Ratings:
    """Replaces names by dense ids and sorts the rows by time."""
    rows = np.argsort(columns["time"], kind="stable")
    users, user = np.unique(columns["user"], return_inverse=True)
    items, first, item = np.unique(
        columns["item"], return_index=True, return_inverse=True
    )
    titles = columns["title"][first].astype(str)
    return Ratings(
        name=name,
        user=user[rows].astype(np.int32),
        item=item[rows].astype(np.int32),
        rating=columns["rating"][rows].astype(np.float32),
        time=columns["time"][rows].astype(np.float64),
        users=users,
        items=items,
        titles=np.where(titles == "", items, titles),
        genres=_genres(columns["genres"][first]),
        fingerprint=fingerprint,
        origin=origin,
    )


def _genres(told: np.ndarray) -> np.ndarray:
    """Converts texts such as `"Comedy|Drama"` to bool[items, genres], genres sorted."""
    sets = [set(filter(None, text.split("|"))) for text in told]
    names = sorted(set().union(*sets))
    return np.array([[name in one for name in names] for one in sets], bool).reshape(
        len(told), len(names)
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
