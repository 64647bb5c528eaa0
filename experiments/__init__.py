"""One file per experiment; its docstring states its claim, its cost and its command."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    if sys.stderr is not None:
        print("interrupted", file=sys.stderr, flush=True)
    os._exit(130)


# The import of jax takes about one second. Without this handler, Ctrl-C during the
# import would print dozens of lines; some libraries turn it into an ImportError, or
# print it and continue. This file runs before these imports. `signals.usual` restores
# the usual handler.
_IS_COMMAND = sys.argv[:1] == ["-m"]  # true while python -m looks for the experiment
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _exit)
