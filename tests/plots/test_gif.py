import io

import numpy as np
from PIL import Image

from gradjax.plots.gif import gif


def frames(count, seed=0):
    """A still of noise, over which a white square wanders."""
    still = np.random.default_rng(seed).integers(0, 200, (40, 60, 3), np.uint8)
    for k in range(count):
        frame = still.copy()
        frame[5:10, k : k + 5] = 255
        yield frame


def opened(data):
    image = Image.open(io.BytesIO(data))
    shown, durations = [], []
    for k in range(image.n_frames):
        image.seek(k)
        shown.append(np.asarray(image.convert("RGB")).astype(int))
        durations.append(image.info["duration"])
    return shown, durations, image.info["loop"]


def test_every_frame_is_there_and_the_last_one_stays():
    shown, durations, loop = opened(gif(list(frames(50))))
    assert len(shown) == 50 and loop == 0
    assert len(set(durations[:-1])) == 1 and durations[-1] > 5 * durations[0]
    for k, frame in enumerate(shown):
        assert (frame[5:10, k : k + 5] > 240).all()


def test_what_stands_still_is_stored_once():
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 200, (40, 60, 3), np.uint8) for _ in range(40)]
    assert len(gif(list(frames(40)))) < len(gif(noise)) / 4


def test_few_frames_are_shown_longer():
    durations = [opened(gif(list(frames(count))))[1][0] for count in (5, 50)]
    assert durations[0] > durations[1]


def test_a_colour_of_few_pixels_is_kept():
    pictures = list(frames(3))
    pictures[1][20, 30] = (0x00, 0x9E, 0x73)
    color = opened(gif(pictures, ("#009E73",)))[0][1][20, 30]
    assert np.abs(color - (0x00, 0x9E, 0x73)).max() <= 2
