"""Frames to an animated GIF, small because what stands still is stored once."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

_NUM_COLORS = 128
_WHOLE_MS = 7_000  # of all frames but the last, ...
_LEAST_MS, _MOST_MS = 90, 500  # ... each of which is shown so long
_LAST_MS = 3_000
_BAND = 20  # rows of a colour that must not be mixed


def gif(frames: Sequence[np.ndarray], colors: Sequence[str] = ()) -> bytes:
    """Encodes frames as a GIF that repeats, each shown long enough to be read.

    One palette serves all frames, without dithering: what does not change is identical
    from frame to frame. It is chosen from the first, the middle and the last.

    Args:
      frames: u8[height, width, 3] each.
      colors: those of few pixels that must be kept as they are, such as "#0072B2".

    Returns:
      A GIF.
    """
    from PIL import Image

    exact = Image.Dither.NONE
    palette = _swatches(frames, colors).quantize(_NUM_COLORS, dither=exact)
    images = [Image.fromarray(frame) for frame in frames]
    shown = [image.quantize(palette=palette, dither=exact) for image in images]
    frame_ms = int(np.clip(_WHOLE_MS / len(shown), _LEAST_MS, _MOST_MS))
    durations = [frame_ms] * (len(shown) - 1) + [_LAST_MS]
    options: dict[str, Any] = {"append_images": shown[1:], "duration": durations}
    buffer = io.BytesIO()
    shown[0].save(buffer, format="GIF", save_all=True, loop=0, **options)
    return buffer.getvalue()


def _swatches(frames: Sequence[np.ndarray], colors: Sequence[str]) -> Any:
    """An image of every colour there is, with much of those to be kept."""
    from matplotlib.colors import to_rgb
    from PIL import Image

    seen = [frames[0], frames[len(frames) // 2], frames[-1]]
    width = frames[0].shape[1]
    for color in colors:
        rgb = np.rint(255.0 * np.array(to_rgb(color))).astype(np.uint8)
        seen.append(np.broadcast_to(rgb[None, None], (_BAND, width, 3)))
    return Image.fromarray(np.concatenate(seen))
