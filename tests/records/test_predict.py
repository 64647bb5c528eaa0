"""What stored networks predict, and what they are asked by mistake: one line each."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from experiments import language, mnist, recommend
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.data import plain_tokens, ratings
from gradjax.errors import Refusal
from gradjax.problems import continuation, inputs, rating_task
from gradjax.records import predicting
from gradjax.types import Options, Sweep


def trained(what, folder, asked=None, **flags):
    options = Options(workdir=str(folder), plot=False)
    train(what, settings_of(what, **flags), asked or Sweep(), options)
    return folder


SHAPE = (8, 8, 1)
MISTAKES = [
    (np.zeros(SHAPE), "found [8, 8, 1]; for one example give a batch of one, x[None]"),
    (np.zeros((2, 8, 8)), "found [2, 8, 8]; give the last axis, x[..., None]"),
    (np.zeros((2, 28, 28, 1)), "found [2, 28, 28, 1]"),
    (np.zeros((2, 64)), "found [2, 64]"),
    (3.0, "found []"),
    ("a text", "found text"),
    (["a text"], "found text"),
    (np.array([["a"]]), "found text"),
    (None, "found a value of type NoneType"),
    ({"image": 1}, "found a value of type dict"),
    (np.full((1, *SHAPE), None), "found values of type object"),
    (np.zeros((1, *SHAPE), complex), "found complex numbers"),
    ([np.zeros(3), np.zeros(4)], "found a list of different shapes"),
]


@pytest.mark.parametrize(("given", "said"), MISTAKES)
def test_what_is_no_batch_of_images_is_refused_in_one_line(given, said):
    with pytest.raises(Refusal) as caught:
        inputs.examples("images", given, SHAPE)
    assert str(caught.value) == f"predict takes images [batch, 8, 8, 1]; {said}"


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((0, *SHAPE), np.uint8),
        jnp.zeros((2, *SHAPE), jnp.bfloat16),
        np.zeros((2, *SHAPE), bool),
        [np.zeros(SHAPE), np.zeros(SHAPE)],
    ],
)
def test_every_batch_of_numbers_is_taken(given):
    assert inputs.examples("images", given, SHAPE).shape[1:] == SHAPE


def test_no_images_have_no_probabilities(tmp_path):
    data = {"input_shape": SHAPE, "num_classes": 10, "max_value": 16.0}
    own = {"model": "mlp"}
    config = {"data": data, "settings": {"own": own}}
    predict, _ = predicting.functions(tmp_path, config, own, (None, None))
    assert predict is not None
    found = predict(np.zeros((0, *SHAPE)))
    assert found.shape == (0, 10) and found.dtype == np.float32


@pytest.mark.slow
def test_images_are_checked_in_a_run_and_in_a_sweep_over_models(tmp_path):
    flags = {"dataset": "digits", "model": "logistic", "steps": 2}
    asked = Sweep(
        sweep=("model=[logistic, 'mlp(widths=(3,))']",),
        fresh_seeds=0,
        keep_params="all",
    )
    folder = trained(mnist.EXPERIMENT, tmp_path / "swept", asked, **flags)
    images = np.zeros((2, *SHAPE), np.uint8)
    for trial in (0, 1):
        run = gradjax.load(folder, trial=trial)
        assert run.predict(images).shape == (2, 10), "each trial has its own model"
        assert run.recommend is None
        with pytest.raises(Refusal, match=r"batch, 8, 8, 1\]; found \[8, 8, 1\]"):
            run.predict(images[0])
        with pytest.raises(Refusal, match="found text"):
            run.predict("seven")
    gradient = jax.grad(lambda x: run.predict(x)[0, 0])(jnp.ones((1, *SHAPE)))
    assert gradient.shape == (1, *SHAPE), "predict can be differentiated"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A sweep of two models of a text that repeats three characters."""
    folder = tmp_path_factory.mktemp("language")
    (folder / "abc.txt").write_text("abc" * 300)
    asked = Sweep(
        sweep=("model=['gru(width=12)', 'gru(width=16)']",),
        fresh_seeds=0,
        keep_params="all",
    )
    flags = {"dataset": str(folder / "abc.txt"), "window": 8, "steps": 40}
    return trained(
        language.EXPERIMENT, folder / "swept", asked, learning_rate=0.05, **flags
    )


@pytest.mark.slow
@pytest.mark.parametrize("trial", [None, 0, 1])
def test_a_language_model_continues_texts(spoken, trial):
    run = gradjax.load(spoken, trial=trial)
    cold = {"num_characters": 12, "temperature": 0.01}
    found = run.predict(["ab", "b", "abcabcabcabcab", "?!ab"], **cold)
    assert found == ["cabcabcabcab", "cabcabcabcab", "cabcabcabcab", "cabcabcabcab"]
    first, again, other = (
        run.predict([""], num_characters=50, temperature=9.0, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.slow
def test_what_is_no_list_of_texts_is_not_continued(spoken):
    run = gradjax.load(spoken)
    for given in ("ab", [], None, 3, ["ab", 3]):
        with pytest.raises(Refusal, match="predict takes a list of texts to continue"):
            run.predict(given)
    for options, said in (
        ({"num_characters": 0}, "num_characters=0: expected a whole number from 1"),
        ({"temperature": 0.0}, "temperature=0.0: expected a number from 0.001"),
        ({"seed": -1}, "seed=-1"),
    ):
        with pytest.raises(Refusal, match=said):
            run.predict(["ab"], **options)


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """A sweep over models of ratings: user u0 likes even items, user u1 odd ones."""
    folder = tmp_path_factory.mktemp("ratings")
    rows = [
        f"u{u},i{i},{5 - 4 * ((u + i) % 2)},Film {i}"
        for u in range(8)
        for i in range(12)
        if (u * 5 + i) % 4
    ]
    (folder / "r.csv").write_text("\n".join(["user,item,rating,title", *rows]))
    asked = Sweep(
        sweep=("model=['factorisation(rank=3)', 'two_tower(widths=(4,))']",),
        fresh_seeds=0,
        keep_params="all",
    )
    flags = {"dataset": str(folder / "r.csv"), "steps": 60, "learning_rate": 0.1}
    return trained(recommend.EXPERIMENT, folder / "swept", asked, **flags)


@pytest.mark.slow
@pytest.mark.parametrize("trial", [0, 1])
def test_ratings_are_predicted_and_items_recommended(rated, trial):
    run = gradjax.load(rated, trial=trial)
    loaded = ratings.load(run.config["settings"]["own"]["dataset"])
    task = rating_task.task(loaded)
    pairs = [
        (loaded.users[loaded.user[k]], loaded.items[loaded.item[k]]) for k in range(20)
    ]
    found = run.predict(pairs)
    assert found.shape == (20,) and found.dtype == np.float32
    new = run.predict([("nobody", "i1"), ("u0", "nothing"), ("nobody", "nothing")])
    if trial == 0:  # a network of two towers also has biases
        assert new[2] == pytest.approx(task.mean, rel=1e-6)
    listed = run.recommend("u0", count=4)
    known = {
        loaded.titles[loaded.item[k]]
        for k in task.parts.train
        if loaded.users[loaded.user[k]] == "u0"
    }
    titles = [title for title, _ in listed]
    assert not known & set(titles)
    of = {title: item for item, title in zip(loaded.items, loaded.titles, strict=True)}
    again = run.predict([("u0", of[title]) for title in titles])
    np.testing.assert_allclose(again, [value for _, value in listed], rtol=1e-5)
    assert sorted(again, reverse=True) == again.tolist()
    assert len(run.recommend("u0", 10**6)) == 12 - len(known)
    with pytest.warns(UserWarning, match="user 'nobody' is not in the data set"):
        assert len(run.recommend("nobody", 3)) == 3


@pytest.mark.slow
def test_mistakes_about_ratings_are_refused(rated):
    run = gradjax.load(rated)
    for given in ("u0", ["u0"], [("u0",)], [], None, 3, [3], {"u0": "i1"}, ["ab"]):
        with pytest.raises(Refusal, match="predict takes pairs of a user and an item"):
            run.predict(given)
    with pytest.raises(Refusal, match="count=0: expected a whole number from 1"):
        run.recommend("u0", 0)
    path = rated / rating_task.CATALOGUE
    content = path.read_text()
    path.write_text(content[:50])
    with pytest.raises(Refusal, match=r"catalogue.json: damaged \(JSONDecodeError"):
        gradjax.load(rated).predict([("u0", "i1")])
    path.write_text(content)
    path.rename(rated.parent / "away")
    try:
        with pytest.raises(Refusal, match="catalogue.json: No such file"):
            gradjax.load(rated).predict([("u0", "i1")])
    finally:
        (rated.parent / "away").rename(path)


class Fixed(NamedTuple):
    """A model of texts that always gives the character after the last one."""

    def apply(self, _params, tokens, _key=None):
        after = jnp.where(tokens == 0, 1, tokens % 3 + 1)
        return 50.0 * jax.nn.one_hot(after, 4)


def test_a_text_is_continued_from_its_last_characters():
    predict = continuation.predictor(Fixed(), plain_tokens.of_characters("abc"), 4)
    found = predict({}, ["", "a", "ab", "abcab", "?"], num_characters=5)
    assert found == ["abcab", "bcabc", "cabca", "cabca", "abcab"]
    with pytest.raises(Refusal, match="predict takes a list of texts to continue"):
        predict({}, "abc")


def test_a_catalogue_is_enough_to_predict_ratings():
    rng = np.random.default_rng(0)
    names = np.array([f"n{k}" for k in range(6)])
    user, item = (rng.integers(0, 6, 40).astype(np.int32) for _ in range(2))
    drawn = ratings.Ratings(
        name="drawn",
        user=user,
        item=item,
        rating=rng.normal(size=40).astype(np.float32),
        time=np.arange(40.0),
        users=names,
        items=names,
        titles=names,
        genres=rng.random((6, 2)) > 0.5,
        fingerprint="",
        origin="",
    )
    task = rating_task.task(drawn, "factorisation(rank=2)")
    again = rating_task.from_catalogue(
        rating_task.catalogue(task).decode(), "factorisation(rank=2)"
    )
    assert again.mean == task.mean
    np.testing.assert_array_equal(again.ratings.genres, drawn.genres)
    params = task.model.init(jax.random.key(0))
    batch = {"user": user, "item": item}
    predict = rating_task.predictor(again)
    pairs = list(zip(names[user], names[item], strict=True))
    np.testing.assert_allclose(predict(params, pairs), task.predict(params, batch))
    for which in (task, again):
        listed = rating_task.recommender(which)(params, "n1", 3)
        assert listed == rating_task.recommender(task)(params, "n1", 3)
        rated = {names[k] for k in item[task.parts.train][user[task.parts.train] == 1]}
        assert not rated & {title for title, _ in listed}
    with pytest.warns(UserWarning, match="user 'zz' is not in the data set"):
        assert len(rating_task.recommender(again)(params, "zz", 3)) == 3
    with pytest.raises(Refusal, match="predict takes pairs of a user and an item"):
        predict(params, [("n1", "n2", "n3")])
