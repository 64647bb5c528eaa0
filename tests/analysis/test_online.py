"""Learning on: every prediction is made before its answer is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.analysis import online
from gradjax.data.ratings import Ratings
from gradjax.problems import recommendation

RATE = 0.05


def drawn(num_users=20, num_items=25, num_ratings=400):
    """Ratings of rank 1: a user's taste is learned from a few of them."""
    rng = np.random.default_rng(0)
    places = rng.permutation(num_users * num_items)[:num_ratings]
    user, item = (places // num_items).astype(np.int32), places % num_items
    p, q = rng.normal(size=num_users), rng.normal(size=num_items)
    names = np.arange(num_items).astype(str)
    return Ratings(
        "drawn",
        user,
        item.astype(np.int32),
        (3.0 + p[user] * q[item]).astype(np.float32),
        np.arange(num_ratings, dtype=np.float64),
        np.arange(num_users).astype(str),
        names,
        names,
        np.zeros((num_items, 0), bool),
        "",
        "drawn",
    )


@functools.cache
def setting(optimizer="sgd(0.05)"):
    """A trained model, the program that learns on, and the events after the split."""
    ratings = drawn()
    task = recommendation.task(ratings, "factorisation(rank=4)", "time")
    problem = recommendation.recommendation(task)
    program = gradjax.program(problem, "adam(0.03)", num_steps=100, batch_size=32)
    result = gradjax.run(program)
    learns = gradjax.program(problem, optimizer, num_steps=1, batch_size=1)
    numbers = {name: jnp.float32(v) for name, v in learns.hparams.items()}
    fresh = learns.init(numbers, jnp.uint32(0))
    state = fresh._replace(params=jax.tree.map(jnp.asarray, result.params))
    rows = np.concatenate([task.parts.validation, task.parts.test])
    events = recommendation.batch_of(task.ratings, rows)
    return task, problem, learns, numbers, state, events


def replayed(events, chunk=1, repeats=1, optimizer="sgd(0.05)"):
    task, _, learns, numbers, state, _ = setting(optimizer)
    run = online.make_replay(learns, task.predict, chunk, repeats)
    after, guesses = jax.jit(run)(state, numbers, jnp.uint32(0), events)
    return after, np.asarray(guesses)


@pytest.mark.parametrize(
    ("chunk", "repeats"),
    [
        (1, 1),
        (9, 2),
        (1_000, 1),
    ],
)
@pytest.mark.slow
def test_it_is_the_loop_one_would_write(chunk, repeats):
    task, problem, _, _, state, events = setting()
    after, guesses = replayed(events, chunk, repeats)
    params, said = state.params, []
    predict = jax.jit(task.predict)
    grad = jax.jit(jax.grad(lambda *args: problem.loss(*args, None)[0]))
    for start in range(0, len(events["rating"]), chunk):
        batch = {name: leaf[start : start + chunk] for name, leaf in events.items()}
        said.append(predict(params, batch))
        for _ in range(repeats):
            moves = grad(params, batch)
            params = jax.tree.map(lambda x, g: x - RATE * g, params, moves)
    assert guesses.shape == events["rating"].shape
    np.testing.assert_allclose(guesses, np.concatenate(said), rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(
        jax.tree.leaves(after.params), jax.tree.leaves(params), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.slow
def test_no_prediction_knows_its_own_answer_or_a_later_one(chunk):
    *_, events = setting()
    _, before = replayed(events, chunk)
    place = 42
    changed = events["rating"].copy()
    changed[place:] = 6.0 - changed[place:]
    _, after = replayed({**events, "rating": changed}, chunk)
    first = place // chunk * chunk + chunk  # the first that may have learned from it
    np.testing.assert_array_equal(before[:first], after[:first])
    assert (before[first:] != after[first:]).any()


@pytest.mark.slow
def test_a_user_and_an_item_never_seen_start_at_the_mean_and_learn():
    task, *_ = setting()
    params = setting()[4].params
    zero = {
        name: {leaf: values.at[0].set(0.0) for leaf, values in params[name].items()}
        for name in ("user", "item")
    }
    _, _, learns, numbers, state, _ = setting()
    many = {
        "user": np.zeros(30, np.int32),
        "item": np.zeros(30, np.int32),
        "rating": np.full(30, 5.0, np.float32),
    }
    run = online.make_replay(learns, task.predict, 1, 1)
    _, guesses = jax.jit(run)(state._replace(params=zero), numbers, jnp.uint32(0), many)
    assert guesses[0] == pytest.approx(task.mean)
    assert abs(guesses[-1] - 5.0) < 0.3 * abs(guesses[0] - 5.0)
    assert (np.diff(guesses) > 0).all()


@pytest.mark.slow
def test_it_maps_over_trials():
    task, _, learns, numbers, state, events = setting()
    (path,) = learns.plan.optimizer.rates
    rates = jnp.array([0.0, RATE])
    events = jax.tree.map(jnp.asarray, events)

    def run(rate):
        replay = online.make_replay(learns, task.predict, 1, 1)
        return replay(state, {**numbers, path: rate}, jnp.uint32(0), events)[1]

    still, moving = jax.jit(jax.vmap(run))(rates)
    np.testing.assert_allclose(still, task.predict(state.params, events), rtol=1e-5)
    np.testing.assert_allclose(moving, replayed(events)[1], rtol=1e-4, atol=1e-4)


def test_figures_are_roots_of_means():
    ours, frozen = np.array([1.0, 4.0, 9.0, 2.0]), np.array([4.0, 4.0, 4.0, 1.0])
    found = online.figures(ours, frozen, {"test": slice(1, None)})
    assert found == {
        "test_online_rmse": pytest.approx(np.sqrt(5.0)),
        "test_frozen_rmse": pytest.approx(np.sqrt(3.0)),
    }
    trace = online.trace(ours, frozen)
    assert trace["online_rmse"].steps.tolist() == [1, 2, 3, 4]
    expected = np.sqrt([1.0, 2.5, 14 / 3, 4.0])
    np.testing.assert_allclose(trace["online_rmse"].values, expected)
