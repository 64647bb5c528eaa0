"""The problem of ratings: its loss, its figures, its baseline, its lists."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax.data import ratings
from gradjax.errors import Refusal
from gradjax.problems import bias_baseline, ranking, recommendation
from gradjax.problems.ranking import Pairs

MODELS = ("factorisation(rank=4)", "two_tower(rank=4, width=4, widths=(8,))")


@functools.cache
def drawn(num_users=30, num_items=40, num_ratings=700):
    """Ratings of rank 2 with half-star noise, one of each pair at most."""
    rng = np.random.default_rng(0)
    places = rng.permutation(num_users * num_items)[:num_ratings]
    user, item = (places // num_items).astype(np.int32), places % num_items
    p, q = rng.normal(size=(num_users, 2)), rng.normal(size=(num_items, 2))
    raw = 3.0 + (p[user] * q[item]).sum(axis=1) + 0.3 * rng.normal(size=num_ratings)
    names = np.array([f"item {k}" for k in range(num_items)])
    return ratings.Ratings(
        "drawn",
        user,
        item.astype(np.int32),
        np.clip(raw, 0.5, 5.0).astype(np.float32),
        np.arange(num_ratings, dtype=np.float64),
        np.array([f"u{k}" for k in range(num_users)]),
        names,
        names,
        rng.random((num_items, 3)) < 0.4,
        "",
        "drawn",
    )


@functools.cache
def stated(model=MODELS[0], by="random"):
    loaded = drawn()
    task = recommendation.task(loaded, model, by)
    return task, recommendation.recommendation(task)


def rows(part):
    source = stated()[0].ratings
    return bias_baseline.Rows(source.user[part], source.item[part], source.rating[part])


def trained(problem, num_steps=300):
    program = gradjax.program(problem, "adam(0.03)", num_steps=num_steps, batch_size=64)
    return gradjax.run(program)


@pytest.fixture(scope="module")
def learned():
    """(task, problem, result) of the usual model."""
    task, problem = stated()
    return task, problem, trained(problem)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.slow
def test_the_loss_is_squared_error_and_what_the_batch_touches(model):
    task, problem = stated(model)
    params = jax.jit(problem.init)(jax.random.key(1))
    params["user"]["bias"] = params["user"]["bias"] + 0.3
    batch = recommendation.batch_of(task.ratings, task.parts.train[:16])
    loss, aux = jax.jit(problem.loss)(params, batch, jax.random.key(0))
    score = np.asarray(task.scores(params, jnp.arange(30)), np.float64)
    errors = (batch["rating"] - score[batch["user"], batch["item"]]) ** 2
    expected = errors.mean()
    assert aux["squared_error"] == pytest.approx(expected, rel=1e-5)
    l2, l2_bias = (0.12, 0.01) if "factor" in model else (1.0, 0.01)
    for name in ("user", "item"):
        table, ids = params[name], batch[name]
        vectors, biases = np.asarray(table["vector"]), np.asarray(table["bias"])
        expected += l2 * (vectors[ids] ** 2).sum(axis=1).mean()
        expected += l2_bias * (biases[ids] ** 2).mean()
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_halves_its_loss_in_50_steps_on_one_batch_in_every_lane(model):
    task, problem = stated(model)
    batch = recommendation.batch_of(task.ratings, task.parts.train[:64])
    optimizer = optax.adam(0.03)

    def run(key):
        params = problem.init(key)

        def step(carry, _):
            params, opt_state = carry
            (loss, _), grads = jax.value_and_grad(problem.loss, has_aux=True)(
                params, batch, key
            )
            updates, opt_state = optimizer.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), loss

        return jax.lax.scan(step, (params, optimizer.init(params)), None, 50)[1]

    losses = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 3))
    assert losses.shape == (3, 50)
    assert (losses[:, -1] < losses[:, 0] / 2).all()


@pytest.mark.slow
def test_the_metric_is_exact_over_every_example(learned):
    task, _, result = learned
    for split, part in zip(("train", "validation", "test"), task.parts, strict=True):
        source = task.ratings
        score = np.asarray(task.scores(result.params, jnp.arange(30)), np.float64)
        errors = score[source.user[part], source.item[part]] - source.rating[part]
        root = np.sqrt((errors**2).mean())
        mean = result.evaluation[split]["squared_error"]
        assert np.sqrt(mean) == pytest.approx(root, rel=1e-5)
        assert recommendation.rmse(task, result.params, part) == pytest.approx(root)


@pytest.mark.slow
def test_it_learns_what_biases_cannot():
    task, problem = stated("factorisation(rank=2, l2=0.02)")
    params = trained(problem, 1_500).params
    report = problem.report(params, problem.data)
    assert report.figures["rmse"] < report.figures["bias_baseline_rmse"] - 0.2
    (lines,) = report.texts.values()
    assert len(lines) == recommendation.LIST_LENGTH
    known = set(
        task.ratings.item[task.parts.train][task.ratings.user[task.parts.train] == 0]
    )
    listed = [int(line.split("item ")[1]) for line in lines]
    assert not known & set(listed)
    expected = np.asarray(task.scores(params, jnp.array([0])))[0]
    others = set(range(40)) - known - set(listed)
    assert min(expected[listed]) >= max(expected[list(others)])


@pytest.mark.slow
def test_the_report_is_for_the_user_asked_or_the_mean_user(learned):
    task, _, result = learned
    params = result.params
    for user, said in (
        ("u7", "user u7, who rated"),
        ("nobody", "user nobody, who is not in the data set"),
    ):
        heading, lines = recommendation.recommend(task, params, user, 3)
        assert said in heading and len(lines) == 3
    bias = np.asarray(params["item"]["bias"]) + task.mean
    top = np.sort(bias)[::-1][:3]
    np.testing.assert_allclose(
        [float(line.split()[0]) for line in lines], top, atol=6e-3
    )


@pytest.mark.slow
def test_what_was_rated_is_not_recommended_however_long_the_list(learned):
    task, _, result = learned
    heading, lines = recommendation.recommend(
        task, result.params, "u0", len(task.ratings.items)
    )
    num_rated = int((task.ratings.user[task.parts.train] == 0).sum())
    assert f"who rated {num_rated} in" in heading and num_rated
    assert len(lines) == len(task.ratings.items) - num_rated


def test_the_target_is_of_the_random_split():
    loaded = drawn()._replace(name="movielens/latest-small-ratings")
    for split, value in (("random", 0.855**2), ("time", None)):
        task = recommendation.task(loaded, MODELS[0], split)
        assert recommendation.recommendation(task).target.value == value


def test_a_rating_of_the_upper_quarter_is_liked():
    task, _ = stated()
    train = task.ratings.rating[task.parts.train]
    expected = train.min() + 0.75 * (train.max() - train.min())
    assert recommendation.liked_from(task) == pytest.approx(expected)


REFUSED = {
    "factorization": "'factorisation'",
    "factorisation(ranks=3)": "'rank'",
    "factorisation(rank=0)": "from 1 to 4096",
    "factorisation(l2=-1.0)": "from 0 to",
    "factorisation(8)": "arguments go by name",
    "factorisation(l2=nan)": "expected a number",
    "two_tower(widths=(8, 0))": "from 1 to 8192",
    "two_tower(widths='a')": "expected at most 32 numbers",
}


@pytest.mark.parametrize("model", REFUSED)
def test_refuses_a_model_that_is_none(model):
    loaded = drawn()
    with pytest.raises(Refusal, match=REFUSED[model]):
        recommendation.task(loaded, model)


def test_the_baseline_is_the_ridge_solution():
    task, _ = stated()
    train, strengths = rows(task.parts.train), (3.0, 2.0)
    found = bias_baseline.fit(train, 30, 40, *strengths)
    num = len(train.rating)
    design = np.zeros((num, 70))
    design[np.arange(num), train.user] = 1.0
    design[np.arange(num), 30 + train.item] = 1.0
    ridge = design.T @ design + np.diag(np.repeat(strengths, (30, 40)))
    rest = train.rating.astype(np.float64) - train.rating.mean(dtype=np.float64)
    exact = np.linalg.solve(ridge, design.T @ rest)
    np.testing.assert_allclose(np.r_[found.user, found.item], exact, atol=1e-5)


def test_the_baseline_is_tuned_on_validation_alone():
    task, _ = stated()
    train, validation = (rows(part) for part in task.parts[:2])
    found = bias_baseline.tune(train, validation, 30, 40, strengths=(0.5, 5.0, 50.0))
    scores = {
        (a, b): bias_baseline.rmse(bias_baseline.fit(train, 30, 40, a, b), validation)
        for a in (0.5, 5.0, 50.0)
        for b in (0.5, 5.0, 50.0)
    }
    best = min(scores, key=scores.get)
    assert (found.user_strength, found.item_strength) == best
    assert found.validation_rmse == scores[best]


def slow_ranking(table, relevant, excluded, k):
    """Recall and NDCG, user by user and item by item."""
    recalls, ndcgs = [], []
    for user in range(len(table)):
        banned = {i for u, i in excluded if u == user}
        wanted = {i for u, i in relevant if u == user} - banned
        if not wanted:
            continue
        free = [i for i in range(table.shape[1]) if i not in banned]
        top = sorted(free, key=lambda item, user=user: (-table[user, item], item))[:k]
        dcg = sum(1 / np.log2(place + 2) for place, i in enumerate(top) if i in wanted)
        best = sum(1 / np.log2(place + 2) for place in range(min(k, len(wanted))))
        recalls.append(len(wanted & set(top)) / len(wanted))
        ndcgs.append(dcg / best)
    return np.mean(recalls), np.mean(ndcgs), len(recalls)


@pytest.mark.parametrize(("num_users", "k"), [(5, 3), (300, 10), (40, 60)])
def test_the_ranking_is_the_slow_one(num_users, k):
    rng, num_items = np.random.default_rng(k), 60
    table = rng.integers(0, 20, (num_users, num_items)).astype(np.float32)  # ties
    pairs = [
        list(zip(*np.nonzero(rng.random(table.shape) < share), strict=True))
        for share in (0.05, 0.2)
    ]
    relevant, excluded = (Pairs(*np.array(one, np.int32).T) for one in pairs)
    found = ranking.rank(lambda users: table[users], relevant, excluded, num_items, k)
    recall, ndcg, count = slow_ranking(table, *pairs, k)
    assert found.num_users == count
    assert found.recall == pytest.approx(recall)
    assert found.ndcg == pytest.approx(ndcg)


def test_a_ranking_without_anything_relevant_has_no_figure():
    nothing = Pairs(np.zeros(0, np.int32), np.zeros(0, np.int32))
    found = ranking.rank(
        lambda users: np.zeros((len(users), 4)), nothing, nothing, 4, 2
    )
    assert found.num_users == 0 and np.isnan([found.recall, found.ndcg]).all()


@pytest.mark.slow
def test_movielens_is_what_its_authors_say(data_dir):
    loaded = ratings.load("movielens/latest-small-ratings", data_dir)
    sizes = (len(loaded.rating), len(loaded.users), len(loaded.items))
    assert sizes == (100_836, 610, 9_724)
    assert set(np.unique(loaded.rating)) == set(np.arange(0.5, 5.5, 0.5))
    title = loaded.titles[loaded.items == "1"]
    assert title.tolist() == ["Toy Story (1995)"]
    parts = ratings.split(loaded, "time")
    new = ratings.is_new(loaded.user, parts.train, parts.test)
    assert new.mean() == pytest.approx(0.9078, abs=1e-4)
    seen = set(loaded.user[parts.train].tolist())
    slow = [user not in seen for user in loaded.user[parts.test].tolist()]
    assert new.tolist() == slow


def test_ratings_are_described():
    task, problem = stated()
    train = problem.data.train
    (line,) = problem.describe(train.take(train.arrays, jnp.asarray([3], jnp.uint32)))
    row = task.parts.train[3]
    user, item = drawn().user[row], drawn().item[row]
    assert line == f"user u{user}: item {item} ({drawn().rating[row]:g})"
