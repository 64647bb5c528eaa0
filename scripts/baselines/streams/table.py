"""The speed and the memory of streamed runs, as Markdown."""

import importlib.metadata
import os
import platform

import numpy as np

from gradjax.analysis.statistics import median_interval
from scripts.baselines import LEARNING_RATE
from scripts.baselines.streams import IN_MEMORY, UNCACHED, Memory, Network, Speed
from scripts.baselines.table import format_interval

_PACKAGES = ("jax", "jaxlib", "flax", "grain", "array-record", "numpy")
_SPEED_HEAD = """\
| | examples/s | of that in memory | loss |
|---|---:|---:|---:|"""
_MEMORY_HEAD = """\
| images | readers | examples/s | at the start | loaded | compiled | trained | growth \
| in training | files | shared | a reader |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def header(flags: str, num_rounds: int, about: str) -> str:
    """Returns the head of the page: all that the figures depend on except the code.

    Args:
      flags: of the command.
      num_rounds: the number of timed rounds.
      about: what the data of the first table are.
    """
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return f"""\
# Streamed data: speed and memory

`python -m scripts.benchmark stream {flags}`

- Data of images: {about}; in the last table, synthetic images of `scripts.make_stream`.
- Adam, learning rate {LEARNING_RATE}; float32.
- Machine: {os.cpu_count()} cores ({platform.machine()}), no accelerator.
- Python {platform.python_version()}, {", ".join(versions)}.
- Rounds: {num_rounds}, after a run of each way that is not counted. In a round each way
  makes one run, in a process of its own while the others wait; the order rotates.
- Figures: medians over the rounds with distribution-free 95 % intervals (under 6
  rounds, their range). "Of that in memory" is computed round by round. The time of a
  run has everything except compiling: also the wait for the first examples.
"""


def speed_table(network: Network, found: dict[str, list[Speed]]) -> str:
    """Returns the table of one network; `found` has the rounds of each way."""
    rates = {
        way: np.asarray([speed.examples_per_s for speed in rounds])
        for way, rounds in found.items()
    }
    rows = []
    for way in found:
        share = ""
        if way != IN_MEMORY:
            share = format_interval(median_interval(rates[way] / rates[IN_MEMORY]), 3)
        rate = format_interval(median_interval(rates[way]), 0)
        rows.append(f"| {way} | {rate} | {share} | {found[way][-1].loss:.3f} |")
    caption = f"{network.num_steps:,} steps a run"
    if UNCACHED in found:
        caption += f", {network.uncached_steps:,} without the file of decoded images"
    if network.is_text:
        caption += "; random words, 512 tokens learned by BPE; an example is a window"
    caption += "."
    return "\n".join([f"## {network.title}", "", caption, "", _SPEED_HEAD, *rows, ""])


def median_speed(speeds: list[Speed]) -> Speed:
    """Returns the run in the middle of runs that are ordered by their speed."""
    return sorted(speeds)[len(speeds) // 2]


def memory_table(
    network: Network, shape: str, found: dict[tuple[int, int], Memory]
) -> str:
    """Returns the table of memory; (images in MB, workers) -> what was measured."""
    rows = [_memory_row(mb, num, one) for (mb, num), one in found.items()]
    growths = [max(one.loaded, one.trained) - one.start for one in found.values()]
    trained = [one.trained - one.compiled for one in found.values()]
    readers = [one.worker for one in found.values()]
    rates: dict[int, list[float]] = {}
    for (_, workers), one in found.items():
        rates.setdefault(workers, []).append(one.speed.examples_per_s)
    spread = max(1 - min(some) / max(some) for some in rates.values())
    caption = f"""\
Images of {shape} pixels; {network.model}, batch {network.batch_size}, \
{network.num_steps:,} steps. The
memory is that of the first run of a process; the speed is the median of later ones, one
in each round, in which all cases take turns. Sizes are in MB of 10^6 bytes: of the
decoded images; of the anonymous memory of the main process at its start, at its peak
while the images were decoded into the cache and loaded, after the program was compiled,
and at its peak while it trained. "Growth" is from the start to the peak, with libraries
and the compiled program; "in training" is from the compiled program on. Files are pages
of the cache and of libraries, which the system drops when other processes need the
memory. Readers are processes; a reader is the anonymous memory of the largest one."""
    conclusion = f"""\
The growth is {_mb(min(growths))} to {_mb(max(growths))} MB, of which \
{_mb(min(trained))} to {_mb(max(trained))} MB are in training.
A reader has at most {_mb(max(readers))} MB. With the same number of readers the speeds
differ by {100 * spread:.0f} % at most."""
    title = "## Memory as the data grows"
    parts = [title, "", caption, "", _MEMORY_HEAD, *rows, "", conclusion, ""]
    return "\n".join(parts)


def _memory_row(size_mb: int, workers: int, one: Memory) -> str:
    most = max(one.loaded, one.trained)
    cells = (
        f"{size_mb:,}",
        str(workers),
        f"{one.speed.examples_per_s:,.0f}",
        _mb(one.start),
        _mb(one.loaded),
        _mb(one.compiled),
        _mb(one.trained),
        _mb(most - one.start),
        _mb(one.trained - one.compiled),
        _mb(one.file_backed),
        _mb(one.shared),
        _mb(one.worker) if workers else "",
    )
    return f"| {' | '.join(cells)} |"


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f}"
