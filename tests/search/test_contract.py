import json
import math
import pickle
import sys

import pytest

from gradjax import search
from gradjax.errors import Refusal
from gradjax.search import SEARCHES
from gradjax.search.unit_cube import MAX_POINTS
from gradjax.types import Dimension, Search, Space

NEEDS_OPTUNA = {"tpe"}
SEQUENCES = ("halton", "random", "sobol")
SPACE = Space(
    (
        Dimension("learning_rate", "log", 1e-4, 1.0, num=3),
        Dimension("optimizer.b2", "linear", -0.5, 0.999, num=2),
        Dimension("batch_size", "int", 3, 6),
        Dimension("optimizer", "choice", values=("sgd", "adam(b2=0.95)")),
        Dimension("mixed", "choice", values=(True, 1, "1", None, 0.5)),
        Dimension("fixed", "choice", values=(0.9,)),
    )
)
SMALL = Space(SPACE.dimensions[:2])


@pytest.fixture(params=sorted(SEARCHES))
def method(request):
    if request.param in NEEDS_OPTUNA:
        pytest.importorskip("optuna")
    return SEARCHES[request.param]()


def worth(point):
    return math.log10(point["learning_rate"]) ** 2 + point["optimizer.b2"] ** 2


def run_rounds(method, seed=0, space=SMALL, counts=(16, 5, 5), value=worth):
    """The points of each round, each told before the next one is asked."""
    state, rounds = method.init(space, seed), []
    for count in counts:
        state, points = method.ask(state, count)
        state = method.tell(state, [(point, value(point)) for point in points])
        rounds.append(points)
    return state, rounds


def check_inside(point, space):
    assert list(point) == [dimension.name for dimension in space.dimensions]
    for dimension in space.dimensions:
        value = point[dimension.name]
        if dimension.kind == "choice":
            assert any(value is other for other in dimension.values)
        else:
            assert type(value) is (int if dimension.kind == "int" else float)
            assert dimension.low <= value <= dimension.high


def test_a_search_gives_points_of_the_space_in_plain_types(method):
    assert isinstance(method, Search)
    _, rounds = run_rounds(method, space=SPACE, counts=(40, 12))
    assert [len(points) for points in rounds] == [40, 12]
    for point in (point for points in rounds for point in points):
        check_inside(point, SPACE)


def test_same_state_and_arguments_give_the_same(method):
    state, _ = run_rounds(method)
    assert repr(method.ask(state, 3)) == repr(method.ask(state, 3))
    assert run_rounds(method)[1] == run_rounds(method)[1]


def test_asking_changes_nothing_in_the_state_it_was_given(method):
    state = method.init(SMALL, 0)
    before = repr(state)
    after, points = method.ask(state, 3)
    method.tell(after, [(point, 1.0) for point in points])
    assert repr(state) == before != repr(after)


def test_a_state_can_be_pickled_and_written_as_json(method):
    state, _ = run_rounds(method, value=lambda _: math.nan)
    again = pickle.loads(pickle.dumps(state))
    assert again == state
    assert repr(method.ask(again, 2)) == repr(method.ask(state, 2))
    assert json.loads(json.dumps(state, allow_nan=False))


def test_no_points_are_none(method):
    state = method.init(SMALL, 0)
    assert method.ask(state, 0) == (state, [])


@pytest.mark.parametrize("count", [-1, 1.5, MAX_POINTS + 1])
def test_an_impossible_count_is_refused(method, count):
    shown = f"{count:,}" if count == MAX_POINTS + 1 else str(count)
    with pytest.raises(Refusal, match=f"^{shown} points"):
        method.ask(method.init(SMALL, 0), count)


@pytest.mark.parametrize("name", [*SEQUENCES, "grid"])
@pytest.mark.parametrize("parts", [(1, 1, 22), (0, 7, 17), (16, 8)])
def test_asking_in_parts_is_asking_at_once(name, parts):
    method = SEARCHES[name]()
    _, (whole,) = run_rounds(method, space=SPACE, counts=(sum(parts),))
    _, rounds = run_rounds(method, space=SPACE, counts=parts)
    assert [point for points in rounds for point in points] == whole


@pytest.mark.parametrize("name", [*SEQUENCES, "grid"])
def test_what_is_told_changes_nothing(name):
    method = SEARCHES[name]()
    state, points = method.ask(method.init(SMALL, 0), 4)
    assert method.tell(state, [(point, 1.0) for point in points]) is state


@pytest.mark.parametrize("name", [*SEQUENCES, "tpe"])
def test_the_seed_matters(name):
    if name in NEEDS_OPTUNA:
        pytest.importorskip("optuna")
    method = SEARCHES[name]()
    firsts = {run_rounds(method, seed)[1][0][0]["learning_rate"] for seed in range(5)}
    assert len(firsts) == 5


@pytest.mark.parametrize("name", [*SEQUENCES, "tpe"])
def test_an_empty_space_is_refused(name):
    if name in NEEDS_OPTUNA:
        pytest.importorskip("optuna")
    with pytest.raises(Refusal, match="nothing to search"):
        SEARCHES[name]().init(Space(()), 0)


def test_a_search_is_made_from_an_expression():
    _, (points,) = run_rounds(search.make("grid(num=2)"), counts=(16,))
    assert len(points) == 6
    space = Space((Dimension("x", "linear", 0.0, 1.0),))
    state = search.make("grid(num=2)").init(space, 0)
    assert search.make("grid(num=2)").ask(state, 9)[1] == [{"x": 0.0}, {"x": 1.0}]
    path = search.make("gradjax.search.uniform:uniform")
    assert run_rounds(path)[1] == run_rounds(SEARCHES["random"]())[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("haltom", "unknown search 'haltom'; did you mean 'halton'"),
        ("grid(nun=2)", "unexpected keyword argument 'nun'"),
        ("grid(num=0)", "at least 1"),
        ("grid(num=True)", "at least 1"),
        ("grid(num=2.0)", "at least 1"),
        ("tpe(startup=0)", "above 0"),
        ("tpe(every=-1)", "above 0"),
        ("halton(3)", "too many positional"),
        ("math:floor", "missing a required argument"),
        ("math:pi", "not a callable"),
        ("builtins:list", "gave list, not a Search"),
        ("no_such_module:x", "cannot import"),
    ],
)
def test_an_impossible_expression_is_refused(text, reason):
    with pytest.raises(Refusal, match=reason) as caught:
        search.make(text)
    assert "\n" not in str(caught.value)


def test_without_optuna_it_is_refused_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(Refusal, match=r"pip install 'gradjax\[tpe\]'"):
        SEARCHES["tpe"]().init(SMALL, 0)
