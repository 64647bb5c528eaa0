"""One file per experiment, headed by its claim, cost, expected figure and command."""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    if sys.stderr is not None:
        print("interrupted", file=sys.stderr, flush=True)
    os._exit(130)


# A second is spent on importing jax, and Ctrl-C in it would be dozens of lines: some
# libraries even turn it into an ImportError, or print it and go on. This file is run
# before them. `signals.usual` gives Ctrl-C its usual meaning back.
_IS_COMMAND = sys.argv[:1] == ["-m"]  # python -m, still looking for the experiment
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)
