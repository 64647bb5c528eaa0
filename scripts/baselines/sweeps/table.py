"""The measured times of the sweeps, as Markdown."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence

import numpy as np

from gradjax.analysis.statistics import median_interval
from scripts.baselines.sweeps.contest import Contest, Contestant, Outcome
from scripts.baselines.sweeps.widths import BATCH_SIZE, Size, Table
from scripts.baselines.table import format_interval

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "keras", "torch", "numpy")
_HEAD = """\
| | measured on | µs a trial-step | of it compiling | gradjax / it \
| the same without compiling | loss |
|---|---:|---:|---:|---:|---:|---:|"""

Rounds = dict[str, list[Outcome]]  # label -> one outcome per round


def header(flags: str, num_rounds: int, is_random: bool, has_rivals: bool) -> str:
    """Returns the head of the page: what is counted, and under which conditions."""
    data = "RANDOM images, since MNIST is not prepared here" if is_random else "MNIST"
    packages = _PACKAGES if has_rivals else ("jax", "jaxlib", "optax", "numpy")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return f"""\
# A sweep: gradjax and its rivals

`python -m scripts.benchmark sweep {flags}`

- Data: {data}, and scikit-learn's digits. Adam, float32.
- Machine: {os.cpu_count()} cores ({platform.machine()}).
- Python {platform.python_version()}, {", ".join(versions)}.
- Rounds: {num_rounds}. In a round everyone runs once, in a fresh process and alone; the
  order rotates.
- Figures: medians over the rounds with distribution-free 95 % intervals (under 6
  rounds, their range). Ratios are computed round by round: under 1, gradjax is faster.
{_COUNTED if has_rivals else ""}"""


_COUNTED = """\
- Counted: the wall time of the whole sweep, from before anything is built, traced or
  compiled until the last loss is on the host, spread over all its trial-steps. Not
  counted: starting the process, imports, reading the data and turning images into
  floats; no compilation cache is used.
- "Measured on N": only N of the trials were run; the table says what all would take.
  For gradjax that is compiling + running * all / N; for a rival, the first trial, which
  pays for what is set up once, + (all - 1) * the mean of the others. Pinned processes
  have half of the trials each, on a core each, and the slower one counts.
- "Of it compiling": gradjax's own figure (tracing, lowering, XLA, data to the devices);
  of a loop that compiles once, its first step and initialisation; of Keras and a loop
  that compiles for each rate, lowering and XLA as jax reports them (tracing is in the
  rest). "Without compiling" takes it off both sides.
- Evaluation: gradjax's time has its evaluations in it, where a caption says so. No
  rival evaluates anything.
- Loss: the training loss of the best trial, mean over its steps, in the last round.
"""


def contest_table(contest: Contest, found: Rounds) -> str:
    """Returns a table with a row for each contestant; the first one is gradjax."""
    ours = found[contest.contestants[0].label]
    rows = [_row(contest, one, found[one.label], ours) for one in contest.contestants]
    return "\n".join(
        [f"## {contest.title}", "", _caption(contest), "", _HEAD, *rows, ""]
    )


def speedup_line(ours: Sequence[Outcome], one_core: Sequence[Outcome]) -> str:
    """Returns how much faster all cores are than one, with and without compiling."""
    whole = median_interval(_whole(one_core) / _whole(ours))
    run = median_interval(_run(one_core) / _run(ours))
    return (
        f"All cores against one core: {format_interval(whole, 2)} times as fast,"
        f" without compiling {format_interval(run, 2)}.\n"
    )


def peak_section(one: Sequence[float], every: Sequence[float]) -> str:
    """Returns the section on the matrix peaks, in GFLOP/s."""
    return f"""\
## The machine's matrix peak

The fastest product of two f32[1024, 1024] by numpy, jax or PyTorch, best of 40 each:
one core {format_interval(median_interval(one), 0)} GFLOP/s, all cores \
{format_interval(median_interval(every), 0)}.
"""


def flop_count(batch_size: int, inputs: int, hidden: int, outputs: int) -> int:
    """Returns the multiplications and additions of a step of a network of two layers.

    Each product costs 2 * batch * n * m. A layer has a forward product, one for the
    gradient of the weights and one for the gradient of the inputs. The first layer does
    not need the last one, so its factor is 4, and that of the second layer is 6.
    """
    return batch_size * (4 * inputs * hidden + 6 * hidden * outputs)


def fraction_line(
    contest: Contest, ours: Sequence[Outcome], every: Sequence[float]
) -> str:
    """Returns the share of the matrix peak that gradjax's sweep reaches."""
    size, hidden = contest.task.settings.batch_size, contest.task.hidden
    count = flop_count(size, 784, hidden, 10)
    done = count * contest.num_trials * contest.task.num_steps / 1e9
    whole = median_interval(done / _whole(ours) / np.asarray(every))
    run = median_interval(done / _run(ours) / np.asarray(every))
    return (
        f"A step has batch * (4 * 784 * {hidden} + 6 * {hidden} * 10) ="
        f" {count / 1e6:.2f} MFLOP (no gradient of the images; Adam, evaluations and"
        " the order of the batches are not counted): gradjax reaches"
        f" {format_interval(whole, 3)} of the peak on all cores, without compiling"
        f" {format_interval(run, 3)}.\n"
    )


def widths_section(found: Mapping[Size, list[Table]]) -> str:
    """Returns the microseconds per trial-step at every width, and the fastest width."""
    lines = ["## Lane widths", "", _widths_caption(next(iter(found.values()))[0]), ""]
    for size, tables in found.items():
        lines += _width_rows(size, tables)
    return "\n".join([*lines, _rule(found), ""])


def _caption(contest: Contest) -> str:
    num, steps = contest.num_trials, contest.task.num_steps
    every = contest.task.eval_every or steps
    evaluated = (
        f"gradjax evaluates validation after every {every} steps, and the test split"
        " at the end of a trial"
        if contest.task.is_evaluated
        else "nothing is evaluated"
    )
    return (
        f"{num} trials of {steps} steps: 100 µs a trial-step is"
        f" {num * steps * 1e-4:.3g} s. {evaluated[0].upper()}{evaluated[1:]}."
    )


def _row(
    contest: Contest, one: Contestant, theirs: list[Outcome], ours: list[Outcome]
) -> str:
    scale = 1e6 / contest.num_trials / contest.task.num_steps
    is_ours = one is contest.contestants[0]
    compile_s = np.asarray([outcome.compile_s for outcome in theirs])
    cells = (
        one.label,
        f"{one.num_measured} trials",
        format_interval(median_interval(_whole(theirs) * scale), 1),
        f"{np.median(compile_s * scale):.1f}",
        ""
        if is_ours
        else format_interval(median_interval(_whole(ours) / _whole(theirs)), 3),
        ""
        if is_ours
        else format_interval(median_interval(_run(ours) / _run(theirs)), 3),
        f"{theirs[-1].loss:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def _whole(outcomes: Sequence[Outcome]) -> np.ndarray:
    return np.asarray([one.whole_s for one in outcomes])  # f64[rounds]


def _run(outcomes: Sequence[Outcome]) -> np.ndarray:
    return np.asarray([one.whole_s - one.compile_s for one in outcomes])  # f64[rounds]


def _widths_caption(table: Table) -> str:
    return (
        f"Batch {BATCH_SIZE}, on {table.devices}, all devices busy; the wall time of"
        " running, compiling apart; nothing is evaluated. All widths of a network share"
        " a process and take turns in each round, narrow ones on fewer trials."
    )


def _width_rows(size: Size, tables: Sequence[Table]) -> list[str]:
    first = tables[0]
    head = [
        f"### {size.title}: {first.touched_bytes:,} bytes a step",
        "",
        f"{size.num_steps} steps a trial.",
        "",
        "| width | trials | µs a trial-step | trial-steps a second | compile, s |",
        "|---:|---:|---:|---:|---:|",
    ]
    rows = []
    for k, cell in enumerate(first.cells):
        step = median_interval(_cell_us(size, tables, k))
        cells = (
            f"{cell.width}",
            f"{cell.num_trials}",
            format_interval(step, 2),
            f"{1e6 / step.estimate:,.0f}",
            f"{cell.compile_s:.1f}",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return [*head, *rows, ""]


def _cell_us(size: Size, tables: Sequence[Table], k: int) -> np.ndarray:
    """Returns the microseconds per trial-step of width k: f64[rounds]."""
    cells = [table.cells[k] for table in tables]
    return np.asarray(
        [cell.run_s / cell.num_trials / size.num_steps * 1e6 for cell in cells]
    )


def _rule(found: Mapping[Size, list[Table]]) -> str:
    """Returns the fastest width by the bytes that a step touches."""
    parts = []
    for size, tables in found.items():
        first = tables[0]
        medians = [
            float(np.median(_cell_us(size, tables, k))) for k in range(len(first.cells))
        ]
        best = first.cells[int(np.argmin(medians))].width
        parts.append(
            f"{first.touched_bytes:,} bytes: {best} (gradjax takes {first.usual_width})"
        )
    return f"Fastest width by what a step of a trial touches: {'; '.join(parts)}."
