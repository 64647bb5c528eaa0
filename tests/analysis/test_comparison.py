import numpy as np
import pytest

from gradjax.analysis.comparison import compare
from gradjax.errors import Refusal
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

ACCURACY = Metric("test_accuracy", "max", 360)
EMPTY = Series(np.empty(0), np.empty(0))


def _outcomes(optimizer, values, role="fresh", setting=None):
    return [
        Outcome("digits", optimizer, role, seed, setting or {}, value, EMPTY)
        for seed, value in enumerate(values)
    ]


def test_rows_are_ordered_by_their_median_and_compared_with_the_baseline():
    random = np.random.default_rng(0)
    common = random.normal(0.95, 0.005, 8)
    outcomes = [
        *_outcomes("sgd", common),
        *_outcomes("adam", common + 0.01 + random.normal(0, 0.001, 8)),
        *_outcomes("mine", common + random.normal(0, 0.001, 8)),
    ]
    table = compare(outcomes, ACCURACY, "sgd")
    assert table.rows[0].optimizer == "adam"
    words = {row.optimizer: row.verdict and row.verdict.word for row in table.rows}
    assert words == {"adam": "better", "mine": "cannot be told apart", "sgd": None}
    assert table.rows[0].interval is not None
    assert table.rows[0].interval.estimate == pytest.approx(
        common.mean() + 0.01, abs=1e-3
    )


def test_a_diverged_seed_leaves_no_mean_and_ranks_by_the_median():
    outcomes = [
        *_outcomes("adam", [0.9] * 6),
        *_outcomes("wild", [0.99, 0.99, np.nan, np.nan, np.nan, np.nan]),
    ]
    table = compare(outcomes, ACCURACY, "adam")
    assert [row.optimizer for row in table.rows] == ["adam", "wild"]
    wild = table.rows[1]
    assert wild.interval is None
    assert wild.num_diverged == 4
    assert wild.verdict is not None
    assert wild.verdict.word == "diverges"
    assert "4 of 6 seeds diverged, so there is no mean." in wild.doubts


def test_doubts_name_few_seeds_the_resolution_and_the_edge():
    tried = _outcomes("adam", [0.8, 0.9], "search", {"learning_rate": 0.1})
    tried[0] = tried[0]._replace(setting={"learning_rate": 0.01})
    fresh = _outcomes("adam", [0.9] * 3, setting={"learning_rate": 0.1})
    (row,) = compare([*tried, *fresh], ACCURACY).rows
    assert row.doubts == (
        "There are only 3 seeds.",
        "The values differ by less than one of 360 examples (0.0028), so the interval "
        "is too narrow.",
        "The best learning_rate lies at the edge of what was tried.",
    )


def test_one_seed_is_said_in_the_singular():
    (row,) = compare(_outcomes("adam", [0.9]), ACCURACY).rows
    assert row.doubts == ("There is only 1 seed.",)


def test_other_seeds_have_no_verdict():
    other = [one._replace(seed=one.seed + 100) for one in _outcomes("b", [0.8] * 5)]
    table = compare([*_outcomes("a", [0.9] * 5), *other], ACCURACY, "a")
    assert [row.verdict for row in table.rows] == [None, None]


def test_wrong_input_is_refused():
    fresh = _outcomes("a", [0.9] * 5)
    with pytest.raises(Refusal, match="fresh seeds"):
        compare(_outcomes("a", [0.9], "search"), ACCURACY)
    with pytest.raises(Refusal, match="baseline='b'"):
        compare(fresh, ACCURACY, "b")
    with pytest.raises(Refusal, match="same seed"):
        compare([*fresh, fresh[0]], ACCURACY)
    with pytest.raises(Refusal, match="2 settings"):
        compare([*fresh, fresh[0]._replace(seed=9, setting={"b1": 0.5})], ACCURACY)
