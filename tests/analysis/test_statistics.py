import numpy as np
import pytest
from scipy import stats

from gradjax.analysis.statistics import Interval, median_interval, student_interval
from gradjax.errors import Refusal


@pytest.mark.parametrize("num_values", [2, 3, 10, 50])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_student_is_the_interval_of_scipys_t_test(num_values, confidence):
    values = np.random.default_rng(num_values).normal(3.0, 2.0, num_values)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    found = student_interval(values, confidence)
    np.testing.assert_allclose(found, (values.mean(), *expected), rtol=1e-12)


def test_student_of_two_values_in_closed_form():
    # One degree of freedom is Cauchy's distribution: its quantile is a tangent.
    half = np.tan(np.pi * 0.475) * 1.0
    np.testing.assert_allclose(student_interval([1.0, 3.0]), (2.0, 2 - half, 2 + half))


def test_one_value_has_no_students_interval():
    found = student_interval([4.0])
    assert found.estimate == 4.0
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_equal_values_have_an_interval_without_width():
    assert student_interval([2.0] * 8) == Interval(2.0, 2.0, 2.0)
    assert median_interval([2.0] * 8) == Interval(2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("num_values", "low", "high"),
    # From the table of a textbook on order statistics: the ranks at 95 %.
    [(1, 1, 1), (5, 1, 5), (6, 1, 6), (7, 1, 7), (8, 1, 8), (9, 2, 8), (10, 2, 9)]
    + [(15, 4, 12), (20, 6, 15), (25, 8, 18)],
)
def test_median_lies_between_the_textbooks_ranks(num_values, low, high):
    ranks = np.random.default_rng(0).permutation(num_values) + 1.0
    assert median_interval(ranks) == Interval((num_values + 1) / 2, low, high)


@pytest.mark.parametrize("num_values", [6, 7, 20, 35])
def test_median_agrees_with_scipys_quantile_test(num_values):
    values = np.random.default_rng(1).exponential(size=num_values)
    expected = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
    found = median_interval(values)
    assert found.estimate == np.median(values)
    assert (found.low, found.high) == (expected.low, expected.high)


def _coverage(interval, draws, truth):
    found = [interval(values) for values in draws]
    return np.mean([one.low <= truth <= one.high for one in found])


@pytest.mark.parametrize("num_values", [3, 5, 10])
@pytest.mark.slow
def test_student_covers_the_mean_as_often_as_it_says(num_values):
    draws = np.random.default_rng(2).normal(1.0, 3.0, (4000, num_values))
    # Four standard errors of a share of 0.95 over 4,000 draws are 0.014.
    assert abs(_coverage(student_interval, draws, 1.0) - 0.95) < 0.014


@pytest.mark.parametrize("num_values", [3, 5, 7, 10])
@pytest.mark.slow
def test_median_covers_by_the_binomial_formula(num_values):
    draws = np.random.default_rng(3).exponential(size=(4000, num_values))
    rank = 2 if num_values == 10 else 1
    claimed = 1 - 2 * stats.binom.cdf(rank - 1, num_values, 0.5)
    assert (claimed >= 0.95) == (num_values >= 6)
    tolerance = 4 * np.sqrt(claimed * (1 - claimed) / len(draws))
    assert abs(_coverage(median_interval, draws, np.log(2)) - claimed) < tolerance


def test_more_confidence_is_never_a_narrower_interval():
    values = np.random.default_rng(4).normal(size=30)
    for interval in (student_interval, median_interval):
        widths = [
            one.high - one.low
            for one in (interval(values, share) for share in (0.5, 0.9, 0.99, 0.9999))
        ]
        assert widths == sorted(widths)


@pytest.mark.parametrize("interval", [student_interval, median_interval])
@pytest.mark.parametrize(
    ("values", "confidence", "words"),
    [
        ([], 0.95, "values of shape (0,); expected [n]"),
        ([[1.0, 2.0]], 0.95, "values of shape (1, 2); expected [n]"),
        ([1.0, np.nan], 0.95, "values[1] is nan; expected finite"),
        ([np.inf, 1.0], 0.95, "values[0] is inf; expected finite"),
        ([1.0, 2.0], 95, "confidence=95: must lie between 0 and 1"),
        ([1.0, 2.0], float("nan"), "confidence=nan: must lie between 0 and 1"),
    ],
)
def test_refuses_in_one_line(interval, values, confidence, words):
    with pytest.raises(Refusal) as refusal:
        interval(values, confidence)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
