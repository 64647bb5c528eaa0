"""Checks a device and times lanes on it: `python -m scripts.check_device`.

usage: python -m scripts.check_device [--minutes=7] [--out=FILE] [--write]

This command checks a GPU or a TPU in less than eight minutes, and needs no data set. It
checks that a run and a sweep have the same bits when they are repeated, and that their
losses agree with those of the CPU. Then it times lanes of several widths for an MLP, a
CNN and a Transformer. It prints their memory and their share of the measured peak of
matrix products, and says which rule to set as `_WIDTHS` in
gradjax/trials/lane_width.py. The page is printed and written to
runs/results/device-<name>.md; --write writes the committed page of docs/results. On a
CPU the networks and the widths are small. `python -m scripts.calibrate` keeps a rule
for your own sweeps.
"""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gradjax
from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.report import terminal
from gradjax.trials import batches, cost, lane_width, lanes, memory
from scripts import pages
from scripts.device_networks import Case, cases, program_of

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
_WIDTHS = {"cpu": (1, 4), "accelerator": (1, 16, 64, 256, 1024)}
_TOLERANCE = 0.02  # relative, of a loss against the CPU's: products are less precise
_CHECKED_STEPS = 10
_TIMED_S = 1.0  # about, for each width
_HEAD = """\
| network | bytes touched | width | us per trial-step | trial-steps/s | of the peak \
| GB | state to the host and back, s | compile, s |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


class Timing(NamedTuple):
    """One width of one network."""

    width: int
    step_s: float  # of one trial, without the transfer of the state
    transfer_s: float  # of the states of all lanes, to the host and back
    call_bytes: int
    compile_s: float


def losses(case: Case) -> dict[str, list[list[float]]]:
    """Returns the first losses of a run, and of a sweep of four rates in lanes."""
    program = program_of(case, _CHECKED_STEPS)
    run = gradjax.run(program).trace["loss"].values
    made = lanes.lanes(program, 4, num_devices=1)
    rates = [{"learning_rate": rate} for rate in (1e-4, 3e-4, 1e-3, 3e-3)]
    swept = batches.run(made, rates, [0, 1, 2, 3]).trace["loss"].values
    return {"run": [run.tolist()], "sweep": swept.tolist()}


def check_bits(case: str, is_small: bool) -> list[str]:
    """Returns lines on the bits of a case: repeated here, and against the CPU.

    Raises:
        Refusal: the losses differ from those of the CPU by more than the tolerance.
    """
    one, other = (losses(cases(is_small)[case]) for _ in range(2))
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    words = ["-m", "scripts.check_device", f"--losses={case}"]
    words += ["--small"] if is_small else []
    done = subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise Refusal(f"on the CPU: {done.stderr.strip().splitlines()[-1]}")
    cpu, lines = json.loads(done.stdout.splitlines()[-1]), []
    for kind, values in one.items():
        is_same = np.array_equal(values, other[kind])
        here, there = np.asarray(values), np.asarray(cpu[kind])
        distance = float(np.abs(here / there - 1).max())
        bits = "the same bits twice" if is_same else "OTHER BITS the second time"
        lines.append(
            f"- {case}, {kind}: {bits}; from the CPU's losses at most {distance:.1e}"
            f" (relative, {here.shape[1]} steps)"
        )
        if not distance <= _TOLERANCE:
            raise Refusal(f"{lines[-1]}: more than {_TOLERANCE:g}")
    return lines


def time_width(case: Case, width: int, until: float) -> Timing | None:
    """Times one width; None if it does not fit or the time is over."""
    started, program = time.perf_counter(), program_of(case)
    if started > until:
        return None
    made = lanes.lanes(program, width, num_devices=1)
    try:
        ready = made.ready()
        own = lanes.stack(program, [{}] * width, list(range(width)))
        (call,) = ready.calls
        state, _ = call(None, own, 0, 1, False)
        transfer_s = _seconds(lambda: call(state, own, 0, 0, False))
        block_s = max(
            _seconds(lambda: call(state, own, 0, 1, False)) - transfer_s, 1e-5
        )
        count = int(np.clip(_TIMED_S / block_s, 1, made.form.capacity))
        both = [
            (_seconds(lambda: call(state, own, 0, count, False)), transfer_s)
            for _ in range(2)
        ]
    except (Refusal, jax.errors.JaxRuntimeError):  # too large for this device
        return None
    run_s = min(one - other for one, other in both)
    steps = count * program.plan.block_steps * width
    step_s = max(run_s, 1e-9) / steps
    return Timing(width, step_s, transfer_s, ready.bytes, ready.compile_s)


def peak_flops() -> float:
    """Measures the fastest product of two float32 matrices, in FLOP/s."""
    is_cpu = jax.default_backend() == "cpu"
    best = 0.0
    for size in (1024,) if is_cpu else (4096, 8192):
        x = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
        product = jax.jit(lambda x: x @ x)
        jax.block_until_ready(product(x))
        times = [
            _seconds(lambda x=x, f=product: jax.block_until_ready(f(x)))
            for _ in range(10)
        ]
        best = max(best, 2 * size**3 / min(times))
    return best


def report(minutes: float) -> tuple[str, str]:
    """Checks and times the device; returns its name and the page.

    Raises:
        Refusal: losses that differ from those of the CPU.
    """
    until = time.perf_counter() + 60 * minutes
    is_cpu = jax.default_backend() == "cpu"
    device, peak = jax.devices()[0], peak_flops()
    known, lines = cases(is_cpu), _about(device, peak)
    _say("\n".join(lines))
    for case in known:
        lines += check_bits(case, is_cpu)
        _say("\n".join(lines[-2:]))
    lines += ["", _HEAD]
    _say(_HEAD)
    found: dict[str, list[Timing]] = {case: [] for case in known}
    for width in _WIDTHS["cpu" if is_cpu else "accelerator"]:
        for name, case in known.items():
            timing = time_width(case, width, until)
            if timing is not None:
                found[name].append(timing)
            lines.append(_row(case, width, timing, peak))
            _say(lines[-1])
    lines += ["", _rule(known, found), ""]
    _say("\n".join(lines[-2:]))
    return device.device_kind, "\n".join(lines)


def _about(device: Any, peak: float) -> list[str]:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    free = memory.available_bytes(device)
    said = "unknown" if free is None else f"{free / 1e9:.1f} GB"
    return [
        f"# Device check: {device.device_kind}",
        "",
        "`python -m scripts.check_device`",
        "",
        f"- {jax.device_count()} x {device.device_kind} ({device.platform}), {said} of"
        f" memory free; {os.cpu_count()} cores of the host ({platform.machine()}).",
        f"- Python {platform.python_version()}, {', '.join(versions)}.",
        f"- Measured peak of float32 matrix products: {peak / 1e12:.2f} TFLOP/s.",
        "- Random data, Adam, float32 at JAX's default precision. One device. A step of"
        " W lanes counts as W trial-steps. Products are counted as three times those of"
        " the loss.",
        "- Memory is what the compiler says that a call takes.",
        "",
    ]


def _row(case: Case, width: int, timing: Timing | None, peak: float) -> str:
    program = program_of(case)
    touched = f"{cost.touched_bytes(program):,}"
    if timing is None:
        return f"| {case.title} | {touched} | {width} | not measured | | | | | |"
    share = cost.step_flops(program) / timing.step_s / peak
    cells = (
        case.title,
        touched,
        f"{width}",
        f"{timing.step_s * 1e6:,.2f}",
        f"{1 / timing.step_s:,.0f}",
        f"{share:.3f}",
        f"{timing.call_bytes / 1e9:.2f}",
        f"{timing.transfer_s:.3f}",
        f"{timing.compile_s:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def _rule(known: dict[str, Case], found: dict[str, list[Timing]]) -> str:
    """Returns the fastest width of each network, and the rule to set."""
    parts, rule = [], []
    for name, timings in found.items():
        if not timings:
            continue
        touched = cost.touched_bytes(program_of(known[name]))
        best = min(timings, key=lambda one: one.step_s)
        parts.append(f"{name}, {touched:,} bytes: {best.width}")
        rule.append((touched, best.width))
    if not rule:
        return "No width was timed: the time was over. --minutes allows more."
    rule.sort()
    said = ", ".join(f"({size:,}, {width})" for size, width in rule)
    now = lane_width.default_widths()
    fastest = "; ".join(parts)
    return (
        f"Fastest width by the bytes that a step of a trial touches: {fastest}."
        f" As a rule for `_WIDTHS`: {said}. It is {now} now."
    )


def _seconds(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _say(line: str) -> None:
    terminal.say(line)


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flags = {"--minutes": "7", "--out": "", "--losses": ""}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name in flags and value:
            flags[name] = value
        elif argument == "--help":
            _say((__doc__ or "").strip())
            return 0
        elif argument not in ("--small", "--write"):
            print(f"check_device: {argument!r} is no flag", file=sys.stderr)
            return 2
    try:
        minutes = float(flags["--minutes"])
        if not 0 < minutes <= 1_000:
            raise Refusal(f"--minutes={minutes}: must be above 0, and at most 1000")
        if flags["--losses"]:
            known = cases("--small" in arguments)
            case = expressions.lookup(flags["--losses"], known, "network")
            _say(json.dumps(losses(case)))
            return 0
        name, page = report(minutes)
        short = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        given = Path(flags["--out"]) if flags["--out"] else None
        out = pages.place(f"device-{short}.md", given, "--write" in arguments)
        with named_disk_errors(out.parent):
            out.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(out, page.encode())
        _say(f"{out} keeps this page")
    except (Refusal, ValueError) as error:
        print(f"check_device: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
