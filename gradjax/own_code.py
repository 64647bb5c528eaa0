"""The user's own source files, and the line of them in which an exception was raised.

A file is the user's own if it is neither a part of gradjax nor an installed package nor
a part of the standard library.
"""

import contextlib
import functools
import linecache
import site
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path

import jax

from gradjax.errors import Refusal

_PACKAGE = Path(__file__).resolve().parent
# Python needs the value of an array: for a branch, as an index, as a number of numpy.
NEEDS_A_VALUE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.TracerArrayConversionError,
)


@contextlib.contextmanager
def named_errors(what: str, hint: str = "") -> Iterator[None]:
    """Turns every exception inside the `with` block into a refusal.

    Args:
      what: the beginning of the line, such as "the loss fails".
      hint: what else helps if Python needs the value of an array.

    Raises:
        Refusal: see `refusal`; its cause is the exception.
    """
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        raise refusal(what, error, hint) from error


def refusal(what: str, error: BaseException, hint: str = "") -> Refusal:
    """Makes the refusal for an exception that code of the user has raised.

    Args:
      what: the beginning of the line, such as "the optimizer cannot take a step".
      error: the exception.
      hint: what else helps if Python needs the value of an array.

    Returns:
      A Refusal that gives the type and the message of the exception, and the innermost
      line of the user's own files. If `error` is a Refusal, its message is kept.
    """
    if isinstance(error, Refusal):
        return Refusal(f"{what}: {error}{own_line(error)}")
    if isinstance(error, NEEDS_A_VALUE):
        reason = (
            f"{type(error).__name__}: Python needs the value of a traced array, which"
            f" is not known here; use jnp.where or jax.lax.cond{hint}"
        )
    else:
        message = str(error).strip().partition("\n")[0]
        reason = ": ".join(filter(None, [type(error).__name__, message]))
    return Refusal(f"{what}: {' '.join(reason.split())}{own_line(error)}")


def own_line(error: BaseException) -> str:
    """Returns the innermost line of the user's own files in a traceback.

    Returns:
      Text such as ` (mine.py, line 14: return state["velocity"])`, or "" if no file of
      the user has a part in the exception.
    """
    lines = [
        (frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if _is_own_name(frame.f_code.co_filename, frame.f_globals.get("__name__"))
    ]
    if not lines:
        return ""
    name, number = lines[-1]
    source = " ".join(linecache.getline(name, number).split())
    return f" ({_shown(name)}, line {number}{f': {source}' if source else ''})"


def is_inside(path: Path) -> bool:
    """Returns whether a path is in gradjax or where packages are installed."""
    return any(path.resolve().is_relative_to(one) for one in (_PACKAGE, *installed()))


@functools.cache
def installed() -> tuple[Path, ...]:
    """Returns the folders of the standard library and of installed packages."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    known = [sysconfig.get_path(name) for name in names]
    known += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({Path(one).resolve() for one in known if one})


def _is_own_name(name: str, module: str | None) -> bool:
    """Returns whether the file of a frame is the user's own.

    A frame without a file, as in a notebook, is the user's if its module is `__main__`.
    """
    if name.startswith("<"):
        return module == "__main__"
    return not is_inside(Path(name))


def _shown(name: str) -> str:
    """Returns the path of a file, relative to the current folder if it is in there."""
    path = Path(name)
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return name
