"""Lines and tables on the terminal."""

import os
import sys
import textwrap

_WIDTH = 88  # columns


def say(line: str) -> None:
    """Prints one plain line; a reader that went away (`| head -1`) is no error."""
    try:
        print(line, flush=True)
    except OSError:  # a closed pipe, a full disk: the run matters more than its output
        silence()


def silence() -> None:
    """Sends what is still to be printed nowhere, so that the run goes on to its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if sys.stdout is None:
        sys.stdout = os.fdopen(nowhere, "w")
    else:  # what its buffer still holds must have somewhere to go at exit
        os.dup2(nowhere, 1)


def number(value: float) -> str:
    """Four decimals, or as a power of ten where they would say nothing."""
    return (
        f"{value:.4f}" if value == 0.0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3e}"
    )


def table(title: str, rows: list[tuple[str, str]]) -> None:
    """Prints name and value, aligned; the same on a terminal and in a file."""
    width = max(len(name) for name, _ in rows)
    say(title)
    for name, value in rows:
        first, *more = textwrap.wrap(value, max(_WIDTH - width - 4, 30)) or [""]
        say(f"  {name:<{width}}  {first}")
        for line in more:
            say(f"  {'':<{width}}  {line}")
