"""Lines and tables on the terminal."""

import contextlib
import os
import sys
import textwrap

_WIDTH = 88  # columns


def say(line: str) -> None:
    """Prints a line; a reader that has closed the pipe (`| head -1`) is no error.

    Characters that the encoding of stdout does not have, as in a C locale, are printed
    as question marks.
    """
    try:
        try:
            print(line, flush=True)
        except UnicodeEncodeError:
            encoding = sys.stdout.encoding or "ascii"
            print(line.encode(encoding, "replace").decode(encoding), flush=True)
    except OSError:  # a closed pipe, a full disk: the run matters more than its output
        silence()


def replace_unprintable() -> None:
    """Lets stdout replace what its encoding does not have, for what others print."""
    with contextlib.suppress(AttributeError, OSError):  # a notebook's stdout, or None
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]


def silence() -> None:
    """Discards all further output, so that the run continues to its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is None:
        sys.stdout = os.fdopen(nowhere, "w")
    else:  # so that flushing the buffer at exit does not fail
        os.dup2(nowhere, 1)


def number(value: float) -> str:
    """Writes a number with four decimals, or with an exponent if small or large."""
    return (
        f"{value:.4f}" if value == 0.0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3e}"
    )


def join_words(words: list[str]) -> str:
    """Joins words as in a sentence: `a`, `a and b`, or `a, b and c`."""
    return " and ".join([*filter(None, [", ".join(words[:-1])]), words[-1]])


def table(title: str, rows: list[tuple[str, str]]) -> None:
    """Prints aligned names and values, in the same way on a terminal and in a file."""
    width = max(len(name) for name, _ in rows)
    say(title)
    for name, value in rows:
        first, *more = textwrap.wrap(value, max(_WIDTH - width - 4, 30)) or [""]
        say(f"  {name:<{width}}  {first}")
        for line in more:
            say(f"  {'':<{width}}  {line}")


def duration(seconds: float) -> str:
    """Returns a time in the unit that a person uses: "8.5 s", "12 min" or "2.4 h"."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
