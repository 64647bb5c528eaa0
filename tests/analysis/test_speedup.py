import numpy as np
import pytest

from gradjax.analysis.speedup import speedup
from gradjax.errors import Refusal

HORIZONS = np.array([100.0, 200.0, 400.0])


def _study(random, true_speedup, num_seeds=10, noise=0.05):
    """Simulates ends that fall by 1 per doubling, at common seeds."""
    common = random.normal(0, noise, num_seeds)
    ours = -np.log2(HORIZONS / 100)[:, None] + common
    ours = ours + random.normal(0, noise, (3, num_seeds))
    theirs = -np.log2(true_speedup * 200 / 200) - np.log2(200 / true_speedup / 100)
    theirs = theirs + common + random.normal(0, noise, num_seeds)
    return ours, theirs


def test_without_noise_it_is_the_ratio_of_the_horizons():
    ours = -np.log2(HORIZONS / 100)[:, None] + np.zeros(5)
    # Ours reaches their end, -0.5, at 100 * sqrt(2); they took 200.
    found = speedup(HORIZONS, ours, 200.0, np.full(5, -0.5), "min")
    np.testing.assert_allclose(found.estimate, np.sqrt(2), rtol=2e-3)
    np.testing.assert_allclose(found[1:], np.sqrt(2), rtol=5e-3)
    mirrored = speedup(HORIZONS, -ours, 200.0, np.full(5, 0.5), "max")
    assert mirrored == found


def test_the_interval_covers_a_true_speedup_of_1_3():
    random = np.random.default_rng(0)
    inside = []
    for _ in range(60):
        ours, _ = _study(random, 1.0)
        common_end = -np.log2(200 / 1.3 / 100)
        theirs = common_end + ours.mean(axis=0) - ours.mean()
        theirs = theirs + random.normal(0, 0.05, 10)
        found = speedup(HORIZONS, ours, 200.0, theirs, "min")
        inside.append(found.low <= 1.3 <= found.high)
    assert np.mean(inside) >= 0.85


def test_beyond_the_horizons_a_bound_is_open():
    ours = -np.log2(HORIZONS / 100)[:, None] + np.random.default_rng(0).normal(
        0, 0.01, (3, 6)
    )
    never = speedup(HORIZONS, ours, 200.0, np.full(6, -3.0), "min")
    assert np.isnan(never.estimate)
    assert never.low == 0.0
    assert never.high == pytest.approx(0.5)
    early = speedup(HORIZONS, ours, 200.0, np.full(6, 1.0), "min")
    assert np.isnan(early.estimate)
    assert early.low == pytest.approx(2.0, rel=1e-2)
    assert early.high == np.inf


def test_wrong_input_is_refused():
    good = np.zeros((3, 4))
    for horizons, ours, theirs in (
        ([100.0], good[:1], np.zeros(4)),
        (HORIZONS[::-1], good, np.zeros(4)),
        (HORIZONS, good[:, :2], np.zeros(4)),
        (HORIZONS, good * np.nan, np.zeros(4)),
    ):
        with pytest.raises(Refusal):
            speedup(horizons, ours, 200.0, theirs, "min")
