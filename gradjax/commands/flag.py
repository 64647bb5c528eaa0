"""One flag of a command, and groups of them."""

from typing import Any, NamedTuple


class Flag(NamedTuple):
    """One flag."""

    name: str
    kind: str  # string, integer, float, boolean, or strings (it may be repeated)
    help: str
    default: Any = None
    words: tuple[str, ...] = ()  # further values of a boolean flag


Groups = dict[str, list[Flag]]  # title -> flags, as --help shows them
