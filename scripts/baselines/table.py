"""The measured times of the rivals, as Markdown."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.analysis.statistics import Interval, median_interval
from scripts.baselines import LEARNING_RATE
from scripts.baselines.worker import NUM_TRIED

LABELS = {
    "gradjax_run": "gradjax",
    "gradjax_bfloat16": "gradjax, `--precision=bfloat16`",
    "gradjax_layer_norms": "`layer_norms(every=10)`",
    "gradjax_noise_scale": "`noise_scale(every=50)`",
    "gradjax_sharpness": "`sharpness(every=20, num_products=6)`",
    "bare_scan": "the same gradient and update, bare `lax.scan`",
    "flax_loop": "flax, loop over a jitted step",
    "keras_fit": "Keras on JAX, `fit`",
    "torch_eager": "PyTorch, eager",
}
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")
_RIVALS = ("keras", "torch")
_PAGES = {  # title, types of numbers, further packages
    "single": ("One training run: gradjax and its rivals", "float32", _RIVALS),
    "diagnostics": ("One training run with and without diagnostics", "float32", ()),
    "precision": (
        "One training run: float32 and bfloat16",
        "parameters and losses in float32, the network in float32 or in bfloat16",
        (),
    ),
}
_HEAD = """\
| | threads | µs a step | gradjax / it | first call, s | loss |
|---|---:|---:|---:|---:|---:|"""


class Timing(NamedTuple):
    """The times of one rival over the rounds of one case."""

    rival: str
    num_threads: int
    first_s: float
    run_s: np.ndarray  # f64[rounds]
    loss: float  # of the last round


def about_machine(num_cores: int, packages: Sequence[str] = _PACKAGES) -> str:
    """Returns the lines on the machine and the versions of a page."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return (
        f"- Machine: {num_cores} cores ({platform.machine()}).\n"
        f"- Python {platform.python_version()}, {', '.join(versions)}."
    )


def header(flags: str, num_rounds: int, inputs: list[str], what: str = "single") -> str:
    """Returns the head of the page: all that the figures depend on except the code.

    Args:
      flags: of the command.
      num_rounds: the number of timed rounds.
      inputs: what the data are.
      what: "single", "precision" or "diagnostics", the first word of the command.
    """
    title, numbers, rivals = _PAGES[what]
    packages = (*_PACKAGES, *rivals)
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return f"""\
# {title}

`python -m scripts.benchmark {what} {flags}`

- Data: {", ".join(inputs)}.
- Adam, learning rate {LEARNING_RATE}; {numbers}.
- Machine: {os.cpu_count()} cores ({platform.machine()}), no accelerator.
- Python {platform.python_version()}, {", ".join(versions)}.
- Rounds: {num_rounds}, after one that is not counted. In a round every rival trains
  the same number of steps, in a process of its own while the others wait; the order
  rotates.
- Figures: medians over the rounds with distribution-free 95 % intervals (under 6
  rounds, their range). "gradjax / it" is computed round by round: under 1, gradjax is
  faster.
- Threads of one operation: for gradjax the number that a command takes by its rule,
  for each rival 1 or one per core, whichever was faster in {NUM_TRIED} rounds before.
- First call: building and compiling, for the rivals with their first step; without
  imports, data and compilation cache. Loss: on the training data in the last round.
"""


def rotate(items: list, by: int) -> list:
    """Returns the items from index `by` on, then those before it."""
    by %= len(items)
    return items[by:] + items[:by]


def step_us(timing: Timing, num_steps: int) -> Interval:
    """Returns the microseconds per step: the median over the rounds."""
    return median_interval(timing.run_s / num_steps * 1e6)


def ratio(ours: Timing, theirs: Timing) -> Interval:
    """Returns our time divided by theirs in the same round: the median over rounds.

    Rounds are pairs, so a slow minute of the machine slows both and cancels.
    """
    return median_interval(ours.run_s / theirs.run_s)


def table(title: str, num_steps: int, timings: list[Timing]) -> str:
    """Returns the table of one case, which compares the first timing, of gradjax."""
    rows = [
        _row(timing, num_steps, None if timing is timings[0] else timings[0])
        for timing in timings
    ]
    caption = f"{num_steps} steps a round."
    return "\n".join([f"## {title}", "", caption, "", _HEAD, *rows])


def _row(timing: Timing, num_steps: int, ours: Timing | None) -> str:
    compared = "" if ours is None else format_interval(ratio(ours, timing), 3)
    cells = (
        LABELS[timing.rival],
        str(timing.num_threads),
        format_interval(step_us(timing, num_steps), 0),
        compared,
        f"{timing.first_s:.2f}",
        f"{timing.loss:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def format_interval(interval: Interval, digits: int) -> str:
    """Formats an interval as `median [low, high]`."""
    middle, low, high = (f"{number:.{digits}f}" for number in interval)
    return f"{middle} [{low}, {high}]"
