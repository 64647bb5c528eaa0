"""Decides how many trials are mapped together, and how many advance together.

The lane width is a rule of the bytes that a step of a trial touches. The rule is
measured: that of this module, or that of the user's machine, which `python -m
scripts.calibrate` measures and keeps. It is limited by the number of trials and by the
memory of the device. The plan of a record holds the rule that was used.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from gradjax.counts import as_whole
from gradjax.errors import Refusal
from gradjax.files import cache_folder
from gradjax.trials import cores, cost, decompositions, memory
from gradjax.trials.cost import state_bytes, touched_bytes
from gradjax.trials.overhead import call_bytes, memory_bytes
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
    """Returns the measured rule for the current device.

    It is the one that was measured on this kind of device, if there is one.

    Raises:
        Refusal: the file of the measured rules is damaged.
    """
    usual = _WIDTHS["cpu" if cores.is_cpu() else "accelerator"]
    return kept_widths().get(device_name(), usual)


def device_name() -> str:
    """Returns the kind of the device: the name of an accelerator, or of a CPU."""
    return cores.cpu()["cpu"] if cores.is_cpu() else jax.devices()[0].device_kind


def kept_path() -> Path:
    """Returns the file of the rules that were measured for this user."""
    return cache_folder() / "lane_widths.json"


def kept_widths() -> dict[str, Widths]:
    """Returns kind of device -> the rule that was measured on it.

    Raises:
        Refusal: the file is damaged.
    """
    path = kept_path()
    try:
        listed = json.loads(path.read_text())
        rules = {name: tuple(map(tuple, rule)) for name, rule in listed.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        rules = {"": ()}
    if not all(map(_is_rule, rules.values())):
        raise Refusal(
            f"{path} is damaged: remove it, or measure again with python -m"
            " scripts.calibrate"
        )
    return rules


def _is_rule(rule: Any) -> bool:
    """Returns whether these are pairs (bytes, width) in rising order, the last None."""
    if not rule or any(len(one) != 2 for one in rule) or rule[-1][0] is not None:
        return False
    sizes = [as_whole(size) or 0 for size, _ in rule[:-1]]
    is_rising = all(a < b for a, b in itertools.pairwise([0, *sizes]))
    return is_rising and all((as_whole(width) or 0) >= 1 for _, width in rule)


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


def rule_for(
    programs: Sequence[Program], num_trials: int, num_devices: int | None
) -> Widths:
    """Returns the rule for some programs, limited by their trials and by the memory.

    Where a call does not fit into the free memory of the device, its width is halved
    until it does, before anything is compiled, for all programs of this size or above.

    Args:
      programs: of the trials.
      num_trials: the number of trials of one program, at most.
      num_devices: the number of devices; None: all of them.

    Raises:
        Refusal: what `default_widths` refuses.
    """
    rule = cap(default_widths(), num_trials, num_devices)
    available = memory.available_bytes(cores.devices(1)[0])
    if available is None:
        return rule
    for program in programs:
        width = usual = default_width(program, rule)
        while width > 1 and not _fits(program, width, available):
            width //= 2
        if width < usual:
            rule = _limited(rule, touched_bytes(program), width)
    return rule


def _fits(program: Program, width: int, available: int) -> bool:
    """Returns whether a call surely fits; a step is traced only where it might not.

    For MLPs, CNNs and Transformers the estimate was 0.6 to 1.3 times what the compiler
    of a CPU needs, so twice the estimate must fit. A step works in at most a few times
    the bytes that it touches, unless it has a loop, which keeps values of every turn.
    """
    most = 8 * width * touched_bytes(program) + cost.data_bytes(program)
    is_plain = not program.plan.diagnostics and not cost.has_loop(program)
    if is_plain and most <= available:
        return True
    return 2 * call_bytes(program, width) <= available


def _limited(rule: Widths, size: int, most: int) -> Widths:
    """Limits the width of steps that touch at least `size` bytes."""
    below = [one for one in rule if one[0] is not None and one[0] < size]
    above = [(end, min(width, most)) for end, width in rule[len(below) :]]
    return (*below, (size - 1, rule[len(below)][1]), *above)


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
