"""The two exceptions of gradjax: `Refusal` for bad input, `Interrupted` for a signal.

The message of each is one line. This module is the first that `import gradjax` imports,
so that Ctrl-C ends the command `gradjax` in one line while jax is imported, which takes
about one second. In every other program it leaves Ctrl-C alone; for `python -m` the
packages `experiments` and `scripts` do the same. Later `commands.signals` hears it.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn


class Refusal(ValueError):
    """Reports bad input in one line: the value, the bound and the fix.

    It is raised where the input enters. The command line prints it without a traceback
    and exits with code 2; in a notebook or a script it is an ordinary `ValueError`.
    """

    def __init__(self, message: str) -> None:
        """Stores the message; line breaks, as numpy prints them, become spaces."""
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


class Interrupted(BaseException):
    """Reports that a signal stopped the process after the current work was stored.

    Like `KeyboardInterrupt` it is not an `Exception`, so that `except Exception` does
    not catch it. The command line prints it without a traceback and exits with the code
    of the signal.
    """

    def __init__(self, number: int, after: str) -> None:
        """Stores the signal's number; `after` names the work that was finished last."""
        super().__init__(f"stopped after {after}; the same command goes on")
        self.number = number


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    if sys.stderr is not None:
        print("interrupted", file=sys.stderr, flush=True)
    os._exit(130)


_IS_COMMAND = Path(sys.argv[0] if sys.argv else "").name in ("gradjax", "gradjax.exe")
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _exit)
