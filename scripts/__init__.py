"""Commands, run with `python -m scripts.<name>`."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    if sys.stderr is not None:
        print("interrupted", file=sys.stderr, flush=True)
    os._exit(130)


# Ctrl-C ends a script in one line, also during its imports; see `experiments`. It does
# not import `experiments`, because the user's folder may have one of this name.
_IS_COMMAND = sys.argv[:1] == ["-m"]  # true while python -m looks for the script
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _exit)
