"""The parser of a script's flags: help is the docstring, a bad flag is one line."""

import argparse
import itertools
import math
import shlex
import sys
from collections.abc import Callable


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Makes a parser without arguments.

    Args:
      name: of the script, which begins each message.
      doc: the docstring of the script, for --help.
    """
    return argparse.ArgumentParser(
        prog=name,
        usage=argparse.SUPPRESS,  # it would come before the line of a bad flag
        allow_abbrev=False,
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def command(name: str) -> str:
    """Returns the command line of this process."""
    is_console = sys.argv[0] == f"gradjax {name}"
    start = ["gradjax", name] if is_console else ["python", "-m", f"scripts.{name}"]
    return shlex.join([*start, *sys.argv[1:]])


def count(low: int, high: int) -> Callable[[str], int]:
    """Returns the type of a flag that takes a whole number from `low` to `high`."""

    def read(text: str) -> int:
        is_whole = text.isdecimal() and len(text) <= 20
        if not is_whole or not low <= int(text) <= high:
            said = text if len(text) <= 40 else f"{text[:37]}..."
            raise argparse.ArgumentTypeError(f"{said!r}: must be from {low} to {high}")
        return int(text)

    return read


def widths(text: str) -> tuple[int, ...]:
    """Reads the widths of a network, such as 64,128,256: at least two, increasing."""
    read = count(1, 2**13)
    found = tuple(read(one) for one in text.split(","))
    if len(found) < 2 or any(a >= b for a, b in itertools.pairwise(found)):
        said = text if len(text) <= 40 else f"{text[:37]}..."
        raise argparse.ArgumentTypeError(f"{said!r}: expected increasing widths")
    return found


def positive(text: str) -> float:
    """Reads a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        said = text if len(text) <= 40 else f"{text[:37]}..."
        raise argparse.ArgumentTypeError(f"{said!r}: expected a number above 0")
    return value
