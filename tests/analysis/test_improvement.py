import numpy as np
import pytest
from scipy import stats

from gradjax.analysis.comparison import compare
from gradjax.analysis.improvement import probability_of_outperforming
from gradjax.errors import Refusal
from gradjax.pages.cells import columns
from gradjax.pages.tables import to_csv
from tests.pages.comparisons import ACCURACY, outcomes


def test_ties_count_half_and_a_seed_without_a_result_is_the_worst():
    found = probability_of_outperforming([1, 2, 3, -np.inf], [0, 2, 4, 0])
    assert found.estimate == (1 + 0.5 + 0 + 0) / 4
    assert 0 <= found.low < found.estimate < found.high <= 1
    again = probability_of_outperforming([1, 2, 3, -np.inf], [0, 2, 4, 0])
    assert again == found


def test_the_interval_is_that_of_a_binomial_bootstrap():
    first = np.where(np.arange(20) < 14, 1.0, -1.0)
    found = probability_of_outperforming(first, np.zeros(20))
    expected = stats.binom(20, 0.7).ppf([0.025, 0.975]) / 20
    np.testing.assert_allclose(found, [0.7, *expected], atol=0.051)


@pytest.mark.parametrize("sign", [1, -1])
def test_seeds_that_all_agree_have_the_exact_interval(sign):
    found = probability_of_outperforming(sign * np.ones(10), np.zeros(10))
    exact = stats.binomtest(10 if sign > 0 else 0, 10).proportion_ci(method="exact")
    np.testing.assert_allclose(found[1:], exact)


def test_one_seed_has_no_interval_and_wrong_values_are_refused():
    assert np.isnan(probability_of_outperforming([1], [0]).low)
    for first, second in (([], []), ([1, 2], [1]), ([np.nan], [1])):
        with pytest.raises(Refusal):
            probability_of_outperforming(first, second)


def test_the_table_and_the_csv_have_it():
    table = compare(list(outcomes(("adam", "sgd"))), ACCURACY, "adam")
    (cells,) = [one["cells"] for one in columns(table) if one["head"] == "P(better)"]
    row = next(row for row in table.rows if row.optimizer == "sgd")
    assert row.outperforms.estimate == 0.5  # of the noise of these six seeds
    assert [one["text"] for one in cells] == ["", "0.50 [0.17, 0.83]"]
    assert ",0.5,0.1666" in to_csv([table])
