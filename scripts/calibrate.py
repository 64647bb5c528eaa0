"""Measures which lane widths are fastest on this machine, and keeps the rule.

usage: python -m scripts.calibrate [--minutes=8] [--show] [--forget]

A sweep maps several trials together in one call of a device, the lanes. How many are
best depends on the device: lanes share the overhead of each operation, until they no
longer fit into the cache of a CPU, or fill a GPU. gradjax has a rule for CPUs and one
for accelerators. This command times lanes of several widths for a few networks with
Adam on random data, and takes for each network the smallest width within 10 % of the
fastest one, because fewer lanes need less memory. The rule is kept for this user and
this kind of device in `$XDG_CACHE_HOME/gradjax/lane_widths.json`, or below `~/.cache`,
and later sweeps use it. The record of a sweep holds its rule, so a sweep that has begun
goes on with its own.

--show prints the rule that is used now; --forget removes the kept one. Other programs
should not run at the same time, because they would be measured, too.
"""

import argparse
import sys
import time

import jax

from gradjax.commands import compilation_cache, signals
from gradjax.commands.main import INTERRUPTED, REFUSED, complain
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_json
from gradjax.report import terminal
from gradjax.trials import cores, cost, lane_width
from gradjax.trials.lane_width import Widths
from scripts import check_device, device_networks, parsing
from scripts.check_device import Timing
from scripts.device_networks import Case

_WIDTHS = {"cpu": (1, 2, 4, 16, 64), "accelerator": (1, 4, 16, 64, 256, 1024)}
_SLACK = 1.1  # of the time of the fastest width
_HEAD = "| network | bytes touched | width | us per trial-step |"


def rule_of(found: dict[int, list[Timing]]) -> Widths:
    """Returns the rule of some timings.

    Args:
      found: bytes that a step touches -> the timings of its widths.

    Returns:
      For each network the smallest width within 10 % of the fastest one, and never more
      than for a smaller network. Above the largest network its width is used.

    Raises:
        Refusal: nothing was timed, because nothing fits into memory.
    """
    widths: dict[int, int] = {}
    most = sys.maxsize
    for size, timings in sorted(found.items()):
        if timings:
            fastest = min(one.step_s for one in timings)
            near = [one for one in timings if one.step_s <= _SLACK * fastest]
            most = widths[size] = min(most, min(one.width for one in near))
    if not widths:
        raise Refusal("no network fits into the memory of this device")
    *below, last = widths.items()
    return (*below, (None, last[1]))


def measure(minutes: float) -> Widths:
    """Times the widths of the networks of this kind of device, and returns the rule.

    Raises:
        Refusal: the time was over, or nothing fits into memory.
    """
    until = time.perf_counter() + 60 * minutes
    kind = "cpu" if cores.is_cpu() else "accelerator"
    known = device_networks.calibration_cases(kind == "cpu")
    terminal.say(f"{_HEAD}\n|---|---:|---:|---:|")
    found: dict[int, list[Timing]] = {}
    for case in known:
        size = cost.touched_bytes(device_networks.program_of(case))
        found[size] = []
        for width in _WIDTHS[kind]:
            if time.perf_counter() > until:
                raise Refusal(
                    f"not all widths were timed in {minutes:g} minutes, so no rule is"
                    " kept: --minutes allows more"
                )
            timing = check_device.time_width(case, width, until)
            if timing is not None:
                found[size].append(timing)
            terminal.say(_row(case, size, width, timing))
        jax.clear_caches()
    return rule_of(found)


def keep(rule: Widths) -> None:
    """Keeps a rule for this kind of device, beside those of other kinds."""
    _write(lane_width.kept_widths() | {lane_width.device_name(): rule})


def forget() -> bool:
    """Removes the rule of this kind of device; returns whether there was one."""
    rules = lane_width.kept_widths()
    if rules.pop(lane_width.device_name(), None) is None:
        return False
    _write(rules)
    return True


def _write(rules: dict[str, Widths]) -> None:
    path = lane_width.kept_path()
    with named_disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, rules)


def _row(case: Case, size: int, width: int, timing: Timing | None) -> str:
    said = "not measured" if timing is None else f"{timing.step_s * 1e6:,.2f}"
    return f"| {case.title} | {size:,} | {width} | {said} |"


def _said(rule: Widths) -> str:
    """Returns a rule in words."""
    parts = [
        f"{width} lanes" + ("" if size is None else f" up to {size:,} bytes")
        for size, width in rule
    ]
    return ", ".join(parts) + (" above" if len(parts) > 1 else "")


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("calibrate", __doc__)
    parser.add_argument("--minutes", type=parsing.positive, default=8.0)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--forget", action="store_true")
    return parser


def _run(flags: argparse.Namespace) -> None:
    name = lane_width.device_name()
    if flags.forget:
        terminal.say("the kept rule is removed" if forget() else "no rule is kept")
    elif not flags.show:
        compilation_cache.keep(complain)
        keep(measure(flags.minutes))
        terminal.say(f"{lane_width.kept_path()} keeps the rule")
    is_kept = name in lane_width.kept_widths()
    whose = "measured here" if is_kept else "the rule of gradjax"
    terminal.say(f"{name}: {_said(lane_width.default_widths())} ({whose})")


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flags = _parser().parse_args(arguments)
    signals.usual()
    try:
        _run(flags)
    except Refusal as error:
        complain(f"calibrate: {error}")
        return REFUSED
    except KeyboardInterrupt:
        complain("interrupted; no rule is kept")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
