"""Every pair of optimizers as one family of tests."""

import numpy as np
import pytest
from scipy import stats

from gradjax.analysis.comparison import compare
from gradjax.analysis.family import pairs_of, size
from gradjax.errors import Refusal
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

LOSS = Metric("test_loss", "min")
EMPTY = Series(np.empty(0), np.empty(0))
NAMES = ("a", "b", "c", "d")


def outcomes(num_seeds=6, names=NAMES, first_seed=0):
    random = np.random.default_rng(0)
    for k, name in enumerate(names):
        for role in ("search", "fresh"):
            for seed, value in enumerate(random.normal(0.03 * k, 0.02, num_seeds)):
                setting = {"rate": seed} if role == "search" else {}
                at = first_seed + seed
                yield Outcome("p", name, role, at, setting, 1 + value, EMPTY)


def test_every_pair_is_one_family_and_the_rows_keep_theirs_against_the_baseline():
    table = compare(list(outcomes()), LOSS, "b", pairs="all")
    assert len(table.pairs) == 6 == size(4, "all")
    values = {row.optimizer: row.values for row in table.rows}
    alone = [
        stats.ttest_rel(values[x.first], values[x.second]).pvalue for x in table.pairs
    ]
    corrected = np.array([one.verdict.p_value for one in table.pairs])
    assert corrected.min() == pytest.approx(6 * min(alone))
    assert (corrected >= alone).all()
    for row in table.rows:
        own = [x for x in table.pairs if (x.first, x.second) == (row.optimizer, "b")]
        assert [row.verdict] == ([one.verdict for one in own] or [None])
        assert [row.tuned] == ([one.tuned for one in own] or [None])
    against = compare(list(outcomes()), LOSS, "b")
    assert against.pairs == () and size(4, "baseline") == 3
    smaller = {
        row.optimizer: row.verdict.p_value for row in against.rows if row.verdict
    }
    for row in table.rows:
        if row.verdict:
            assert row.verdict.p_value >= smaller[row.optimizer]


def test_pairs_need_no_baseline_and_leave_other_seeds_out():
    found = [*outcomes(names="abc"), *outcomes(names="d", first_seed=100)]
    table = compare(found, LOSS, pairs="all")
    assert all(row.verdict is None for row in table.rows)
    assert {x.first + x.second for x in table.pairs if x.verdict is None} == {
        x.first + x.second for x in table.pairs if "d" in x.first + x.second
    }
    assert all(one.tuned is not None for one in table.pairs)
    with pytest.raises(Refusal, match="pairs='each': expected baseline or all"):
        compare(found, LOSS, pairs="each")


def test_the_baseline_is_the_second_of_its_pairs():
    assert pairs_of("abc", "a", "all") == [("b", "a"), ("c", "a"), ("b", "c")]
    assert pairs_of("abc", "b", "baseline") == [("a", "b"), ("c", "b")]
    assert pairs_of("abc", None, "baseline") == []
