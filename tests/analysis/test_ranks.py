import numpy as np
import pytest
from scipy import stats

from gradjax.analysis.ranks import ranks
from gradjax.errors import Refusal


def test_mean_ranks_with_ties_and_divergence_by_hand():
    values = [[0.1, 0.2, np.nan], [0.1, 0.3, 0.5], [0.4, 0.1, 0.2]]
    found = ranks(values, "min")
    np.testing.assert_allclose(
        found.mean, [(1.5 + 2 + 3) / 3, 6.5 / 3, (3 + 1 + 1) / 3]
    )
    found = ranks(values, "max")
    np.testing.assert_allclose(found.mean, [(2.5 + 2 + 3) / 3, 4.5 / 3, 6 / 3])


def test_friedmans_test_is_scipys():
    values = np.random.default_rng(0).normal(size=(4, 12)) + np.arange(4)[:, None] * 0.4
    expected = stats.friedmanchisquare(*values).pvalue
    assert ranks(values, "min").p_value == pytest.approx(expected)


def test_the_critical_difference_is_that_of_demsars_table():
    # q = 2.343, 2.569 and 3.164 for 3, 4 and 10 classifiers at 5 %, 14 data sets.
    for count, quantile in ((3, 2.343), (4, 2.569), (10, 3.164)):
        found = ranks(np.random.default_rng(0).normal(size=(count, 14)), "max")
        expected = quantile * np.sqrt(count * (count + 1) / (6 * 14))
        assert found.critical_difference == pytest.approx(expected, abs=2e-3)


def test_two_optimizers_have_no_friedman_test_and_one_is_refused():
    assert np.isnan(ranks([[1.0, 2.0], [2.0, 1.0]], "min").p_value)
    assert ranks(np.ones((3, 4)), "min").p_value == 1.0
    with pytest.raises(Refusal, match="at least 2 optimizers"):
        ranks([[1.0]], "min")
    with pytest.raises(Refusal, match="direction='best'"):
        ranks([[1.0], [2.0]], "best")
