"""Named points at which a test kills the process or simulates a full disk.

    GRADJAX_FAULT=commit:after_rename:3:kill

kills the process when it reaches `commit:after_rename` for the third time. So tests try
every point at which a crash could do harm, one by one, and need not rely on timing.
"""

import errno
import os
import signal
from collections.abc import Callable

from gradjax.errors import Refusal
from gradjax.expressions import lookup, unknown

VARIABLE = "GRADJAX_FAULT"
_FILE = ("before", "mid_write", "before_fsync", "before_rename", "after_rename")
_LINE = ("before_journal", "mid_journal", "before_journal_fsync", "after_journal")
POINTS = (
    "open:before_plan",
    "open:after_plan",
    "open:before_cut",
    "open:after_cut",
    *(f"commit:{step}" for step in _FILE + _LINE),
    *(f"snapshot:{step}" for step in _FILE + _LINE),
    "snapshot:before_prune",
    *(f"{stage}:{step}" for stage in ("event", "plan") for step in _LINE),
)
COMPUTING = ("segment:begun", "call:begun")  # points between two commits
_counts: dict[str, int] = {}  # point -> times it was reached while a fault is set


def reach(point: str) -> None:
    """Marks a point of the program; does nothing unless a fault is set there.

    Raises:
        Refusal: $GRADJAX_FAULT does not have the form `<point>:<n>:<action>`.
    """
    setting = os.environ.get(VARIABLE)
    if not setting:
        return
    wanted, nth, act = _parse(setting)
    if point == wanted:
        _counts[point] = _counts.get(point, 0) + 1
        if _counts[point] == nth:
            act(point)


def forget() -> None:
    """Sets the counts of all points back to zero."""
    _counts.clear()


def _parse(setting: str) -> tuple[str, int, Callable[[str], None]]:
    parts = setting.rsplit(":", 2)
    if len(parts) < 3 or not parts[1].isdecimal() or int(parts[1]) < 1:
        raise Refusal(
            f"${VARIABLE}={setting!r}: expected <point>:<n from 1>:<action>, such as"
            " commit:after_rename:3:kill"
        )
    point, nth, action = parts
    if point not in (known := (*POINTS, *COMPUTING)):
        raise Refusal(f"${VARIABLE}: {unknown(point, known, 'fault point')}")
    return point, int(nth), lookup(action, _ACTIONS, f"action of ${VARIABLE}")


def _send(number: signal.Signals) -> Callable[[str], None]:
    return lambda _: os.kill(os.getpid(), number)


def _raise(point: str) -> None:
    raise RuntimeError(f"fault at {point}")


def _disk_full(point: str) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), point)


_ACTIONS = {
    "kill": _send(signal.SIGKILL),
    "term": _send(signal.SIGTERM),
    "usr1": _send(getattr(signal, "SIGUSR1", signal.SIGTERM)),  # Windows lacks it
    "int": _send(signal.SIGINT),
    "raise": _raise,
    "enospc": _disk_full,
}
