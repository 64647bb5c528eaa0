"""Draws examples that are images, with a line above each."""

import io

import numpy as np

_COLUMNS = 4


def draw_images(images: np.ndarray, titles: list[str]) -> bytes:
    """Draws images in a grid, as a PNG.

    Args:
      images: [examples, height, width, 1 or 3], in any range of values.
      titles: a line for each image.
    """
    from matplotlib.figure import Figure

    count = len(images)
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(1.7 * columns, 2.0 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one in axes:
        one.axis("off")
    for one, image, title in zip(axes, images, titles, strict=False):
        low, high = float(image.min()), float(image.max())
        shown = (image - low) / ((high - low) or 1.0)
        one.imshow(shown.squeeze(), cmap="gray", vmin=0.0, vmax=1.0)
        one.set_title(title, fontsize=9)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
