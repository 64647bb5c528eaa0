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


@pytest.mark.parametrize("successes", [0, 1, 7, 10])
def test_without_ties_it_is_the_exact_interval_of_a_share(successes):
    first = np.where(np.arange(10) < successes, 1.0, -1.0)
    found = probability_of_outperforming(first, np.zeros(10))
    exact = stats.binomtest(successes, 10).proportion_ci(method="exact")
    np.testing.assert_allclose(found, [successes / 10, *exact])


def test_with_few_seeds_and_many_ties_it_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 3, (2, 2_000, 5))  # P(A > B) is 1/2, a third are ties
    found = [probability_of_outperforming(a, b) for a, b in zip(*pairs, strict=True)]
    assert np.mean([one.low <= 0.5 <= one.high for one in found]) >= 0.95


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
    assert [one["text"] for one in cells] == ["", "0.50 [0.12, 0.88]"]
    assert ",0.5,0.118" in to_csv([table])
