"""The picture of learning on."""

import io

import numpy as np
import pytest

from gradjax.plots.online import Errors, online


def drawn(num_events, mark=None):
    from PIL import Image

    rng = np.random.default_rng(0)
    models = [
        Errors(label, rng.random(num_events)) for label in ("learning on", "frozen")
    ]
    content = online("a title", models, mark, "the test split begins")
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("num_events", [1, 3, 39, 41, 5000])
@pytest.mark.slow
def test_it_draws_any_number_of_events(num_events):
    pixels = drawn(num_events)
    assert pixels.shape == (660, 1000, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_both_curves_and_the_mark_are_there():
    pixels = drawn(2_000, mark=1_000).reshape(-1, 3).tolist()
    colors = [(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)]
    for color in colors:
        assert pixels.count(list(color)) > 300
    assert (drawn(2_000, mark=1_000) != drawn(2_000, mark=500)).any()
