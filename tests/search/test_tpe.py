import math

import numpy as np
import pytest

from gradjax.errors import Refusal
from gradjax.search.tpe import tpe
from gradjax.search.uniform import uniform
from gradjax.types import Dimension, Space

optuna = pytest.importorskip("optuna")
PLANE = Space(
    (
        Dimension("learning_rate", "log", 1e-5, 1.0),
        Dimension("weight_decay", "linear", 0.0, 1.0),
    )
)


def bowl(point):
    """Least, 0, at a rate of 0.01 and a decay of 0.3."""
    exponent = math.log10(point["learning_rate"])
    return (exponent + 2) ** 2 + 16 * (point["weight_decay"] - 0.3) ** 2


def search(method, seed=0, space=PLANE, counts=(8,) * 6, value=bowl):
    state, told = method.init(space, seed), []
    for count in counts:
        state, points = method.ask(state, count)
        new = [(point, value(point)) for point in points]
        state, told = method.tell(state, new), told + new
    return state, told


def best(method, seed):
    return min(value for _, value in search(method, seed)[1])


def test_it_finds_the_bottom_of_a_bowl_better_than_random_at_the_same_budget():
    modelled = np.asarray([best(tpe(), seed) for seed in range(6)])
    random = np.asarray([best(uniform(), seed) for seed in range(6)])
    assert np.median(modelled) < np.median(random) / 2
    assert modelled.max() < 0.1


def test_the_model_sees_a_choice_and_a_whole_number():
    axes = (
        Dimension("optimizer", "choice", values=("sgd", "adam", "lion")),
        Dimension("depth", "int", 1, 8),
    )

    def value(point):
        return (point["optimizer"] != "adam") + abs(point["depth"] - 6)

    _, told = search(tpe(), 0, Space(axes), (16, 12, 12), value)
    late = [point for point, _ in told[-12:]]
    assert sum(point["optimizer"] == "adam" for point in late) >= 6
    assert np.mean([abs(point["depth"] - 6) for point in late]) < 1.5


def test_one_point_in_four_of_the_rounds_is_from_the_sobol_sequence():
    state, _ = search(tpe(), counts=(16, 8, 8))
    assert (state.num_asked, state.num_drawn) == (32, 16 + 2 + 2)
    state, _ = search(tpe(), counts=(16, *([1] * 8)))
    assert (state.num_asked, state.num_drawn) == (24, 16 + 2)
    state, _ = search(tpe(startup=20, every=2), counts=(16, 8, 8))
    assert (state.num_asked, state.num_drawn) == (32, 16 + 8 + 4)


def test_a_wrong_model_cannot_trap_it():
    def lie(point):  # a deep hole far from the bottom, seen until the model begins
        return (math.log10(point["learning_rate"]) + 5) ** 2

    state, _ = search(tpe(), counts=(32,) * 2, value=lie)
    _, points = tpe().ask(state, 16)
    assert max(point["learning_rate"] for point in points) > 1e-2


def test_a_diverged_trial_is_the_worst():
    def dead_below(point):  # two trials in five of a search that learns nothing
        return math.nan if point["learning_rate"] < 1e-3 else bowl(point)

    num_dead = 0
    for seed in range(4):
        _, told = search(tpe(every=1_000), seed, counts=(32, 16, 16), value=dead_below)
        num_dead += sum(math.isnan(value) for _, value in told[-16:])
    assert num_dead <= 10  # of 64


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_every_value_that_is_not_finite_is_told_alike(value):
    state = tpe().init(PLANE, 0)
    state, points = tpe().ask(state, 12)
    told = [(point, bowl(point)) for point in points[1:]]
    expected = tpe().tell(state, [(points[0], math.nan), *told])
    found = tpe().tell(state, [(points[0], value), *told])
    assert found == expected
    assert tpe().ask(found, 4) == tpe().ask(expected, 4)


def test_while_every_trial_diverges_it_keeps_to_the_sequence():
    state, _ = search(tpe(), counts=(16, 16), value=lambda _: math.nan)
    assert state.num_drawn == 32


def test_telling_in_parts_is_telling_at_once():
    state, points = tpe().ask(tpe().init(PLANE, 0), 12)
    told = [(point, bowl(point)) for point in points]
    parts = tpe().tell(tpe().tell(state, told[:5]), told[5:])
    assert parts == tpe().tell(state, told)


def test_a_round_of_whole_numbers_is_not_one_point_again_and_again():
    space = Space((Dimension("depth", "int", 1, 100),))
    _, told = search(tpe(), 0, space, (16, 16), lambda point: abs(point["depth"] - 50))
    assert len({point["depth"] for point, _ in told[-16:]}) >= 10


def test_ranges_of_any_size_are_searched():
    axes = (
        Dimension("log", "log", 1.2e-38, 3.4e38),
        Dimension("linear", "linear", -3.4e38, 3.4e38),
        Dimension("int", "int", -(2**53), 2**53),
        Dimension("one", "choice", values=(0.9,)),
    )
    _, told = search(tpe(), 0, Space(axes), (12, 8), lambda point: abs(point["int"]))
    for point, _ in told:
        for dimension in axes[:3]:
            assert dimension.low <= point[dimension.name] <= dimension.high


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ({"learning_rate": 0.1}, "the space has"),
        ({"learning_rate": 2.0, "weight_decay": 0.5}, "not within 1e-05 to 1"),
        ({"learning_rate": math.nan, "weight_decay": 0.5}, "not within 1e-05 to 1"),
    ],
)
def test_a_point_that_is_not_of_the_space_is_refused(point, reason):
    with pytest.raises(Refusal, match=reason):
        tpe().tell(tpe().init(PLANE, 0), [(point, 1.0)])


def test_optuna_is_silent_and_as_loud_as_before_afterwards(capfd):
    before = optuna.logging.get_verbosity()
    search(tpe(), counts=(16, 8))
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
