import io

import numpy as np
import pytest
from PIL import Image

from gradjax.plots import hyperparameters, sweep_curves

STEPS = np.arange(1, 6) * 10
ORANGE, GREY = (0xD5, 0x5E, 0x00), (0x99, 0x99, 0x99)


def _pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def _count(image, color):
    return (np.abs(image - color).sum(axis=2) < 12).sum()


def _panel(num_trials, rates=None, lost=0, chosen=0, title="adam"):
    curves = np.exp(-0.01 * STEPS) * np.linspace(1, 2, num_trials)[:, None]
    curves[:lost, 2:] = np.nan
    numbers = np.geomspace(1e-3, 1, num_trials) if rates is None else rates
    is_chosen = np.arange(num_trials) == chosen
    return sweep_curves.Panel(title, STEPS, curves, numbers, is_chosen)


def test_few_rates_are_a_group_each_and_many_are_joined():
    rates = np.repeat([0.1, 0.2, 0.3], 2)
    found = sweep_curves.groups(rates)
    assert [rows.tolist() for rows in found] == [[0, 1], [2, 3], [4, 5]]
    found = sweep_curves.groups(np.geomspace(1e-3, 1, 40))
    assert len(found) == 6
    assert np.concatenate(found).tolist() == list(range(40))
    (found,) = sweep_curves.groups(np.full(3, np.nan))
    assert found.tolist() == [0, 1, 2]


@pytest.mark.parametrize("num_panels", [1, 3, 4])
def test_each_optimizer_has_a_panel(num_panels):
    panels = [_panel(8, lost=2, title=f"rule {k} $x$") for k in range(num_panels)]
    image = _pixels(sweep_curves.sweep_curves("p", panels, "learning rate", "loss"))
    widths = {1: 600, 3: 1_640, 4: 1_640}
    assert image.shape[1] == widths[num_panels]


def test_curves_of_diverged_trials_alone_are_drawn():
    panel = _panel(2, rates=np.full(2, np.nan), chosen=9)
    lost = panel._replace(curves=np.full((2, 5), np.nan))
    for one in (panel, lost):
        assert sweep_curves.sweep_curves("p", [one], None, "loss")


@pytest.mark.slow
def test_the_chosen_setting_is_marked_and_what_diverged_is_a_cross():
    def draw(losses, best):
        values = np.geomspace(1e-3, 1, 4)
        row = [hyperparameters.Panel("adam", "b1", values, np.array(losses), best)]
        return _pixels(hyperparameters.hyperparameters("p", [row], "loss"))

    plain = draw([1.0, 2.0, 3.0, 4.0], None)
    marked = draw([1.0, 2.0, 3.0, 4.0], 0)
    assert _count(marked, ORANGE) > _count(plain, ORANGE)
    lost = draw([1.0, 2.0, 3.0, np.inf], None)
    far = draw([1.0, 2.0, 3.0, 1e30], None)
    assert _count(lost, GREY) > _count(plain, GREY)
    assert _count(far, GREY) > _count(plain, GREY)
