"""Models of ratings: vectors and biases, and what they say of who was never seen."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.models import RECOMMENDERS, recommender
from gradjax.models.recommender import Catalogue

SEEN_USERS = np.array([True, True, False, True])
SEEN_ITEMS = np.array([True, False, True, True, True])
GENRES = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]], bool)
CATALOGUE = Catalogue(SEEN_USERS, SEEN_ITEMS, GENRES)
MEAN = 3.5


@pytest.fixture(scope="module", params=sorted(RECOMMENDERS))
def model(request):
    return RECOMMENDERS[request.param](CATALOGUE)


@functools.cache
def start_of(model):
    return jax.jit(model.init)(jax.random.key(0))


def moved(params):
    """Parameters away from the start, the rows never seen left alone."""
    rng = np.random.default_rng(0)
    noise = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), params
    )
    new = jax.tree.map(lambda x, n: x + 0.3 * n, params, noise)
    for name, seen in (("user", SEEN_USERS), ("item", SEEN_ITEMS)):
        new[name] = {
            "vector": jnp.where(seen[:, None], new[name]["vector"], 0.0),
            "bias": jnp.where(seen, new[name]["bias"], 0.0),
        }
    return new


def batch(*pairs):
    users, items = zip(*pairs, strict=True)
    return {"user": np.array(users, np.int32), "item": np.array(items, np.int32)}


def test_who_is_never_seen_starts_at_zero(model):
    params = start_of(model)
    for name, seen in (("user", SEEN_USERS), ("item", SEEN_ITEMS)):
        vectors = np.asarray(params[name]["vector"])
        assert (vectors[seen] != 0).all() and not vectors[~seen].any()
        assert not np.asarray(params[name]["bias"]).any()


def test_a_user_never_seen_or_beyond_the_table_is_the_mean_user(model):
    params = moved(start_of(model))
    zero = {"vector": jnp.zeros_like(params["user"]["vector"])}
    zero["bias"] = jnp.zeros_like(params["user"]["bias"])
    someone = batch((0, 0), (0, 2), (0, 4))
    mean_user = recommender.predict(model, MEAN, {**params, "user": zero}, someone)
    for user in (2, 4, 1_000_000):
        events = {**someone, "user": np.full(3, user, np.int32)}
        said = recommender.predict(model, MEAN, params, events)
        np.testing.assert_allclose(said, mean_user, rtol=1e-6)
    assert (
        np.abs(recommender.predict(model, MEAN, params, someone) - mean_user).min() > 0
    )


def test_of_factorisation_it_is_the_mean_and_the_items_bias():
    model = RECOMMENDERS["factorisation"](CATALOGUE)
    params = moved(start_of(model))
    said = recommender.predict(model, MEAN, params, batch((2, 0), (9, 3), (2, 9)))
    bias = np.asarray(params["item"]["bias"])
    np.testing.assert_allclose(said, [MEAN + bias[0], MEAN + bias[3], MEAN], rtol=1e-6)


def test_the_scores_are_the_predictions_of_every_pair(model):
    params = moved(start_of(model))
    users = np.arange(5, dtype=np.int32)
    pairs = [(user, item) for user in range(5) for item in range(5)]
    one_by_one = recommender.predict(model, MEAN, params, batch(*pairs))
    together = recommender.scores(model, MEAN, params, users, 5)
    np.testing.assert_allclose(together.ravel(), one_by_one, rtol=1e-5)


def test_factorisation_by_hand():
    model = RECOMMENDERS["factorisation"](CATALOGUE, rank=2, l2=0.5, l2_bias=0.25)
    params = model.init(jax.random.key(0))
    params["user"]["vector"] = params["user"]["vector"].at[1].set(jnp.array([1.0, 2.0]))
    params["item"]["vector"] = (
        params["item"]["vector"].at[3].set(jnp.array([3.0, -1.0]))
    )
    params["user"]["bias"] = params["user"]["bias"].at[1].set(0.5)
    params["item"]["bias"] = params["item"]["bias"].at[3].set(-2.0)
    one = batch((1, 3))
    (said,) = recommender.predict(model, 3.0, params, one)
    assert said == pytest.approx(3.0 + 0.5 - 2.0 + 1.0)
    (penalty,) = model.penalty(params, one)
    assert penalty == pytest.approx(0.5 * (5.0 + 10.0) + 0.25 * (0.25 + 4.0))


def test_rows_that_a_batch_does_not_touch_have_no_gradient(model):
    params = moved(start_of(model))
    events = batch((0, 0), (3, 4))

    def loss(params):
        errors = recommender.predict(model, MEAN, params, events)
        return (errors**2 + model.penalty(params, events)).mean()

    grads = jax.jit(jax.grad(loss))(params)
    for name, touched in (("user", [0, 3]), ("item", [0, 4])):
        for leaf in grads[name].values():
            rest = np.delete(np.asarray(leaf), touched, axis=0)
            assert not rest.any() and np.asarray(leaf)[touched].all()


@pytest.mark.slow
def test_the_items_tower_sees_genres():
    model = RECOMMENDERS["two_tower"](CATALOGUE)
    params = moved(start_of(model))
    params["item"]["vector"] = jnp.zeros_like(params["item"]["vector"])
    vectors = np.asarray(model.item(params, jnp.arange(5)).vector)
    np.testing.assert_allclose(vectors[0], vectors[4], rtol=1e-6)  # the same genres
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


@pytest.mark.slow
def test_two_towers_do_without_genres():
    bare = Catalogue(SEEN_USERS, SEEN_ITEMS, np.zeros((5, 0), bool))
    model = RECOMMENDERS["two_tower"](bare, rank=3, width=4, widths=())
    params = jax.eval_shape(model.init, jax.random.key(0))
    vectors = jax.eval_shape(model.user, params, jnp.arange(4)).vector
    assert vectors.shape == (4, 3)
