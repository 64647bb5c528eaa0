"""Animated GIFs from frames; areas that do not change are stored once."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

_NUM_COLORS = 128
_WHOLE_MS = 7_000  # the time of all frames except the last
_LEAST_MS, _MOST_MS = 90, 500  # the bounds of the time of one such frame
_LAST_MS = 3_000
_BAND = 20  # rows of the palette's image for each colour that must be kept


def gif(frames: Sequence[np.ndarray], colors: Sequence[str] = ()) -> bytes:
    """Encodes frames as a GIF that repeats; each frame is shown long enough to read.

    All frames share one palette and are not dithered, so that pixels that do not change
    are identical in all frames. The palette is computed from the first, the middle and
    the last frame.

    Args:
      frames: u8[height, width, 3] each.
      colors: colours of few pixels that must be kept exactly, such as "#0072B2".

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
    """Returns an image from which to choose the palette, with bands of `colors`."""
    from matplotlib.colors import to_rgb
    from PIL import Image

    seen = [frames[0], frames[len(frames) // 2], frames[-1]]
    width = frames[0].shape[1]
    for color in colors:
        rgb = np.rint(255.0 * np.array(to_rgb(color))).astype(np.uint8)
        seen.append(np.broadcast_to(rgb[None, None], (_BAND, width, 3)))
    return Image.fromarray(np.concatenate(seen))
