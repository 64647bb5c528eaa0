import numpy as np
import pytest

from gradjax.analysis.power import power, seeds_needed, smallest_effect


@pytest.mark.parametrize("num_pairs", [2, 3, 5, 20])
@pytest.mark.parametrize("num_tests", [1, 3, 30])
def test_the_power_is_known_for_few_seeds_and_large_effects(num_pairs, num_tests):
    level = 0.05 / num_tests
    found = [power(effect, num_pairs, level) for effect in np.geomspace(0.01, 1e3, 40)]
    assert (np.diff(found) > -1e-9).all() and found[0] > 0 and found[-1] <= 1
    effect = smallest_effect(num_pairs, level)
    assert power(effect, num_pairs, level) == pytest.approx(0.8, abs=1e-6)
    assert seeds_needed(effect * 1.0001, level) == num_pairs
