"""Prediction of ratings from vectors of users and items, by squared error."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradjax.data import arrays, ratings
from gradjax.data.ratings import Ratings
from gradjax.problems import arguments, bias_baseline, described, ranking
from gradjax.problems.rating_task import CATALOGUE, Task, catalogue, recommended
from gradjax.problems.rating_task import task as task
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

LIST_LENGTH = 10  # number of recommended items, and the k of recall@k
_CHUNK = 65_536  # ratings predicted in one call
# Target mean squared error (the square of an RMSE) by data set and split.
_TARGETS = {("movielens/latest-small-ratings", "random"): 0.855**2}


def recommendation(
    what: Task, user: str | None = None, list_length: int | None = None
) -> Problem:
    """Makes the problem of predicting ratings from users and items.

    The loss is the mean over the batch of (rating - predicted)^2 + penalty, where
    predicted = mean + b_user + c_item + <p_user, q_item> and the penalty is
    l2 (|p_user|^2 + |q_item|^2) + l2_bias (b_user^2 + c_item^2). The penalty applies
    only to the users and items of the batch. The metric `squared_error` has no penalty:
    its mean over a split is exact, and the root of that is the RMSE.

    Args:
      what: from `task`.
      user: the user whose recommendations the report lists, by name in the data set;
        None: the first one. A name that the data set does not have is a new user.
      list_length: length of that list, and k of recall@k and NDCG@k; None: 10, or all.

    Returns:
      A Problem. Its report has the RMSE of the test split, the RMSE of tuned biases
      alone, recall@k and NDCG@k over all items that the user did not rate in the train
      split (an item is relevant if its test rating is in the upper quarter of the
      scale), and the share of test ratings of users without training ratings.

    Raises:
      Refusal: list_length is out of range.
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
        describe=described.of_ratings(what.ratings),
    )


def load(
    dataset: str = "movielens/latest-small-ratings",
    model: str = "factorisation",
    *,
    split: str = "random",
    split_index: int = 0,
    user: str | None = None,
    list_length: int | None = None,
    precision: str = "float32",
    data_dir: str | None = None,
) -> Problem:
    """Predict ratings, by default of MovieLens with biased matrix factorisation.

    Args:
      dataset: a TFDS name, or a file of ratings: CSV, TSV or JSON lines.
      model: see `task`.
      split: see `task`.
      split_index: see `task`.
      user: see `recommendation`.
      list_length: see `recommendation`.
      precision: see `task`.
      data_dir: TFDS's folder; None: that of `data.default_data_dir`.

    Raises:
      Refusal: the ratings are missing or damaged, or `task` refuses an argument.
    """
    loaded = ratings.load(dataset, data_dir)
    what = task(loaded, model, split, split_index, precision)
    return recommendation(what, user, list_length)


def report(what: Task, params: Params, user: str | None, list_length: int) -> Report:
    """Reports the results of trained parameters, as `recommendation` describes."""
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
    heading, lines = recommend(what, params, user, list_length)
    return Report(figures, {heading: lines}, {CATALOGUE: catalogue(what)})


def rmse(what: Task, params: Params, rows: np.ndarray) -> float:
    """Computes the RMSE in float64 over the ratings with indices i64[rows]."""
    errors = predictions(what, params, rows) - what.ratings.rating[rows]
    return float(np.sqrt(np.mean(errors**2)))


def predictions(what: Task, params: Params, rows: np.ndarray) -> np.ndarray:
    """Predicts the ratings with indices i64[rows]: f64[rows]."""
    predict = jax.jit(what.predict)
    parts = np.split(rows, range(_CHUNK, len(rows), _CHUNK))
    found = [predict(params, batch_of(what.ratings, part)) for part in parts]
    return np.concatenate([np.asarray(one, np.float64) for one in found])


def tuned_baseline(what: Task) -> bias_baseline.Tuned:
    """Fits biases alone, with regularisation tuned on the validation split."""
    source = what.ratings
    train, validation = (_rows(source, part) for part in what.parts[:2])
    sizes = len(source.users), len(source.items)
    return bias_baseline.tune(train, validation, *sizes)


def liked_from(what: Task) -> float:
    """Returns the smallest rating of a relevant item: low + 3/4 (high - low).

    The bounds are those of the train split's ratings. With 0.5 to 5 stars the ratings 4
    and above are relevant.
    """
    train = what.ratings.rating[what.parts.train]
    low, high = float(train.min()), float(train.max())
    return low + 0.75 * (high - low)


def recommend(
    what: Task, params: Params, user: str | None, list_length: int
) -> tuple[str, list[str]]:
    """Lists the items recommended to a user.

    Items that the user rated in the train split are left out, so the list may be
    shorter than `list_length`. A user who is not in the data set or has no training
    ratings has a zero embedding and a zero bias: with factorisation, the mean user.

    Returns:
      (a heading, one line per item with the predicted rating and the title).
    """
    source = what.ratings
    name = str(source.users[0]) if user is None else user
    num_rated, items, expected = recommended(what, params, name, list_length)
    if not np.any(source.users == name):
        said = "who is not in the data set, as to a new user"
    elif num_rated:
        said = f"who rated {num_rated} in the train split"
    else:
        said = "who has no rating in the train split"
    lines = [
        f"{rating:.2f}  {source.titles[item]}"
        for rating, item in zip(expected, items, strict=True)
    ]
    return f"recommended to user {name}, {said}", lines


def batch_of(source: Ratings, rows: np.ndarray) -> Batch:
    """Returns the columns that a model and its loss read, as leaves [rows]."""
    return {
        "user": source.user[rows],
        "item": source.item[rows],
        "rating": source.rating[rows],
    }


def about(what: Task) -> dict[str, Any]:
    """Describes the data for the record."""
    return {
        "name": what.ratings.name,
        "origin": what.ratings.origin,
        "fingerprint": what.ratings.fingerprint,
        "num_examples": {k: len(v) for k, v in what.parts._asdict().items()},
        "num_users": len(what.ratings.users),
        "num_items": len(what.ratings.items),
    } | ({"understood": what.ratings.understood} if what.ratings.understood else {})


def _squared_errors(what: Task, params: Params, batch: Batch) -> jax.Array:
    return jnp.square(batch["rating"] - what.predict(params, batch))


def _source(source: Ratings, part: np.ndarray) -> Source:
    return arrays.source(batch_of(source, part))


def _pairs(source: Ratings, rows: np.ndarray) -> ranking.Pairs:
    return ranking.Pairs(source.user[rows], source.item[rows])


def _rows(source: Ratings, rows: np.ndarray) -> bias_baseline.Rows:
    return bias_baseline.Rows(source.user[rows], source.item[rows], source.rating[rows])
