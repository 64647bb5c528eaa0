"""The memory allocator of the process of a command."""

import ctypes
import os
import sys

_M_ARENA_MAX = -8  # of mallopt(3) in glibc


def use_one_arena() -> None:
    """Lets all threads allocate from one arena, where the C library is glibc.

    By default each thread has its own arena, which keeps much of what has been freed. A
    streamed run allocates and frees the examples of each segment in several threads,
    and took 140 MB more with these arenas. A thread that has begun keeps its arena, so
    call this before JAX starts. A number in MALLOC_ARENA_MAX is respected.
    """
    if sys.platform != "linux" or "MALLOC_ARENA_MAX" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another library has none
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
