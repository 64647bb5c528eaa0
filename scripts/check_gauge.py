"""Checks the stability gauge on networks that full-batch training brought to the edge.

usage: python -m scripts.check_gauge [--measurements=20] [--num_products=50]
           [--optimizers=gd,momentum,nesterov,rmsprop,adam,frozen_adam,soap]
           [--out=PAGE | --write]

The problem is that of `python -m experiments.edge_of_stability`: the bundled digits, an
MLP of tanh units and the mean squared error, where every step takes all examples.
Training itself brings the sharpness to the edge of stability and holds it there. In the
last third of the steps the gauge measures the headroom, which is the factor on the
learning rate at which the leftmost eigenvalue of the step's Jacobian is -1, and which
is 1 at the edge. For gradient descent, momentum, Nesterov's momentum and RMSprop the
median of the measurements must lie from 0.95 to 1.05; if one does not, the exit code is
1. Those of Adam and SOAP are shown without bounds; `frozen_adam` is Adam with the
second moment held in the gauge.

RMSprop has the decay 0.999. With a shorter memory the second moment follows the
oscillation at the edge, and the rule goes on where a frozen moment would not, so the
headroom is below 1: 0.9 with the decay 0.99, and 0.75 with the usual 0.9.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import gradjax
from experiments.edge_of_stability import tanh_digits
from gradjax.diagnostics.registry import read as read_diagnostics
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.report import terminal
from scripts import pages, parsing
from scripts.parsing import count

_WIDTH, _DEPTH = 48, 3  # of the network, as in the lesson
_BOUNDS = (0.95, 1.05)
_PAGE = "stability-gauge.md"
_FROZEN = ", frozen=nu"
_REASONS = """
The headroom of Adam is near 0 for this reason: where the second moment of an element is
nearly 0, the update is nearly the sign of its gradient, and its derivative in the
gradient is huge. These eigenvalues say nothing about the stability of the run, and with
the second moment held they are not there. The bases of SOAP are decompositions of
matrices with eigenvalues that are nearly equal, and their derivatives are larger still.
"""


class Rule(NamedTuple):
    """An optimizer, and the runs in which it is measured."""

    name: str
    optimizer: str  # an expression
    rates: tuple[float, ...]
    num_steps: int  # after which all rates are at the edge
    options: str = ""  # of the gauge
    is_bounded: bool = True


class Row(NamedTuple):
    """The measurements of the gauge in one run."""

    rule: Rule
    rate: float
    headroom: np.ndarray  # f[measurements]
    eigenvalue: np.ndarray  # f[measurements], the leftmost one, its real part
    imaginary: np.ndarray  # f[measurements], its imaginary part

    @property
    def median(self) -> float:
        """Returns the median of the headroom."""
        return float(np.median(self.headroom))

    @property
    def is_right(self) -> bool | None:
        """Returns whether the median is in its bounds; None: it has none."""
        if not self.rule.is_bounded:
            return None
        return _BOUNDS[0] <= self.median <= _BOUNDS[1]


RULES = {
    one.name: one
    for one in (
        Rule("gd", "sgd", (0.2, 0.25, 0.35), 2_000),
        Rule("momentum", "sgd(momentum=0.9)", (0.42, 0.45, 0.48), 1_500),
        Rule("nesterov", "sgd(momentum=0.9, nesterov=True)", (0.12, 0.15, 0.18), 1_000),
        Rule("rmsprop", "rmsprop(decay=0.999)", (5e-4, 1e-3, 2e-3), 1_500),
        Rule("adam", "adam", (1e-3, 2e-3, 3e-3), 2_000, is_bounded=False),
        Rule("frozen_adam", "adam", (1e-3, 2e-3, 3e-3), 2_000, _FROZEN, False),
        Rule("soap", "soap", (1e-3, 2e-3, 3e-3), 600, is_bounded=False),
    )
}


def measure(rule: Rule, num_measurements: int, num_products: int) -> list[Row]:
    """Trains with each rate of a rule, and measures in the last third of the steps.

    Args:
      rule: the optimizer.
      num_measurements: of each run.
      num_products: of each Arnoldi iteration, see `stability_gauge`.
    """
    every = max(1, rule.num_steps // 3 // num_measurements)
    options = f"every={every}, num_products={num_products}{rule.options}"
    (gauge,) = read_diagnostics(f"stability_gauge({options})", rule.num_steps)
    start = rule.num_steps - every * num_measurements
    trials = gradjax.sweep(
        tanh_digits(_WIDTH, _DEPTH),
        rule.optimizer,
        {"learning_rate": rule.rates},
        num_steps=rule.num_steps,
        lane_width=len(rule.rates),
        num_devices=1,
        diagnostics=[gauge._replace(window=(start, rule.num_steps))],
    )
    names = (
        "stability_gauge",
        "stability_gauge.eigenvalue",
        "stability_gauge.imaginary",
    )
    curves = [np.asarray(trials.trace[name].values) for name in names]
    for rate, status in zip(rule.rates, trials.status, strict=True):
        if status != "finished":
            raise Refusal(f"{rule.optimizer} at the rate {rate:g}: {status}")
    return [
        Row(rule, rate, *(curve[k] for curve in curves))
        for k, rate in enumerate(rule.rates)
    ]


def table(rows: Sequence[Row], seconds: float, command: str) -> str:
    """Returns the page: a row for each run, in Markdown."""
    low, high = _BOUNDS
    lines = [
        "# The stability gauge at the edge of stability",
        "",
        f"`{command}`, {seconds:.0f} s.",
        "",
        f"Digits, {_DEPTH} x {_WIDTH} tanh units, mean squared error, full batch,",
        f"{len(rows[0].headroom)} measurements in the last third of the steps. The",
        f"headroom is 1 at the edge; bounds for its median: {low} to {high}. The",
        "eigenvalue is the leftmost one of the Jacobian in the measurement whose",
        "headroom is nearest to the median.",
        "",
        "| optimizer | rate | median headroom | range | eigenvalue | in the bounds |",
        "|---|---:|---:|---:|---:|---|",
    ]
    words = {True: "yes", False: "no", None: "none"}
    for row in rows:
        nearest = int(np.abs(row.headroom - row.median).argmin())
        value = f"{row.eigenvalue[nearest]:.5g}"
        if (imaginary := float(row.imaginary[nearest])) > 0:
            value += f" ± {imaginary:.3f}i"
        held = ", second moment held" if row.rule.options == _FROZEN else ""
        lines.append(
            f"| `{row.rule.optimizer}`{held} | {row.rate:g} | {row.median:.3f} |"
            f" {row.headroom.min():.3f} to {row.headroom.max():.3f} | {value} |"
            f" {words[row.is_right]} |"
        )
    reasons = [_REASONS] if any(row.is_right is None for row in rows) else [""]
    return "\n".join([*lines, *reasons])


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    asked = _parser().parse_args(arguments)
    try:
        names = asked.optimizers.split(",")
        if unknown := [name for name in names if name not in RULES]:
            expected = f"expected some of {','.join(RULES)}"
            raise Refusal(f"--optimizers: unknown {unknown[0]!r}; {expected}")
        out = pages.place(_PAGE, asked.out, asked.write)
        begun, rows = time.monotonic(), []
        for name in names:
            rows += measure(RULES[name], asked.measurements, asked.num_products)
            medians = ", ".join(
                f"{row.median:.3f}" for row in rows[-len(RULES[name].rates) :]
            )
            terminal.say(f"{name}: {medians}, {time.monotonic() - begun:.0f} s")
        text = table(rows, time.monotonic() - begun, parsing.command("check_gauge"))
        terminal.say(text)
        with named_disk_errors(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(out, text.encode())
    except Refusal as error:
        print(f"check_gauge: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    terminal.say(f"written to {out}")
    return 1 if any(row.is_right is False for row in rows) else 0


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("check_gauge", __doc__)
    parser.add_argument("--optimizers", default=",".join(RULES))
    parser.add_argument("--measurements", type=count(1, 100), default=20)
    parser.add_argument("--num_products", type=count(2, 200), default=50)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--write", action="store_true", help=pages.HELP)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
