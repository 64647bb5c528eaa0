"""Ctrl-C and similar signals: a run or a sweep finishes its segment, then it stops.

Before the first segment, and while a program is compiled, there is nothing to store. So
SIGTERM, SIGUSR1 and SIGHUP then have their usual effect, and end the process at once.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

# A cluster sends SIGUSR1 before it takes a machine back. Windows lacks some signals.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
HEARD = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
_SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it

StopRequested = Callable[[], int | None]  # the number of the signal, or None


@contextlib.contextmanager
def heard() -> Iterator[StopRequested]:
    """Makes the first signal request a stop, and the second one leave at once.

    The code that computes asks between two segments, and raises `errors.Interrupted`.
    Signals that are ignored stay ignored, because nohup and the background jobs of a
    shell rely on it. Only the main thread receives signals; in another thread no stop
    is ever requested.

    Yields:
      `stop_requested() -> the number of the first signal, or None`.
    """
    first: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        if first:
            leave(number)
        first.append(number)
        name = signal.Signals(number).name
        _say(f"{name}: finishing this segment; a second signal stops at once")

    with contextlib.ExitStack() as before:
        if threading.current_thread() is threading.main_thread():
            for number in HEARD:
                # None: a handler that was not set from Python and cannot be restored.
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before.callback(signal.signal, number, signal.signal(number, hear))
        yield lambda: first[0] if first else None


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Lets SIGTERM, SIGUSR1 and SIGHUP end the process, as while it compiles.

    Python's own handlers wait until the compiler returns, which can take minutes, and a
    cluster waits for two. Ctrl-C is heard as before. The first process of a container
    is left as it is, because Linux ignores signals to it that have no handler.
    """
    with contextlib.ExitStack() as before:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and os.getpid() != 1:
            for number in set(HEARD) - {signal.SIGINT}:
                if callable(signal.getsignal(number)):
                    heard_by = signal.signal(number, signal.SIG_DFL)
                    before.callback(signal.signal, number, heard_by)
        yield


def usual() -> None:
    """Makes Ctrl-C raise KeyboardInterrupt, which it does not during the imports."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore() -> None:
    """Ignores all signals, so that none disturbs the exit after the first one."""
    if threading.current_thread() is threading.main_thread():
        for number in HEARD:
            signal.signal(number, signal.SIG_IGN)


def leave(number: int) -> NoReturn:
    """Ends the process at once, because a thread may compute for minutes.

    The folder is valid after a kill at any instant, and so it is after this one.
    """
    _say("left at once; what is committed stays, and the same command goes on")
    os._exit(exit_code(number))


def exit_code(number: int) -> int:
    """Returns what a shell shows for a process that the signal ended.

    On Linux that is 130 for Ctrl-C, 143 for SIGTERM, 138 for SIGUSR1, 129 for SIGHUP.
    """
    return 128 + number


def _say(line: str) -> None:
    """Prints on stderr; errors are ignored, as a handler may interrupt a print."""
    with contextlib.suppress(OSError, RuntimeError, AttributeError, ValueError):
        is_terminal = sys.stderr.isatty()
        # On a terminal the current line already has "^C" or a progress bar.
        print(f"\n{_SHOW_CURSOR}{line}" if is_terminal else line, file=sys.stderr)
        sys.stderr.flush()
