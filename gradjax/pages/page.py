"""Assembles the content of a report into one HTML file.

The file loads nothing: styles, scripts and data are within it, and its content security
policy forbids everything else. Jinja escapes every text.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from gradjax.errors import Refusal

# The chart libraries, unchanged, with the sha256 of their files.
LIBRARIES = {
    "d3-7.9.2.min.js": (
        "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1"
    ),
    "plot-0.6.17.umd.min.js": (
        "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb"
    ),
}

# The scripts of the page, in their order; each uses those before it.
SCRIPTS = (
    "core.js",
    "table.js",
    "curves.js",
    "measured.js",
    "search.js",
    "across.js",
    "start.js",
)


def page(content: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Returns the complete page.

    Args:
      content: of `gradjax.pages.content.content`.
      pictures: heading -> SVG, shown where scripts do not run.

    Returns:
      The text of an HTML file in UTF-8.

    Raises:
      Refusal: jinja2 is not installed, or a chart library is damaged.
    """
    try:
        import jinja2
    except ImportError as error:
        raise Refusal(
            'a report needs the package jinja2: pip install "gradjax[report]"'
        ) from error
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    scripts = [library(name) for name in LIBRARIES] + [
        _static(name) for name in SCRIPTS
    ]
    return environment.from_string(_static("page.html")).render(
        content=content,
        policy=_policy(scripts),
        style=_static("page.css"),
        scripts=scripts,
        data=as_script(content),
        pictures={
            heading: "data:image/svg+xml;base64,"
            + base64.b64encode(svg.encode()).decode("ascii")
            for heading, svg in pictures.items()
        },
    )


def as_script(content: Mapping[str, Any]) -> str:
    """Returns JSON that may stand inside a script element: no `<` can end it."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def library(name: str) -> str:
    """Returns a chart library; refuses a file with other contents."""
    text = _static(name)
    if hashlib.sha256(text.encode()).hexdigest() != LIBRARIES[name]:
        raise Refusal(f"gradjax/pages/static/{name}: is damaged, install gradjax again")
    return text


def _static(name: str) -> str:
    folder = resources.files("gradjax.pages") / "static"
    return (folder / name).read_text(encoding="utf-8")


def _policy(scripts: list[str]) -> str:
    """Returns a policy that allows these scripts alone, and no request."""
    hashes = [
        base64.b64encode(hashlib.sha256(one.encode()).digest()).decode("ascii")
        for one in scripts
    ]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data:"
    )
