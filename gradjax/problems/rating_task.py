"""Ratings with a model of them: its training problem, and what it predicts."""

import functools
import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gradjax.data import ratings
from gradjax.data.ratings import Parts, Ratings
from gradjax.errors import Refusal
from gradjax.problems import arguments, ranking
from gradjax.problems.network import network
from gradjax.types import Batch, Params

CATALOGUE = "catalogue.json"  # the file of a record with what a stored model needs
_CHUNK = 65_536  # ratings predicted in one call
_PAIRS = 'predict takes pairs of a user and an item, as in predict([("u1", "i7")])'


class Task(NamedTuple):
    """Ratings, their split, and the model that predicts them."""

    ratings: Ratings
    parts: Parts
    split: str  # the kind of the split: "random" or "time"
    model: Any  # models.recommender.Recommender
    mean: float  # the mean rating of the train split
    predict: Callable[[Params, Batch], jax.Array]  # -> f32[batch]
    scores: Callable[[Params, jax.Array], jax.Array]  # users -> f32[users, items]


def task(
    all_ratings: Ratings,
    model: str = "factorisation",
    split: str = "random",
    split_index: int = 0,
    precision: str = "float32",
) -> Task:
    """Splits the ratings and makes the model.

    Args:
      all_ratings: from `data.ratings.load`.
      model: an expression: `factorisation(rank=32)`, `two_tower(widths=(64,))`.
      split: "random" or "time", see `data.ratings.split`.
      split_index: number of the random split.
      precision: as in `images.load`.

    Raises:
        Refusal: a name is unknown, a value is out of range, or the split is impossible.
    """
    parts = ratings.split(all_ratings, split, split_index)
    mean = float(all_ratings.rating[parts.train].mean(dtype=np.float64))
    made = _model(all_ratings, parts, model, precision=precision)
    return _task(all_ratings, parts, split, made, mean)


def catalogue(what: Task) -> bytes:
    """Returns the file from which `from_catalogue` makes the task without the data.

    It has the names of users and items, the titles and the genres, and which user rated
    which item in the train split.
    """
    source, train = what.ratings, what.parts.train
    named = {
        "users": source.users,
        "items": source.items,
        "titles": source.titles,
        "genres": source.genres.astype(int),
        "user": source.user[train],
        "item": source.item[train],
    }
    lists = {name: values.tolist() for name, values in named.items()}
    return json.dumps(lists | {"mean": what.mean}).encode()


def from_catalogue(content: str, model: str, own: Any = None) -> Task:
    """Makes the task of a stored model; its ratings are those of the train split.

    Args:
      content: of the file that `catalogue` makes.
      model: the expression of the model.
      own: what its import path names; None: it is imported.

    Raises:
        Refusal: what `task` refuses, or the content is damaged.
    """
    try:
        lists = json.loads(content)
        ids = {name: np.asarray(lists[name], np.int32) for name in ("user", "item")}
        names = {k: np.asarray(lists[k], str) for k in ("users", "items", "titles")}
        shape = len(names["items"]), -1
        genres = np.asarray(lists["genres"], bool).reshape(shape)
        mean = float(lists["mean"])
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(f"damaged ({type(error).__name__}: {error})") from error
    count = len(ids["user"])
    known = Ratings(
        name="",
        rating=np.zeros(count, np.float32),
        time=np.zeros(count),
        genres=genres,
        fingerprint="",
        origin="",
        user=ids["user"],
        item=ids["item"],
        users=names["users"],
        items=names["items"],
        titles=names["titles"],
    )
    nothing = np.zeros(0, np.int64)
    parts = Parts(np.arange(count), nothing, nothing)
    return _task(known, parts, "", _model(known, parts, model, own=own), mean)


def predictor(what: Task) -> Callable[..., np.ndarray]:
    """Makes a function (params, pairs of a user and an item) -> ratings f32[pairs].

    Users and items are given by their names in the data set. One that it does not have
    is new: it has a zero vector and a zero bias. The function raises Refusal if its
    argument is not a list of pairs.
    """
    predict = jax.jit(what.predict)
    places = [
        {str(name): place for place, name in enumerate(names)}
        for names in (what.ratings.users, what.ratings.items)
    ]

    def predicted(params: Params, pairs: Sequence[tuple[Any, Any]]) -> np.ndarray:
        columns = zip(places, _columns(pairs), strict=True)
        user, item = (
            np.array([known.get(name, len(known)) for name in column], np.int32)
            for known, column in columns
        )
        cuts = range(_CHUNK, len(user), _CHUNK)
        parts = zip(np.split(user, cuts), np.split(item, cuts), strict=True)
        found = [predict(params, {"user": one, "item": of}) for one, of in parts]
        return np.concatenate([np.asarray(one) for one in found])

    return predicted


def recommender(what: Task) -> Callable[..., list[tuple[str, float]]]:
    """Makes a function (params, user, count=10) -> titles with predicted ratings.

    The items with the highest predicted ratings come first. Items that the user rated
    in the train split are left out. A user whom the data set does not have is new, with
    a zero vector and a zero bias, and a warning says so.
    """

    def recommend(
        params: Params, user: Any, count: int = 10
    ) -> list[tuple[str, float]]:
        if not np.any(what.ratings.users == str(user)):
            warnings.warn(
                f"user {user!r} is not in the data set: the items are those for a new"
                " user",
                stacklevel=3,
            )
        num_items = len(what.ratings.items)
        most = min(arguments.whole("count", count, 1, 2**31 - 1), num_items)
        _, items, expected = recommended(what, params, str(user), most)
        titles = what.ratings.titles[items].tolist()
        return list(zip(titles, expected.tolist(), strict=True))

    return recommend


def recommended(
    what: Task, params: Params, user: str, count: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Finds the items with the highest predicted ratings for a user.

    Returns:
      The number of items that the user rated in the train split, which are left out, so
      the list may be shorter than `count`; the items, i32[items]; and their predicted
      ratings, f32[items].
    """
    source, train = what.ratings, what.parts.train
    found = np.flatnonzero(source.users == user)
    place = int(found[0]) if found.size else len(source.users)
    known = ranking.Pairs(source.user[train], source.item[train])
    scores = functools.partial(jax.jit(what.scores), params)
    users = np.array([place], np.int32)
    rated = known.item[known.user == place]
    (items,) = ranking.best(scores, users, known, count)
    items = items[~np.isin(items, rated)]
    return len(rated), items, np.asarray(scores(users))[0, items]


def _model(all_ratings: Ratings, parts: Parts, model: str, **how: Any) -> Any:
    """Makes the model that an expression names; `how` is as `network` takes it."""
    from gradjax import models
    from gradjax.models import recommender as interface

    num_users, num_items = len(all_ratings.users), len(all_ratings.items)
    properties = interface.Catalogue(
        _is_seen(all_ratings.user[parts.train], num_users),
        _is_seen(all_ratings.item[parts.train], num_items),
        all_ratings.genres,
    )
    registry: Any = models.RECOMMENDERS
    return network(model, registry, properties, **how)


def _task(
    all_ratings: Ratings, parts: Parts, split: str, model: Any, mean: float
) -> Task:
    from gradjax.models import recommender as interface

    num_items = len(all_ratings.items)
    return Task(
        all_ratings,
        parts,
        split,
        model,
        mean,
        functools.partial(interface.predict, model, mean),
        functools.partial(interface.scores, model, mean, num_items=num_items),
    )


def _columns(pairs: Any) -> tuple[list[str], list[str]]:
    """Returns the users and the items of a list of pairs, as text."""
    try:
        said = [] if isinstance(pairs, str | dict) else [tuple(pair) for pair in pairs]
        is_text = any(isinstance(pair, str) for pair in pairs)
    except TypeError:
        said, is_text = [], False
    if not said or is_text or any(len(pair) != 2 for pair in said):
        raise Refusal(_PAIRS)
    return [str(user) for user, _ in said], [str(item) for _, item in said]


def _is_seen(ids: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(ids, minlength=size) > 0
