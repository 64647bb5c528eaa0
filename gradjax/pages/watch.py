"""The page of `scripts.watch`, which refreshes itself and loads nothing.

It has no scripts: the browser reads the file again after each interval. Its content
security policy allows its own style alone. Jinja escapes every text.
"""

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from gradjax.errors import Refusal


def watch_page(content: Mapping[str, Any], interval_s: float | None) -> str:
    """Returns the complete page.

    Args:
      content: `title`, `state`, `share` (in [0, 1]), `rows` ((name, value) each),
        `about` (whose curves they are), and `groups` of curves: (heading, curves), each
        curve with `name`, `last`, `range`, `steps` (texts) and `lines`, the points
        (x, y) of the polylines of its picture, in [0, 1].
      interval_s: seconds after which the page is read again; None: never.

    Returns:
      The text of an HTML file in UTF-8.

    Raises:
        Refusal: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise Refusal(
            '--html needs the package jinja2: pip install "gradjax[report]"'
        ) from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    style = _static("watch.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return environment.from_string(_static("watch.html")).render(
        content=content,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'",
        style=style,
        interval=None if interval_s is None else f"{interval_s:g}",
    )


def _static(name: str) -> str:
    folder = resources.files("gradjax.pages") / "static"
    return (folder / name).read_text(encoding="utf-8")
