"""Texts of a user, such as a file name, are drawn as they are."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from gradjax.plots import (
    batch_sizes,
    curves,
    online,
    paths,
    schedule,
    schedule_gradient,
    sensitivity,
    sweep_curves,
)
from gradjax.plots import hyperparameters as numbers
from gradjax.problems import SURFACES
from gradjax.types import Series

TEXT = "we $_{$ird_1"  # matplotlib cannot read the part between the dollar signs
STEPS = np.arange(1, 5)
FALLING = Series(STEPS, 1.0 / STEPS)
MANY = Series(STEPS, np.ones((2, 4)) / STEPS)


def of_batch_sizes():
    trained = batch_sizes.Trained(MANY, None, 4, 2, 1e-3, False)
    return batch_sizes.batch_sizes(TEXT, {TEXT: trained})


def of_hyperparameters():
    panel = numbers.Panel(TEXT, TEXT, np.array([0.1, 1.0]), np.ones(2), 0)
    return numbers.hyperparameters(TEXT, [[panel]], TEXT)


def of_paths():
    path = paths.Path(np.zeros((3, 2)), np.array([3.0, 2.0, 1.0]), TEXT)
    return paths.picture(TEXT, SURFACES["booth"], {TEXT: path})


def of_schedule_gradient():
    fresh = {TEXT: np.ones(2), f"{TEXT}{TEXT}": np.ones(2)}
    return schedule_gradient.schedule_gradient(
        TEXT, {TEXT: FALLING, f"{TEXT}{TEXT}": FALLING}, MANY, fresh, TEXT
    )


def of_sensitivity():
    notes = sensitivity.Notes(
        marks=[sensitivity.Mark(0.5, TEXT)],
        curves=[sensitivity.Curve("right", TEXT, FALLING)],
    )
    points = sensitivity.Points(np.array([0.1, 1.0]), np.array([2.0, 1.0]))
    return sensitivity.sensitivity(TEXT, {TEXT: points}, TEXT, TEXT, notes)


def of_sweep_curves():
    chosen = np.array([True, False])
    rates = np.array([0.1, 1.0])
    panel = sweep_curves.Panel(TEXT, STEPS, MANY.values, rates, chosen)
    return sweep_curves.sweep_curves(TEXT, [panel], TEXT, TEXT)


DRAWN = {
    "batch_sizes": of_batch_sizes,
    "curves": lambda: curves.curves(TEXT, [{"loss": FALLING}]),
    "hyperparameters": of_hyperparameters,
    "online": lambda: online.online(TEXT, [online.Errors(TEXT, STEPS)], 2, TEXT),
    "paths": of_paths,
    "schedule": lambda: schedule.schedule({TEXT: FALLING}),
    "schedule_gradient": of_schedule_gradient,
    "sensitivity": of_sensitivity,
    "sweep_curves": of_sweep_curves,
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_text_of_a_figure_is_drawn_as_it_is(name, monkeypatch):
    figures = []
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *_args, **_kwargs: figures.append(self)
    )
    DRAWN[name]()
    (figure,) = figures
    written = [text for text in _texts(figure) if "ird_1" in text]
    assert written
    for text in written:
        assert text.count("$") == text.count(r"\$")  # otherwise it is a formula


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_every_picture_has_such_texts(name):
    assert DRAWN[name]().startswith(b"\x89PNG")


def _texts(figure):
    from matplotlib.text import Text

    return [one.get_text() for one in figure.findobj(Text)]


def test_a_label_that_begins_with_an_underscore_is_in_the_legend(monkeypatch):
    figures = []
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *_args, **_kwargs: figures.append(self)
    )
    online.online("title", [online.Errors("_own", STEPS)])
    assert " _own" in _texts(figures[0])
