import numpy as np
import pytest

from gradjax.analysis.rate_search import score, search, shift


def bowl(best, edge=np.inf):
    """Losses of three seeds, smallest at a place, that diverge from an edge on."""

    def measure(places):
        tried.extend(places)
        return {
            k: np.exp([0.1, 0.0, -0.1]) * (np.inf if k >= edge else 1 + (k - best) ** 2)
            for k in places
        }

    tried = []
    return measure, tried


@pytest.mark.parametrize("start", [-9, -4, -1, 5])
def test_the_search_ends_at_the_best_with_worse_ones_on_both_sides(start):
    measure, tried = bowl(-4)
    found = search(measure, start)
    assert found.best == -4 and found.is_inside
    assert list(found.losses) == sorted(tried), "no rate is tried twice"


def test_from_rates_that_all_diverge_it_goes_to_smaller_ones():
    found = search(bowl(-3, edge=-1)[0], 4)
    assert found.best == -3 and found.is_inside


def test_a_best_rate_at_the_edge_of_divergence_is_inside():
    found = search(bowl(2, edge=0)[0], -3)
    assert found.best == -1 and found.is_inside and np.isinf(found.losses[0]).all()


def test_where_every_rate_diverges_there_is_none():
    found = search(bowl(0, edge=-99)[0], 0)
    assert found.best is None and not found.is_inside


def test_a_reach_of_two_steps_over_a_dent():
    dents = {-2: 1.0, -1: 3.0, 0: 2.0, 1: 3.0}

    def measure(places):
        return {k: np.asarray([dents.get(k, 9.0)]) for k in places}

    assert search(measure, 0).best == 0
    assert search(measure, 0, reach=2).best == -2


def test_the_score_is_a_geometric_mean_and_one_diverged_seed_decides():
    assert score(np.asarray([1.0, 4.0])) == pytest.approx(2.0)
    assert score(np.asarray([1.0, np.inf])) == np.inf
    assert score(np.asarray([1.0, np.nan])) == np.inf


def test_the_shift_is_the_range_of_places():
    assert shift({64: -3, 256: -5, 1024: -4}) == 2
