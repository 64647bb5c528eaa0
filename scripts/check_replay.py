"""Checks that random windows of finished runs and sweeps are replayed bit for bit.

usage: python -m scripts.check_replay [--windows=50] [--seed=0]

Five small problems are trained: a surface without data, a sweep of a network in lanes
with kept snapshots, a regression with three seeds and early stopping, classes of texts,
and a language model. Random windows of random trials are computed again. Their losses,
averaged over the windows of the stored curve, must equal it in every bit. Half of the
windows are measured with a diagnostic. It takes two to three minutes of a CPU.
"""

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax.commands import compilation_cache
from gradjax.commands.experiment import settings_of
from gradjax.commands.replay import replay
from gradjax.commands.train import train
from gradjax.records import opening, reading
from gradjax.report import terminal
from gradjax.types import Options, Sweep
from scripts import parsing
from scripts import replay as script
from scripts.sweep import experiment_of

_LONGEST = 20  # steps of a window
_TEXTS = "texts.csv"
_BOOK = "book.txt"


class Case(NamedTuple):
    """A record to be replayed."""

    name: str
    experiment: str
    flags: dict[str, Any]
    asked: Sweep = Sweep()


CASES = (
    Case("a surface", "minimize", {"problem": "rosenbrock", "steps": 300}),
    Case(
        "lanes of a sweep",
        "minimize",
        {"problem": "digits_logistic", "steps": 260, "batch_size": 16},
        Sweep(
            ("learning_rate=[0.01, 0.03, 0.1]", "optimizer=[sgd, adam]"),
            fresh_seeds=1,
            lane_width=2,
            keep_snapshots=3,
        ),
    ),
    Case(
        "three seeds",
        "minimize",
        {"problem": "ridge", "steps": 300, "batch_size": 8, "seeds": 3}
        | {"keep": "best", "patience": 4, "trace_every": 7},
        Sweep(keep_snapshots=2),
    ),
    Case(
        "texts",
        "text",
        {"dataset": _TEXTS, "epochs": 12, "batch_size": 8, "model": "bag(width=16)"},
    ),
    Case(
        "characters",
        "language",
        {"dataset": _BOOK, "steps": 120, "batch_size": 4, "window": 16}
        | {"model": "gru(width=16)"},
        Sweep(keep_snapshots=2),
    ),
)


class Checked(NamedTuple):
    """The windows of one record that were computed again."""

    case: Case
    windows: int
    same: int  # windows without a difference, and without a change of environment
    points: int  # of recorded losses that were compared


def check(
    cases: tuple[Case, ...], windows: int, seed: int, folder: Path
) -> Iterator[Checked]:
    """Trains each case and computes random windows of it again.

    Args:
      cases: the records.
      windows: of each record.
      seed: of the windows.
      folder: an empty one for data and records.
    """
    write_data(folder)
    rng = np.random.default_rng(seed)
    for case in cases:
        place = folder / case.name.replace(" ", "-")
        with contextlib.redirect_stdout(io.StringIO()):
            _train(case, folder, place)
        done = [_window(place, rng, k % 2 == 1) for k in range(windows)]
        same, points = (sum(column) for column in zip(*done, strict=True))
        yield Checked(case, windows, same, points)


def write_data(folder: Path) -> None:
    """Writes a table of texts and a book."""
    words = ("good", "bad", "fine", "poor")
    rows = [f"{words[k % 4]} film number {k},{'pq'[k % 2]}" for k in range(90)]
    (folder / _TEXTS).write_text("\n".join(["text,label", *rows]))
    (folder / _BOOK).write_text("the cat sat on the mat. a dog sat on a log! " * 60)


def _train(case: Case, folder: Path, place: Path) -> None:
    what, flags = experiment_of(case.experiment), dict(case.flags)
    if "dataset" in flags:
        flags["dataset"] = str(folder / str(flags["dataset"]))
    options = Options(workdir=str(place), plot=False)
    train(what, settings_of(what, **flags), case.asked, options, may_restart=True)


def _window(
    place: Path, rng: np.random.Generator, is_measured: bool
) -> tuple[bool, int]:
    """Computes a random window again: (whether all is the same, points compared)."""
    store = opening.open_to_read(place, say=terminal.say)
    steps = [row["steps"] for row in reading.rows(store).values()]
    trial = int(rng.integers(len(steps)))
    last = int(rng.integers(1, steps[trial] + 1))
    first = max(1, last - int(rng.integers(_LONGEST)))
    found = script.recorded(place, trial)
    what = experiment_of(found.trial.settings.experiment)
    diagnostics = "[layer_norms]" if is_measured else "[]"
    made = replay(what, found, (first, last), diagnostics)
    is_same = made.num_equal == made.num_compared > 0 and not made.changes
    return is_same, made.num_compared


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 1 if a window differs."""
    parser = parsing.parser("check_replay", __doc__)
    parser.add_argument("--windows", type=parsing.count(len(CASES), 10_000), default=50)
    parser.add_argument("--seed", type=parsing.count(0, 2**32 - 1), default=0)
    given = parser.parse_args(arguments)
    compilation_cache.keep(terminal.say)
    started, num_same = time.perf_counter(), 0
    each = -(-given.windows // len(CASES))
    with tempfile.TemporaryDirectory() as folder:
        for one in check(CASES, each, given.seed, Path(folder)):
            num_same += one.same
            terminal.say(
                f"{one.case.name}: {one.same} of {one.windows} windows are the same;"
                f" {one.points:,} points of the recorded losses were compared"
            )
    total = each * len(CASES)
    seconds = time.perf_counter() - started
    terminal.say(f"{num_same} of {total} windows, every bit equal; {seconds:.0f} s")
    return 0 if num_same == total else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
