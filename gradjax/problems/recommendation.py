"""Predict ratings: squared error over users' vectors and items' vectors."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import arrays, ratings
from gradjax.data.ratings import Parts, Ratings
from gradjax.problems import arguments, bias_baseline, ranking
from gradjax.problems.network import network
from gradjax.types import (
    Batch,
    Key,
    MetricSums,
    Params,
    Problem,
    Report,
    Source,
    Splits,
    Target,
)

LIST_LENGTH = 10  # items recommended, and the k of recall@k
_CHUNK = 65_536  # ratings predicted at once on the host's side
# Solved, by data set and split: a mean squared error, the square of an RMSE.
_TARGETS = {("movielens/latest-small-ratings", "random"): 0.855**2}


class Task(NamedTuple):
    """Ratings, split, and the model that predicts them."""

    ratings: Ratings
    parts: Parts
    split: str  # how they were made: "random" or "time"
    model: Any  # models.recommender.Recommender
    mean: float  # of the train split's ratings
    predict: Callable[[Params, Batch], jax.Array]  # -> f32[batch]
    scores: Callable[[Params, jax.Array], jax.Array]  # users -> f32[users, items]


def task(
    all_ratings: Ratings,
    model: str = "factorisation",
    split: str = "random",
    split_index: int = 0,
) -> Task:
    """What is predicted, and by what.

    Args:
      all_ratings: from `data.ratings.load`.
      split: "random" or "time", see `data.ratings.split`.
      split_index: which of the random splits.
      model: an expression: `factorisation(rank=32)`, `two_tower(widths=(64,))`.

    Raises:
        Refusal: an unknown model or argument, or a value that it cannot have; what
            `data.ratings.split` refuses.
    """
    from gradjax import models
    from gradjax.models import recommender

    parts = ratings.split(all_ratings, split, split_index)
    num_users, num_items = len(all_ratings.users), len(all_ratings.items)
    catalogue = recommender.Catalogue(
        _is_seen(all_ratings.user[parts.train], num_users),
        _is_seen(all_ratings.item[parts.train], num_items),
        all_ratings.genres,
    )
    registry: Any = models.RECOMMENDERS
    made: Any = network(model, registry, catalogue)
    mean = float(all_ratings.rating[parts.train].mean(dtype=np.float64))
    return Task(
        all_ratings,
        parts,
        split,
        made,
        mean,
        functools.partial(recommender.predict, made, mean),
        functools.partial(recommender.scores, made, mean, num_items=num_items),
    )


def recommendation(
    what: Task, user: str | None = None, list_length: int | None = None
) -> Problem:
    """Ratings from users and items.

    The loss is the mean over the batch of (rating - predicted)^2 + penalty, where
    predicted = mean + b_user + c_item + <p_user, q_item> and the penalty is
    l2 (|p_user|^2 + |q_item|^2) + l2_bias (b_user^2 + c_item^2): only what the batch
    touches is pulled to zero. The metric `squared_error` is the same without penalty:
    its mean over a split is exact, and its root is the RMSE.

    Args:
      what: from `task`.
      user: whose recommendations the report lists, by the data set's own name of it;
        None: the first. One that the data set does not have is a user never seen.
      list_length: items in that list, and the k of recall@k and NDCG@k; None: ten, or
        all that there are.

    Returns:
      A Problem whose report has the test split's RMSE, that of tuned biases alone,
      recall@k and NDCG@k over all items that the user did not rate in the train split
      (relevant: a test rating in the upper quarter of the scale), and the share of test
      ratings of users that training never sees.
    """
    num_items = len(what.ratings.items)
    length = min(LIST_LENGTH, num_items) if list_length is None else list_length
    arguments.whole("list_length", length, 1, num_items)

    def loss(
        params: Params, batch: Batch, _key: Key
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        errors = _squared_errors(what, params, batch)
        aux = {"squared_error": errors.mean()}
        return (errors + what.model.penalty(params, batch)).mean(), aux

    def metrics(params: Params, batch: Batch, _key: Key) -> MetricSums:
        errors = _squared_errors(what, params, batch)
        return {"squared_error": (errors.sum(), jnp.float32(errors.shape[0]))}

    return Problem(
        init=what.model.init,
        loss=loss,
        metrics=metrics,
        data=Splits(*(_source(what.ratings, part) for part in what.parts)),
        target=Target(
            "squared_error", _TARGETS.get((what.ratings.name, what.split)), "min"
        ),
        report=lambda params, _data: report(what, params, user, length),
        about=about(what),
    )


def load(
    dataset: str = "movielens/latest-small-ratings",
    model: str = "factorisation",
    split: str = "random",
    split_index: int = 0,
    user: str | None = None,
    list_length: int | None = None,
    data_dir: str | None = None,
) -> Problem:
    """Predict ratings, by default MovieLens by biased matrix factorisation.

    Args:
      dataset: a TFDS name, or a CSV file of ratings.
      model: see `task`.
      split: see `task`.
      split_index: see `task`.
      user: see `recommendation`.
      list_length: see `recommendation`.
      data_dir: of TFDS; None: as `data.default_data_dir` says.

    Raises:
      Refusal: ratings that are missing or damaged, or what `task` refuses.
    """
    what = task(ratings.load(dataset, data_dir), model, split, split_index)
    return recommendation(what, user, list_length)


def report(what: Task, params: Params, user: str | None, list_length: int) -> Report:
    """What trained parameters come to: see `recommendation`."""
    source, parts = what.ratings, what.parts
    score = jax.jit(what.scores)
    scores = functools.partial(score, params)
    known = _pairs(source, parts.train)
    liked = parts.test[source.rating[parts.test] >= liked_from(what)]
    found = ranking.rank(
        scores, _pairs(source, liked), known, len(source.items), list_length
    )
    baseline = tuned_baseline(what)
    new = ratings.is_new(source.user, parts.train, parts.test)
    figures = {
        "rmse": rmse(what, params, parts.test),
        "bias_baseline_rmse": bias_baseline.rmse(
            baseline.biases, _rows(source, parts.test)
        ),
        f"recall@{list_length}": found.recall,
        f"ndcg@{list_length}": found.ndcg,
        "share_of_new_users": float(new.mean()),
    }
    heading, lines = recommended(what, params, user, list_length)
    return Report(figures, {heading: lines})


def rmse(what: Task, params: Params, rows: np.ndarray) -> float:
    """The root of the mean squared error over ratings i64[...], in float64."""
    errors = predictions(what, params, rows) - what.ratings.rating[rows]
    return float(np.sqrt(np.mean(errors**2)))


def predictions(what: Task, params: Params, rows: np.ndarray) -> np.ndarray:
    """f64[rows]: what the model says of these ratings."""
    predict = jax.jit(what.predict)
    parts = np.split(rows, range(_CHUNK, len(rows), _CHUNK))
    found = [predict(params, batch_of(what.ratings, part)) for part in parts]
    return np.concatenate([np.asarray(one, np.float64) for one in found])


def tuned_baseline(what: Task) -> bias_baseline.Tuned:
    """Biases alone, regularised as the validation split likes best."""
    source = what.ratings
    train, validation = (_rows(source, part) for part in what.parts[:2])
    sizes = len(source.users), len(source.items)
    return bias_baseline.tuned(train, validation, *sizes)


def liked_from(what: Task) -> float:
    """The rating from which on an item is liked: three quarters up the scale.

    The scale is that of the train split's ratings; 0.5 to 5 stars give 4 and more.
    """
    train = what.ratings.rating[what.parts.train]
    low, high = float(train.min()), float(train.max())
    return low + 0.75 * (high - low)


def recommended(
    what: Task, params: Params, user: str | None, list_length: int
) -> tuple[str, list[str]]:
    """A heading, and one line an item: its title and the rating expected of the user.

    What the user rated in the train split is left out, so a list may be shorter. A user
    that the data set does not have, or whom training never sees, has a zero embedding
    and a zero bias: by factorisation the mean user.
    """
    source = what.ratings
    name = str(source.users[0]) if user is None else user
    found = np.flatnonzero(source.users == name)
    place = int(found[0]) if found.size else len(source.users)
    known = _pairs(source, what.parts.train)
    scores = functools.partial(jax.jit(what.scores), params)
    users = np.array([place], np.int32)
    rated = known.item[known.user == place]
    (items,) = ranking.best(scores, users, known, list_length)
    items = items[~np.isin(items, rated)]
    expected = np.asarray(scores(users))[0, items]
    num_rated = len(rated)
    said = (
        f"who rated {num_rated} in the train split"
        if num_rated
        else "who has no rating in the train split"
    )
    lines = [
        f"{rating:.2f}  {source.titles[item]}"
        for rating, item in zip(expected, items, strict=True)
    ]
    return f"recommended to user {name}, {said}", lines


def batch_of(source: Ratings, rows: np.ndarray) -> Batch:
    """The columns that a model and its loss read: leaves [rows]."""
    return {
        "user": source.user[rows],
        "item": source.item[rows],
        "rating": source.rating[rows],
    }


def about(what: Task) -> dict[str, Any]:
    """What a record must say of the data."""
    sizes = {name: len(part) for name, part in what.parts._asdict().items()}
    return {
        "name": what.ratings.name,
        "origin": what.ratings.origin,
        "fingerprint": what.ratings.fingerprint,
        "num_examples": sizes,
        "num_users": len(what.ratings.users),
        "num_items": len(what.ratings.items),
    }


def _squared_errors(what: Task, params: Params, batch: Batch) -> jax.Array:
    return jnp.square(batch["rating"] - what.predict(params, batch))


def _source(source: Ratings, part: np.ndarray) -> Source:
    return arrays.source(batch_of(source, part))


def _pairs(source: Ratings, rows: np.ndarray) -> ranking.Pairs:
    return ranking.Pairs(source.user[rows], source.item[rows])


def _rows(source: Ratings, rows: np.ndarray) -> bias_baseline.Rows:
    return bias_baseline.Rows(source.user[rows], source.item[rows], source.rating[rows])


def _is_seen(ids: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(ids, minlength=size) > 0
