"""Ctrl-C ends the command `gradjax` in one line while jax is imported.

The import takes about one second. This module is the first that `import gradjax`
imports. In every other program it changes nothing; `commands.signals` hears signals
later. For `python -m` the packages `experiments` and `scripts` do the same.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    if sys.stderr is not None:
        print("interrupted", file=sys.stderr, flush=True)
    os._exit(130)


_IS_COMMAND = Path(sys.argv[0] if sys.argv else "").name in ("gradjax", "gradjax.exe")
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _exit)
