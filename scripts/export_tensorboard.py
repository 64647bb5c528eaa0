"""Writes the curves of a run or a sweep as TensorBoard event files.

usage: python -m scripts.export_tensorboard FOLDER [--out=tensorboard]

Each trial becomes a run of its own, named by its optimizer, its settings and its seed.
The names of the scalars are those of the curves, such as loss and validation_accuracy.
The files are written without TensorFlow, by the package tensorboardX. Show them with
`tensorboard --logdir=tensorboard`.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors
from gradjax.records import opening, reading
from gradjax.report import terminal
from scripts import parsing

_UNSAFE = '<>:"/\\|?*\n\r\t'


def export(folder: Path, out: Path) -> int:
    """Writes one event file per trial that has a curve.

    Args:
      folder: of a run or a sweep, finished or not.
      out: the folder of the event files, which must be new or empty.

    Returns:
      The number of trials written.

    Raises:
      Refusal: no run or sweep, `out` has files, or tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise Refusal(
            "event files need the package tensorboardX:"
            ' pip install "gradjax[tensorboard]"'
        ) from error
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Refusal(f"--out={out}: must be a new or an empty folder")
    if opening.kind_of(folder) != "trials":
        raise Refusal(f"{folder}: is a lesson, which has no trials")
    store = opening.open_to_read(folder, say=warnings.warn)
    rows = reading.rows(store)
    varied = [one["name"] for one in store.plan["space"]] or ["learning_rate"]
    points = _points(store)
    for trial, own in points.items():
        folder = out / name_of(rows[trial], varied)
        with SummaryWriter(str(folder), flush_secs=3_600) as writer:
            for step, name, value in sorted(own):
                writer.add_scalar(name, value, step)
    return len(points)


def _points(store: Any) -> dict[str, list[tuple[int, str, float]]]:
    """Returns trial -> (step, name, value) of each stored point."""
    found: dict[str, list[tuple[int, str, float]]] = {}
    for trials, name, steps, values in reading.curves(store):
        points = zip(trials.tolist(), steps.tolist(), values.tolist(), strict=True)
        for trial, step, value in points:
            found.setdefault(trial, []).append((step, name, value))
    return found


def name_of(row: dict[str, Any], varied: list[str]) -> str:
    """Returns the name of a trial's run, which is unique and safe as a folder.

    Args:
      row: the row of the trial.
      varied: the hyperparameters that the sweep varies.
    """
    named = {name: row[name] for name in varied if name in row and name != "optimizer"}
    numbers = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in named.items()
    ]
    parts = [row["optimizer"], *numbers, f"seed={row['seed']}", row["trial"][:6]]
    text = " ".join(parts)
    return "".join("_" if letter in _UNSAFE else letter for letter in text)[:200]


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    parser = parsing.parser("export_tensorboard", __doc__)
    parser.add_argument("folder", type=Path, help="of a run or a sweep")
    usual = Path("tensorboard")
    parser.add_argument("--out", type=Path, default=usual, help=f"a folder; {usual}")
    asked = parser.parse_args(arguments)
    try:
        with named_disk_errors(asked.out):
            count = export(asked.folder, asked.out)
    except Refusal as error:
        print(f"export_tensorboard: {error}", file=sys.stderr)
        return 2
    terminal.say(f"{asked.out}: {count:,} trials")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
