"""Shows a run or a sweep in the terminal while it goes on, from its record alone.

usage: python -m scripts.watch FOLDER [--interval=2] [--html=page.html] [--once]

It shows how far the trials are, the time that is left, the best value so far, and the
last value of each curve of the best trial with a small picture of the curve. `--html`
also writes a page with all curves, which the browser reads again after each interval;
the page is one file that loads nothing. The record may be written by another process,
or not exist yet, or be finished: then it is shown once. Nothing in the folder is
changed. Ctrl-C ends it. `--once` shows the present state and ends.
"""

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.pages.watch import watch_page
from gradjax.report import terminal
from gradjax.report.look import Look, look
from gradjax.report.watched import lines, shown
from gradjax.report.watched_page import content
from scripts import parsing

_TRIES = 3  # at a record that cannot be read, because it may be replaced just now
_SHARE = 4  # it waits four times as long as it has read, to leave the core to the run
Show = Callable[[list[str]], None]


class Asked(NamedTuple):
    """The flags of the command."""

    folder: Path
    interval: float  # seconds
    html: Path | None
    once: bool


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = Asked(**vars(_parser().parse_args(arguments)))
    try:
        _check(asked)
        with _shown() as show:
            watch(asked, show)
    except Refusal as error:
        print(f"watch: {shown(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def watch(
    asked: Asked, show: Show, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Shows a record again and again, until it is finished.

    Args:
      asked: the flags.
      show: is called with the lines of each look.
      sleep: waits for a number of seconds.

    Raises:
        Refusal: the folder holds something else, or cannot be read; or there is no
            record and the present state was asked for.
    """
    while True:
        started = time.monotonic()
        found = _look(asked.folder, sleep)
        if found is None and asked.once:
            raise Refusal(f"{asked.folder}: there is no run or sweep yet")
        width, height = shutil.get_terminal_size((88, 40))
        if found is None:
            show([shown(f"{asked.folder}: no run or sweep yet; waiting for it")])
        else:
            encoding = sys.stdout.encoding if sys.stdout else "ascii"
            show(lines(found, width, height, encoding or "ascii"))
            _write(asked, found)
        is_finished = found is not None and found.state == "finished"
        if asked.once or is_finished:
            return
        sleep(max(asked.interval, _SHARE * (time.monotonic() - started)))


def _look(folder: Path, sleep: Callable[[float], None]) -> Look | None:
    """Looks at a record, again if it could not be read: it may be written just now."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(Refusal, OSError):
            return look(folder)
        sleep(0.2)
    with named_disk_errors(folder):
        return look(folder)


def _write(asked: Asked, found: Look) -> None:
    """Writes the page; it is read again until the record is finished."""
    if asked.html is None:
        return
    is_last = asked.once or found.state == "finished"
    text = watch_page(content(found), None if is_last else asked.interval)
    with named_disk_errors(asked.html.parent):
        write_bytes(asked.html, text.encode())


@contextlib.contextmanager
def _shown() -> Iterator[Show]:
    """Shows lines in one place of a terminal; elsewhere each time that they change."""
    if sys.stdout is None or not sys.stdout.isatty():
        last: list[list[str]] = [[]]

        def say(found: list[str]) -> None:
            if found != last[0]:
                terminal.say("\n".join(found))
                last[0] = found

        yield say
        return
    from rich.live import Live
    from rich.text import Text

    with Live(auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda found: live.update(Text("\n".join(found)), refresh=True)


def _check(asked: Asked) -> None:
    if asked.html is not None and not asked.html.parent.is_dir():
        raise Refusal(f"--html={asked.html}: there is no folder {asked.html.parent}")
    if asked.html is not None and asked.html.is_dir():
        raise Refusal(f"--html={asked.html}: is a folder; name a file")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise ValueError
    return value


def _parser() -> Any:
    parser = parsing.parser("watch", __doc__)
    parser.add_argument("folder", type=Path, help="of a run or a sweep")
    help_ = "seconds from one look to the next, from 0.1 to 3600; default 2"
    parser.add_argument("--interval", type=_seconds, default=2.0, help=help_)
    parser.add_argument("--html", type=Path, help="a file for the page")
    once = "show the present state and end"
    parser.add_argument("--once", action="store_true", help=once)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
