import io

import numpy as np
from PIL import Image

from gradjax.plots.curves import Examples, curves
from gradjax.types import Series


def trace(points=20, scale=1.0):
    steps = np.arange(1, points + 1)
    falling = (scale / steps).astype(np.float32)
    seen = Series(steps[4::5], falling[4::5])
    return {
        "loss": Series(steps, falling),
        "accuracy": Series(steps, 1 - falling),
        "validation_loss": seen,
        "validation_accuracy": Series(seen.steps, 1 - seen.values),
    }


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_draws_curves_and_examples():
    images = np.zeros((10, 8, 8, 1))
    examples = Examples(images, np.arange(10), np.eye(10, dtype=np.float32))
    bare = pixels(curves("title", [trace()], 5))
    full = pixels(curves("title", [trace()], 5, examples))
    assert bare.shape[0] == full.shape[0] and bare.shape[1] < full.shape[1]
    right = full[:, int(0.62 * full.shape[1]) :]
    assert (right != right[0, 0]).any(axis=2).mean() > 0.01
    blue, vermilion = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
    for color in (blue, vermilion):
        assert (np.abs(bare.astype(int) - color).sum(axis=2) < 12).sum() > 100


def test_draws_a_trial_that_diverged_beside_one_that_did_not():
    short = trace(7)
    short["loss"].values[-1] = np.inf
    assert pixels(curves("title", [trace(), short], 5)).std() > 0


def test_draws_a_run_of_one_step_and_one_without_accuracy():
    one = {"loss": Series(np.array([1]), np.array([0.5], np.float32))}
    assert pixels(curves("title", [one], 5)).std() > 0
