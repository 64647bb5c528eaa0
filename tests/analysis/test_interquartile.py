import numpy as np
import pytest
from scipy import stats

from gradjax.analysis.interquartile import interquartile_interval, interquartile_mean
from gradjax.errors import Refusal


def test_the_weights_at_the_quartiles_are_exact():
    # n = 6: the second and fifth value count half. scipy's trimmed mean would be 1.5.
    assert interquartile_mean([0, 1, 2, 3, 50, 0]) == (0.5 * 0 + 1 + 2 + 0.5 * 3) / 3
    assert interquartile_mean([0, 1, 2, 3, 50]) == (0.75 * 1 + 2 + 0.75 * 3) / 2.5


@pytest.mark.parametrize("count", [4, 8, 40])
def test_it_is_scipys_trimmed_mean_where_a_quarter_is_a_whole_number(count):
    values = np.random.default_rng(count).exponential(size=count)
    expected = stats.trim_mean(values, 0.25)
    assert interquartile_mean(values) == pytest.approx(expected, rel=1e-12)


def test_the_interval_is_seeded_and_its_strata_are_resampled_apart():
    random = np.random.default_rng(0)
    # Resampling across the problems would spread as far as they lie apart.
    strata = [random.normal(center, 0.01, 10) for center in (0.0, 1.0, 2.0, 3.0)]
    found = interquartile_interval(strata, num_samples=999)
    assert found == interquartile_interval(strata, num_samples=999)
    assert found.low < found.estimate < found.high
    assert found.high - found.low < 0.02


@pytest.mark.slow
def test_the_interval_covers_the_interquartile_mean():
    random = np.random.default_rng(1)
    found = [
        interquartile_interval(list(random.normal(size=(4, 10))), num_samples=499)
        for _ in range(200)
    ]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.88 <= covered <= 0.985  # four standard errors around 0.93


def test_equal_values_have_no_width_and_few_values_are_refused():
    assert interquartile_interval([[1.0] * 10, [1.0] * 10]) == (1.0, 1.0, 1.0)
    with pytest.raises(Refusal, match="18 values in 2 problems"):
        interquartile_interval([[1.0] * 9, [2.0] * 9])
