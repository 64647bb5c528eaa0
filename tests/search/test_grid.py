import pytest

from gradjax.errors import Refusal
from gradjax.search.grid import grid, values
from gradjax.types import Dimension, Space


def all_points(space, count=1_000):
    method = grid()
    return method.ask(method.init(space, 0), count)[1]


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        (Dimension("x", "log", 1e-4, 1.0, num=5), [1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        (Dimension("x", "log", 1e-4, 1.0, num=2), [1e-4, 1.0]),
        (Dimension("x", "log", 1e-4, 1.0, num=1), [1e-2]),
        (Dimension("x", "linear", -1.0, 1.0, num=5), [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (Dimension("x", "linear", 0.0, 3.0, num=1), [1.5]),
        (Dimension("x", "int", 1, 4), [1, 2, 3, 4]),
        (Dimension("x", "int", 0, 90), list(range(0, 91, 10))),
        (Dimension("x", "int", 0, 5, num=3), [0, 3, 5]),
        (Dimension("x", "int", 2**52, 2**53, num=2), [2**52, 2**53]),
        (Dimension("x", "choice", values=("b", None, 1)), ["b", None, 1]),
    ],
)
def test_the_values_of_one_hyperparameter(dimension, expected):
    found = values(dimension)
    assert [type(value) for value in found] == [type(value) for value in expected]
    assert found == expected  # exactly: decades stay decades
    if dimension.kind != "choice" and len(found) > 1:
        assert (found[0], found[-1]) == (dimension.low, dimension.high)


@pytest.mark.parametrize("kind", ["log", "linear", "int"])
def test_a_range_has_ten_points_by_itself(kind):
    assert len(values(Dimension("x", kind, 1, 100))) == 10
    assert len(values(Dimension("x", kind, 1, 100), num=7)) == 7


@pytest.mark.parametrize("high", range(1, 40))
def test_whole_numbers_are_distinct_and_even(high):
    for num in range(2, high + 2):
        found = values(Dimension("x", "int", 0, high, num=num))
        steps = {
            after - before for before, after in zip(found, found[1:], strict=False)
        }
        assert min(steps) >= 1
        assert max(steps) - min(steps) <= 1


def test_every_combination_is_there_once_and_the_last_varies_fastest():
    axes = (
        Dimension("a", "choice", values=("p", "q")),
        Dimension("b", "int", 1, 3),
        Dimension("c", "linear", 0.0, 1.0, num=2),
    )
    expected = [
        {"a": a, "b": b, "c": c} for a in "pq" for b in (1, 2, 3) for c in (0.0, 1.0)
    ]
    assert all_points(Space(axes)) == expected


def test_past_its_end_a_grid_gives_fewer_points_and_then_none():
    method = grid()
    state = method.init(Space((Dimension("x", "int", 0, 4),)), 0)
    sizes = []
    for _ in range(4):
        state, points = method.ask(state, 3)
        sizes.append(len(points))
    assert sizes == [3, 2, 0, 0]


def test_a_grid_of_nothing_is_one_point():
    assert all_points(Space(())) == [{}]


def test_a_grid_that_is_too_large_is_refused_with_its_count_and_not_built():
    axes = [Dimension(name, "log", 0.1, 1.0, num=1_000) for name in "abc"]
    with pytest.raises(Refusal) as caught:
        grid().init(Space(tuple(axes)), 0)
    expected = "a grid of 1,000 x 1,000 x 1,000 = 1,000,000,000 points; at most 100,000"
    assert str(caught.value).startswith(expected)
    grid().init(Space((Dimension("x", "log", 0.1, 1.0, num=100_000),)), 0)
    with pytest.raises(Refusal, match="= 100,001 points"):
        grid().init(Space((Dimension("x", "log", 0.1, 1.0, num=100_001),)), 0)
