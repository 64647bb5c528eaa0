import numpy as np
import pytest
from scipy import stats

from gradjax.analysis.correction import holm
from gradjax.analysis.pairs import (
    hedges_effect,
    paired_difference,
    probability_of_improvement,
    sign_flip_p_value,
)
from gradjax.analysis.power import power, seeds_needed, smallest_effect
from gradjax.errors import Refusal


def _pair(count, seed=0, shift=0.3):
    random = np.random.default_rng(seed)
    common = random.normal(size=count)
    return common + random.normal(shift, 0.2, count), common


@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_a_paired_difference_is_scipys_paired_t_test(count):
    first, second = _pair(count)
    expected = stats.ttest_rel(first, second)
    found = paired_difference(first, second, 0.9)
    np.testing.assert_allclose(found.p_value, expected.pvalue, rtol=1e-10)
    np.testing.assert_allclose(found.interval[1:], expected.confidence_interval(0.9))
    assert found.interval.estimate == pytest.approx(np.mean(first - second))
    assert found.num_pairs == count


def test_one_pair_has_an_estimate_and_no_p_value():
    found = paired_difference([2.0], [1.5])
    assert found.interval.estimate == 0.5
    assert np.isnan([found.interval.low, found.p_value, found.effect]).all()


def test_equal_differences_have_the_p_value_of_the_sign_flip_test():
    # Student's t is infinite there, though 3 seeds can not show more than 2^(1 - 3).
    assert paired_difference([2.0] * 3, [1.0] * 3).p_value == 0.25
    assert sign_flip_p_value([2.0] * 3, [1.0] * 3) == 0.25
    assert paired_difference([1.0] * 3, [1.0] * 3).p_value == 1.0


def test_the_effect_has_hedges_exact_factor():
    # The table of Hedges and Olkin (1985) has J(9) = 0.9139.
    differences = np.random.default_rng(0).normal(1.0, 2.0, 10)
    plain = differences.mean() / differences.std(ddof=1)
    np.testing.assert_allclose(hedges_effect(differences) / plain, 0.9139, atol=1e-4)
    assert hedges_effect([1.0, 1.0, 1.0]) == np.inf
    assert hedges_effect([0.0, 0.0]) == 0.0


def test_the_effect_is_unbiased():
    random = np.random.default_rng(1)
    found = [hedges_effect(random.normal(0.5, 1.0, 6)) for _ in range(4_000)]
    assert abs(np.mean(found) - 0.5) < 4 * np.std(found) / np.sqrt(4_000)


@pytest.mark.parametrize("count", [3, 8, 12])
def test_the_sign_flip_test_is_scipys_exact_permutation_test(count):
    first, second = _pair(count, shift=0.1)
    expected = stats.permutation_test(
        (first, second),
        lambda a, b, axis: abs(np.mean(a - b, axis=axis)),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
    )
    assert sign_flip_p_value(first, second) == pytest.approx(expected.pvalue)


def test_a_sampled_sign_flip_test_is_seeded_and_near_the_t_test():
    first, second = _pair(40, shift=0.05)
    found = sign_flip_p_value(first, second)
    assert found == sign_flip_p_value(first, second)
    assert found == pytest.approx(stats.ttest_rel(first, second).pvalue, abs=0.02)


def test_probability_of_improvement_counts_pairs_and_halves_ties():
    assert probability_of_improvement([1, 2, 3], [1, 2, 3]) == 0.5
    assert probability_of_improvement([2, 3], [1, 2]) == (1 + 0.5 + 1 + 1) / 4
    assert probability_of_improvement([-np.inf, 3], [1, 2]) == 0.5
    first, second = _pair(9)
    expected = stats.mannwhitneyu(first, second).statistic / 81
    assert probability_of_improvement(first, second) == pytest.approx(expected)


def test_holm_by_hand_and_in_the_order_given():
    p_values = [0.02, 0.001, 0.2, 0.012, 0.04]
    np.testing.assert_allclose(holm(p_values), [0.06, 0.005, 0.2, 0.048, 0.08])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1.0, 1.0])
    assert holm([]).size == 0


def test_power_is_that_of_the_published_table():
    assert power(1.0, 10) == pytest.approx(0.803, abs=5e-4)
    found = [round(smallest_effect(n), 2) for n in (3, 5, 10, 20, 30)]
    assert found == [3.26, 1.68, 1.0, 0.66, 0.53]
    effects = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
    assert [seeds_needed(one) for one in effects] == [128, 34, 16, 10, 6, 5]


def test_power_is_the_share_of_simulated_studies_that_find_the_effect():
    draws = np.random.default_rng(0).normal(1.0, 1.0, (4_000, 8))
    found = (stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05).mean()
    assert power(1.0, 8) == pytest.approx(found, abs=0.03)


def test_no_number_of_seeds_finds_no_effect():
    assert seeds_needed(0.0) is None
    assert seeds_needed(np.inf) == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: paired_difference([1.0, 2.0], [1.0]), "2 and 1 values"),
        (lambda: paired_difference([1.0, np.nan], [1.0, 2.0]), r"first\[1\] is nan"),
        (lambda: holm([1.5]), "must lie in"),
        (lambda: power(1.0, 1), "at least 2 pairs"),
        (lambda: power(1.0, 5, level=0.0), "level=0.0"),
        (lambda: probability_of_improvement([], [1.0]), "at least one value"),
    ],
)
def test_wrong_input_is_refused_in_one_line(call, words):
    with pytest.raises(Refusal, match=words):
        call()
