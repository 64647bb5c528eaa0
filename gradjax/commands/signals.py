"""Ctrl-C and its kin while a sweep runs: the stretch is finished, then it stops."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

# SIGUSR1 is what a cluster sends before it takes a machine back. Windows lacks some.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
HEARD = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it

StopRequested = Callable[[], int | None]  # the signal that asked for it, if one did


@contextlib.contextmanager
def heard() -> Iterator[StopRequested]:
    """Lets the first signal only ask for a stop, and the second one leave at once.

    Whoever computes asks between two units of work, and raises `errors.Interrupted`.
    What is ignored stays ignored: nohup and a shell's background jobs rely on it. Only
    the main thread hears signals; in another nothing ever asks for a stop.

    Yields:
      `stop_requested() -> the number of the first signal, or None`.
    """
    first: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        if first:
            leave(number)
        first.append(number)
        name = signal.Signals(number).name
        _say(f"{name}: finishing this stretch; again to leave at once")

    with contextlib.ExitStack() as before:
        if threading.current_thread() is threading.main_thread():
            for number in HEARD:
                # None: of a handler that was not set from Python, and cannot be put
                # back.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before.callback(signal.signal, number, signal.signal(number, hear))
        yield lambda: first[0] if first else None


def usual() -> None:
    """Makes Ctrl-C a KeyboardInterrupt, which an experiment's imports forgo."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignored() -> None:
    """Lets no signal disturb the exit that the first one brought about."""
    if threading.current_thread() is threading.main_thread():
        for number in HEARD:
            signal.signal(number, signal.SIG_IGN)


def leave(number: int) -> NoReturn:
    """Ends the process without unwinding: a thread may compute for minutes yet.

    What a sweep keeps is whole after a kill at any instant, so after this one too.
    """
    _say("left at once; what is committed stays, and the same command goes on")
    os._exit(exit_code(number))


def exit_code(number: int) -> int:
    """130 of Ctrl-C, 143 of every other signal that asks for an end."""
    return 130 if number == signal.SIGINT else 143


def _say(line: str) -> None:
    """On stderr; a handler may run amid any print, so a failing one is let go."""
    with contextlib.suppress(OSError, RuntimeError, AttributeError, ValueError):
        is_terminal = sys.stderr.isatty()
        # On a terminal "^C" or a progress bar stands in the line already.
        print(f"\n{_SHOW_CURSOR}{line}" if is_terminal else line, file=sys.stderr)
        sys.stderr.flush()
