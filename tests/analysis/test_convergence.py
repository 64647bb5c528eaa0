import numpy as np
import pytest

from gradjax.analysis.convergence import Ending, end_step

RULE = {"gradient_tolerance": 1e-3, "loss_tolerance": 1e-6, "patience": 3}


def test_the_gradient_ends_it_at_the_last_of_a_row():
    loss = np.arange(10.0, 0.0, -1.0)
    norm = np.array([1.0, 1e-4, 1e-4, 1.0, 1e-4, 1e-4, 1e-4, 1e-4, 1.0, 1.0])
    assert end_step(loss, norm, **RULE) == Ending(6, "gradient")
    assert end_step(loss, norm, **RULE | {"patience": 1}) == Ending(1, "gradient")
    assert end_step(loss, norm, **RULE | {"patience": 5}) is None
    assert end_step(loss[:6], norm[:6], **RULE) is None


def test_the_loss_ends_it_when_it_changes_too_little_for_its_size():
    norm = np.ones(8)
    change = np.array([0.0, 1.0, 1e-9, 1e-9, 1.0, 1e-7, 1e-7, 1e-7])
    assert end_step(5.0 - np.cumsum(change), norm, **RULE) == Ending(7, "loss")
    tiny = np.cumsum(change * 1e-3)  # below 1 the change counts as it is
    assert end_step(tiny, norm, **RULE) == Ending(7, "loss")
    tenths = 5.0 - 0.1 * np.arange(8)
    assert end_step(tenths, norm, **RULE) is None
    assert end_step(1e6 + tenths, norm, **RULE) == Ending(3, "loss")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["loss", "norm"])
def test_what_is_not_finite_has_diverged(bad, where):
    seen = {"loss": 2.0 ** np.arange(8), "norm": np.ones(8)}
    seen[where][5] = bad
    assert end_step(seen["loss"], seen["norm"], **RULE) == Ending(5, "diverged")


def test_the_first_of_several_reasons_counts():
    loss = np.array([3.0, 2.0, 1.0, 1.0, 1.0, 1.0, np.nan])
    small = np.array([1.0, 1e-4, 1e-4, 1e-4, 1e-4, 1e-4, np.nan])
    assert end_step(loss, np.ones(7), **RULE) == Ending(5, "loss")
    assert end_step(loss, small, **RULE) == Ending(3, "gradient")


def test_a_tolerance_of_zero_is_never_met():
    rule = {"gradient_tolerance": 0.0, "loss_tolerance": 0.0, "patience": 1}
    assert end_step(np.ones(5), np.zeros(5), **rule) is None
