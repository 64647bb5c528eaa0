"""The bundled diagnostics: a line each, under the name that expressions use."""

from typing import Any

from gradjax.diagnostics import expression
from gradjax.types import Diagnostic

DIAGNOSTICS: dict[str, Diagnostic] = {}


def read(given: Any) -> tuple[Diagnostic, ...]:
    """Reads the diagnostics of a run; see `expression.read`."""
    return expression.read(given, DIAGNOSTICS)
