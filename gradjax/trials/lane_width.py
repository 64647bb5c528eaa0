"""Decides how many trials are mapped together, and how many advance together."""

import jax

from gradjax.trials import cores, decompositions
from gradjax.trials.cost import state_bytes, touched_bytes
from gradjax.trials.overhead import memory_bytes
from gradjax.types import Program

Widths = tuple[tuple[int | None, int], ...]
# (the largest number of bytes that a step of a trial touches, lane width), in rising
# order; None: any number of bytes. Mapping saves the overhead of each operation, as
# long as the lanes fit into the cache. Measured on 2 CPU cores for networks with Adam,
# in us per step of a trial:
#
#     touched   1 lane    2    4   16   64
#      74 kB       22         12   10    7   digits, 32 hidden units
#     197 kB       39         28   21   25   digits, 128
#     1.6 MB      165  151  187  274  289    MNIST, 128
#     2.9 MB      552  561                   MNIST, 256
#     5.4 MB    1,158 1,414 1,551            MNIST, 512
#     160 MB   86,000 107,000 105,000        MNIST, convolutions, batch 128
_WIDTHS: dict[str, Widths] = {
    "cpu": ((100_000, 64), (500_000, 16), (2_000_000, 2), (None, 1)),
    # Measured on one H200, in us per step of a trial with 1, 16, 64 and 256 lanes: an
    # MLP of 128 units on MNIST 40, 3.2, 1.8, 1.2; the CNN 229, 173, 159, 156; a
    # Transformer of 3 x 128 1,273, 361, 310, 291. The states of 256 lanes of this
    # Transformer take 2.6 s to the host and back.
    "accelerator": ((2_000_000, 256), (None, 64)),
}
_MAX_COHORT_BYTES = 2**31  # of states, which are on the host between two segments
_COHORT = 64  # trials at least; a segment of a cohort then takes seconds


def default_widths() -> Widths:
    """Returns the measured rule for the current device."""
    return _WIDTHS["cpu" if jax.default_backend() == "cpu" else "accelerator"]


def default_width(program: Program, widths: Widths | None = None) -> int:
    """Returns the lane width that the rule gives for a program.

    It is 1 for a program that may not be mapped, see `decompositions`.
    """
    if decompositions.name_of(program) is not None:
        return 1
    size = touched_bytes(program)
    return next(
        width
        for most_bytes, width in widths or default_widths()
        if most_bytes is None or size <= most_bytes
    )


def cap(widths: Widths, num_trials: int, num_devices: int | None) -> Widths:
    """Limits each lane width to the number of trials per device, rounded up.

    Otherwise one call could compute all trials while the other devices are idle.

    Args:
      widths: the rule: pairs (largest number of bytes, lane width).
      num_trials: the number of trials.
      num_devices: the number of devices; None: all of them.
    """
    used = cores.num_devices() if num_devices is None else num_devices
    most = max(1, -(-num_trials // used))
    return tuple((size, min(width, most)) for size, width in widths)


def cohort_size(program: Program, width: int, num_seeds: int = 1) -> int:
    """Returns the number of trials of a cohort, which advance together.

    It depends only on the program, the width and the number of seeds, so that a resumed
    sweep forms the same cohorts. The states of a cohort and the memories of its
    diagnostics take at most 2 GiB, unless one call alone takes more, and the seeds of
    one setting are in the same cohort if they fit into one.

    Args:
      program: the program of the trials.
      width: the lane width.
      num_seeds: the number of trials of one setting, which follow one another.
    """
    size_bytes = state_bytes(program) + memory_bytes(program)
    most = max(width, _MAX_COHORT_BYTES // max(1, size_bytes))
    size = min(max(_COHORT, 4 * width), most // width * width)
    return max(size // num_seeds * num_seeds, min(num_seeds, size))
