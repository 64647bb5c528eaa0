"""All benchmarks in one page, each with few rounds: `scripts.benchmark all`."""

import argparse
import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax

import gradjax
from gradjax.report import terminal
from gradjax.trials import cost
from scripts.baselines import added, gradjax_run
from scripts.baselines.cases import CASES, Case, ours
from scripts.baselines.inputs import INPUTS, Inputs, check_loss
from scripts.baselines.scale import TASKS, Task
from scripts.baselines.scale import run as scaled
from scripts.baselines.streams import run as streams
from scripts.baselines.sweeps import cores
from scripts.baselines.sweeps import run as sweeps
from scripts.baselines.sweeps.cases import Sizes
from scripts.baselines.sweeps.processes import start
from scripts.baselines.table import (
    LABELS,
    Timing,
    about_machine,
    format_interval,
    ratio,
    step_us,
    table,
)

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
_RIVALS = {"keras_fit": "keras", "torch_eager": "torch"}  # what each needs
Measure = Callable[[Case, int, Inputs], list[Timing]]


class Parts(NamedTuple):
    """What is measured; the defaults take about 15 minutes on two cores."""

    single: Sequence[Case] = tuple(
        CASES[name][0] for name in ("mlp", "cnn", "transformer")
    )
    sweep: Sequence[str] = ("digits", "widths")
    sizes: Sizes = Sizes(trials=64)
    diagnostics: Sequence[Case] = ours(
        "gradjax_layer_norms", "gradjax_sharpness", "gradjax_noise_scale"
    )["mlp"]
    stream: Sequence[str] = ("mlp",)
    stream_steps: int = 4_000
    scale: Sequence[Task] = TASKS


def report(num_rounds: int, measure: Measure, parts: Parts | None = None) -> str:
    """Measures all parts, and prints each one as soon as it is measured.

    Args:
      num_rounds: of each part.
      measure: (case, number of rounds, inputs) -> the times of its rivals.
      parts: what is measured.

    Raises:
      Refusal: damaged data, a network that does not learn, or too few cores.
    """
    parts = Parts() if parts is None else parts
    sizes = parts.sizes._replace(rounds=num_rounds)
    # The lane widths first, on the device that JAX finds; all others on the CPU.
    swept = sweeps.report([*parts.sweep], sizes, f"--rounds={num_rounds}")
    os.environ["JAX_PLATFORMS"] = "cpu"
    peak = matrix_peak()
    single, rows = _single(parts.single, num_rounds, measure, peak)
    sections = {
        "Single runs": single,
        "Sweeps": _body(swept),
        "Diagnostics": _diagnostics(parts.diagnostics, num_rounds, measure),
        "Streamed data": _body(streams.report(_stream_flags(parts, num_rounds))),
        "Scale": _body(scaled.report(num_rounds, parts.scale)),
    }
    head = _head(num_rounds, peak, rows)
    terminal.say(head)
    written = [f"## {name}\n\n{text.strip()}" for name, text in sections.items()]
    return "\n\n".join([head.strip(), *written]) + "\n"


def matrix_peak() -> float:
    """Measures the fastest product of float32 matrices on all cores, in FLOP/s."""
    with start("peak", ()) as worker:
        worker.begin()
        return 1e9 * worker.answer()


def installed(case: Case) -> tuple[Case, list[str]]:
    """Returns a case without the rivals that are not installed, and their packages."""
    missing = [
        name
        for rival, name in _RIVALS.items()
        if rival in case.rivals and importlib.util.find_spec(name) is None
    ]
    left = [one for one in case.rivals if _RIVALS.get(one) not in missing]
    return case._replace(rivals=tuple(left)), missing


def step_flops(case: Case, of: Inputs) -> int:
    """Returns the floating-point operations of the products of a step of gradjax."""
    problem = gradjax_run.problem_of(case.settings, of.inputs, of.targets)
    size = gradjax_run.BLOCK_STEPS[case.settings.model]
    program = gradjax.program(
        problem, "adam", num_steps=size, batch_size=case.settings.batch_size
    )
    return cost.step_flops(program)


def _single(
    cases: Sequence[Case], num_rounds: int, measure: Measure, peak: float
) -> tuple[str, list[str]]:
    """Returns the tables of single runs, and the rows of the summary."""
    texts, rows, left_out = [], [], dict[str, None]()
    for case in cases:
        case, missing = installed(case)
        left_out |= dict.fromkeys(missing)
        of, timings = _timed(case, num_rounds, measure)
        texts.append(_deeper(table(case.title, case.num_steps, timings)) + "\n")
        terminal.say(texts[-1])
        rows.append(_row(case, timings, step_flops(case, of) / peak))
    if left_out:
        texts.append(f"Not installed, and so left out: {', '.join(left_out)}.\n")
        terminal.say(texts[-1])
    return "\n".join(texts), rows


def _timed(
    case: Case, num_rounds: int, measure: Measure
) -> tuple[Inputs, list[Timing]]:
    of = INPUTS[case.inputs]()
    timings = measure(case, num_rounds, of)
    for timing in timings:
        check_loss(LABELS[timing.rival], timing.loss, of)
    return of, timings


def _row(case: Case, timings: list[Timing], peak_s: float) -> str:
    """Returns a row of the summary; `peak_s` are the seconds of a step at the peak."""
    us = step_us(timings[0], case.num_steps)
    others = {
        one.rival: format_interval(ratio(timings[0], one), 3) for one in timings[1:]
    }
    cells = (
        case.title.removesuffix(", loss"),
        format_interval(us, 0),
        others.get("bare_scan", ""),
        others.get("torch_eager", ""),
        f"{peak_s / (us.estimate * 1e-6):.3f}",
    )
    return f"| {' | '.join(cells)} |"


def _diagnostics(cases: Sequence[Case], num_rounds: int, measure: Measure) -> str:
    texts = []
    for case in cases:
        of, timings = _timed(case, num_rounds, measure)
        settings = case.title, case.settings, case.num_steps, num_rounds
        texts += [f"{_deeper(one)}\n" for one in added.tables(settings, timings, of)]
        terminal.say("\n".join(texts))
    return "\n".join(texts)


def _stream_flags(parts: Parts, num_rounds: int) -> argparse.Namespace:
    """Returns flags of `scripts.benchmark stream` without those of its memory."""
    parser = argparse.ArgumentParser()
    streams.add_flags(parser)
    words = [f"--model={','.join(parts.stream)}", f"--rounds={num_rounds}"]
    return parser.parse_args([*words, f"--steps={parts.stream_steps}", "--sizes=0"])


def _body(page: str) -> str:
    """Returns a page without its head, one level of headings deeper."""
    return _deeper(page[page.index("\n## ") + 1 :])


def _deeper(text: str) -> str:
    def lines() -> Iterator[str]:
        for line in text.splitlines():
            yield f"#{line}" if line.startswith("## ") else line

    return "\n".join(lines())


def _head(num_rounds: int, peak: float, rows: list[str]) -> str:
    lines = [
        "# All benchmarks",
        "",
        f"`python -m scripts.benchmark all --rounds={num_rounds}`",
        "",
        about_machine(len(cores()), _PACKAGES),
        f"- Device of the lane widths: {_device()}. All else is measured on the CPU.",
        "- Measured peak of products of float32 matrices on all cores:"
        f" {peak / 1e9:,.0f} GFLOP/s.",
        f"- Rounds: {num_rounds}. In a round everyone runs once and alone, in an order",
        "  that rotates. Figures are medians over the rounds with distribution-free",
        "  95 % intervals (under 6 rounds, their range), and ratios are computed round",
        "  by round: under 1, gradjax is faster.",
        "- Each part has fewer rounds and cases than its own page, which the command",
        "  of the part writes.",
        "",
        "| one run of gradjax | µs a step | of bare `lax.scan` | of PyTorch"
        " | of the peak |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
    ]
    return "\n".join(lines)


def _device() -> str:
    return jax.devices()[0].device_kind
