"""Simulates a cluster of a thousand workers under the real planner and the real store.

usage: python -m scripts.simulate_cluster [--workers=1000] [--trials=100000]
           [--lane_width=16,1] [--failures=0.05] [--stragglers=0.01]
           [--poisoned=0.0005] [--seed=0] [--folder=FOLDER] [--out=FILE] [--write]

A sweep of a small problem is planned, dispatched, committed and read by the code of a
command. Its workers are simulated, with a clock of their own: some are lost, alone or
with their machine, some take 10 to 50 times as long as usual, and some batches end
every worker. The table has the time that the driver takes for each batch, without that
of the workers. Each value of --lane_width, the number of trials of a batch, is a row.
The records are written below --folder, on the disk that is measured, and removed. The
page is printed and written to runs/results/simulate-cluster.md; --write writes that of
docs/results. The exit code is 1 if a trial is missing or doubled.
"""

import argparse
import itertools
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.report import terminal
from scripts import pages, parsing
from scripts.simulated_cluster import Cluster
from scripts.simulated_sweep import PARTS, Measured, measure

_INTRO = """\
# A simulated cluster

`{command}` makes this page.
The planner, the journal and the files are real, on {system}. The workers are simulated,
with a clock of their own; their time and that of the simulation are not counted. A task
takes {task_s:g} s in the median.
[scaling.md](../scaling.md) explains the columns.
"""
_NOTES = """\
A time is that of the driver for a batch, as a mean over {window} answers of workers:
the first ones, those in the middle, and the last ones that came before the sweep had
fewer batches left than workers. `CPU` is that of its thread, and `wall` has its fsyncs.

The next table has the times of the parts of the command, and the most memory that the
process had until their end. `plan` checks the trials, `list` lists them in the journal,
`dispatch` has the driver's part of all batches, `read` reads their files at the end of
the round, `open` verifies the folder as a reader does, and `frames` opens it in pandas.
"""


def page(rows: list[Measured], command: str, system: str) -> str:
    """Returns the tables as Markdown."""
    task_s = rows[0].cluster.task_s
    window = " or ".join(f"{n:,}" for n in dict.fromkeys(one.window for one in rows))
    parts = [
        _INTRO.format(command=command, system=system, task_s=task_s),
        "\n".join(_table(_OF_SWEEP, rows)),
        "\n".join(_table(_OF_BATCH, rows)),
        _NOTES.format(window=window),
        "\n".join(_table(_OF_RECORD, rows)),
    ]
    faults = [f"- {fault}" for one in rows for fault in one.faults]
    return "\n\n".join(
        [*parts, *(["Faults:\n\n" + "\n".join(faults)] if faults else [])]
    )


_OF_SWEEP = {
    "workers": lambda one: f"{one.cluster.num_workers:,}",
    "trials": lambda one: f"{one.num_trials:,}",
    "lane width": lambda one: f"{one.lane_width}",
    "batches": lambda one: f"{one.num_batches:,}",
    "tasks": lambda one: f"{one.counts['tasks']:,}",
    "lost": lambda one: f"{one.counts['lost'] / one.counts['tasks']:.1%}",
    "machines lost": lambda one: f"{one.counts['machines']:,}",
    "second workers": lambda one: f"{one.num_doubled:,}",
    "set aside (poisoned)": lambda one: f"{one.num_set_aside:,} ({one.num_poisoned:,})",
    "simulated hours": lambda one: f"{one.hours:.2f}",
    "missing or doubled trials": lambda one: f"{len(one.faults) or 'none'}",
}
_OF_BATCH = {
    "lane width": lambda one: f"{one.lane_width}",
    "CPU ms, first": lambda one: f"{one.cpu_ms[0]:.2f}",
    "in the middle": lambda one: f"{one.cpu_ms[1]:.2f}",
    "last": lambda one: f"{one.cpu_ms[2]:.2f}",
    "wall ms, first": lambda one: f"{one.wall_ms[0]:.2f}",
    "in the middle ": lambda one: f"{one.wall_ms[1]:.2f}",
    "last ": lambda one: f"{one.wall_ms[2]:.2f}",
}
_OF_RECORD = {
    "lane width": lambda one: f"{one.lane_width}",
    "journal": lambda one: f"{one.journal_bytes / 1e6:.1f} MB",
    "list of trials": lambda one: f"{one.round_bytes / 1e6:.1f} MB",
} | {
    f"{part}": lambda one, part=part: (
        f"{one.seconds[part]:.1f} s, {one.memory_mb[part]:,.0f} MB"
    )
    for part in PARTS
}


def _table(columns: dict, rows: list[Measured]) -> list[str]:
    cells = [[show(one) for show in columns.values()] for one in rows]
    lines = [[name.strip() for name in columns], ["---"] * len(columns), *cells]
    return [f"| {' | '.join(line)} |" for line in lines]


def _system(folder: Path) -> str:
    """Returns the type of the file system of a folder, such as "ext4"."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "an unknown file system"
    lines = [line.split() for line in mounts.read_text().splitlines()]
    inside = [one for one in lines if folder.resolve().is_relative_to(one[1])]
    return max(inside, key=lambda one: len(one[1]))[2]


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("simulate_cluster", __doc__)
    for flag, type_, usual, help_ in (
        ("workers", parsing.count(1, 10**5), 1_000, "that run at the same time; 1000"),
        ("trials", parsing.count(10, 10**5), 100_000, "of the sweep; 100000"),
        ("lane_width", parsing.counts(1, 2**10), (16, 1), "trials of a batch; 16,1"),
        ("failures", _share, 0.05, "share of tasks whose worker is lost; 0.05"),
        ("stragglers", _share, 0.01, "share of tasks that take far longer; 0.01"),
        ("poisoned", _share, 0.0005, "share of batches that end a worker; 0.0005"),
        ("seed", parsing.count(0, 2**31), 0, "of the simulation; 0"),
        ("folder", Path, None, "where the records are; the system's temporary folder"),
        ("out", Path, None, "the file of the page"),
    ):
        parser.add_argument(f"--{flag}", type=type_, default=usual, help=help_)
    parser.add_argument("--write", action="store_true", help=pages.HELP)
    return parser


def _share(text: str) -> float:
    """Reads a share below one half."""
    value = 0.0 if text in ("0", "0.0") else parsing.positive(text)
    if value >= 0.5:
        raise argparse.ArgumentTypeError(f"{text!r}: must be below 0.5")
    return value


def main(arguments: list[str]) -> int:
    """Runs the simulations and writes the page.

    Returns:
      The exit code: 1 if a trial is missing or doubled, 2 after one line on stderr.
    """
    asked = _parser().parse_args(arguments)
    numbers = asked.failures, asked.stragglers, asked.poisoned
    cluster = Cluster(asked.workers, *numbers, seed=asked.seed)
    rows = []
    try:
        out = pages.place("simulate-cluster.md", asked.out, asked.write)
        with named_disk_errors(asked.folder or Path(tempfile.gettempdir())):
            place = tempfile.TemporaryDirectory(dir=asked.folder, prefix="gradjax-")
        with named_disk_errors(out.parent):
            out.parent.mkdir(parents=True, exist_ok=True)
        with place as folder:
            system = _system(Path(folder))
            for width in asked.lane_width:  # a process each, whose memory is measured
                given = (cluster, asked.trials, width, Path(folder) / f"width{width}")
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    rows.append(pool.submit(measure, *given).result())
        text = page(rows, parsing.command("simulate_cluster"), system)
        with named_disk_errors(out.parent):
            write_bytes(out, text.encode())
    except Refusal as refusal:
        print(f"simulate_cluster: {refusal}", file=sys.stderr)
        return 2
    terminal.say(text)
    return 1 if any(itertools.chain(*(one.faults for one in rows))) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
