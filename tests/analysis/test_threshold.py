import numpy as np
import pytest
from scipy import stats

from gradjax.analysis.threshold import below_threshold
from gradjax.errors import Refusal


def test_the_margin_of_a_published_record():
    values = [3.27844125] * 8
    found = below_threshold(values, 3.28, deviation=0.0013)
    assert found.margin == pytest.approx(0.004409, abs=1e-6)
    assert found.p_value < 0.001


def test_with_an_estimated_deviation_it_is_scipys_one_sided_test():
    values = np.random.default_rng(0).normal(1.0, 0.1, 6)
    expected = stats.ttest_1samp(values, 1.1, alternative="less").pvalue
    assert below_threshold(values, 1.1).p_value == pytest.approx(expected)


def test_equal_values_and_wrong_input():
    assert below_threshold([1.0, 1.0], 1.5).p_value == 0.0
    assert below_threshold([1.0, 1.0], 0.5).p_value == 1.0
    with pytest.raises(Refusal, match="one value"):
        below_threshold([1.0], 2.0)
    with pytest.raises(Refusal, match="deviation=0"):
        below_threshold([1.0], 2.0, deviation=0.0)
