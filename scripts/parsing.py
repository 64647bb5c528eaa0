"""The parser of a script's flags: help is the docstring, a bad flag is one line."""

import argparse
import itertools
import math
import shlex
import sys
from collections.abc import Callable, Iterable
from typing import Any

from gradjax import expressions


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


def counts(low: int, high: int, number: int = 0) -> Callable[[str], Any]:
    """Returns the type of a flag that takes whole numbers, such as 28,28.

    Args:
      low: the least one.
      high: the largest one.
      number: how many there are; 0: any number.
    """
    read_one = count(low, high)

    def read(text: str) -> tuple[int, ...]:
        found = tuple(read_one(one) for one in text.split(","))
        if number and len(found) != number:
            said = text if len(text) <= 40 else f"{text[:37]}..."
            raise argparse.ArgumentTypeError(f"{said!r}: expected {number} numbers")
        return found

    return read


def names(known: Iterable[str], what: str) -> Callable[[str], list[str]]:
    """Returns the type of a flag that takes known names, separated by commas."""

    def read(text: str) -> list[str]:
        found = list(dict.fromkeys(text.split(",")))
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(expressions.unknown(name, known, what))
        return found

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
