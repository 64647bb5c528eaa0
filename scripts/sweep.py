"""Sweeps an experiment, or shows a record.

usage: python -m scripts.sweep --experiment=mnist --sweep='learning_rate=log(1e-4, 1)'
           [--search=grid|random|halton|sobol|tpe] [--trials=N] [--seeds=K] ...
       python -m scripts.sweep --workdir=FOLDER status|verify|table

The flags are those of the experiment, which `python -m experiments.mnist --help` lists.
`python -m experiments.mnist --sweep=...` does the same. For a record, `status` says how
far it is, how long it will take and what was best so far, `verify` lists damaged files
and `table` shows its results. They change nothing.
"""

import importlib
import sys
from pathlib import Path

from gradjax import expressions, records
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main as run
from gradjax.errors import Refusal
from gradjax.records import store
from gradjax.report import status, table, terminal

LOOKS = ("status", "verify", "table")
_EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


def look(folder: Path, what: str) -> int:
    """Prints the status, the damage or the table of a record; returns 1 if damaged.

    Raises:
        Refusal: there is no record, or it has no table yet.
    """
    if what == "status":
        terminal.table(f"{folder}", status.rows(folder, terminal.say))
        return 0
    if what == "verify":
        problems = store.verify(folder)
        terminal.say(
            "\n".join(problems) or f"{folder}: every file is as it was written"
        )
        return 1 if problems else 0
    table.show(records.summary_of(folder))
    return 0


def experiment_of(name: str) -> Experiment:
    """Returns the experiment of a name, if it can be swept.

    Raises:
        Refusal: there is no such experiment, or it is a lesson.
    """
    names = sorted(path.stem for path in _EXPERIMENTS.glob("[!_]*.py"))
    if name not in names:
        raise Refusal(expressions.unknown(name, names, "experiment"))
    module = importlib.import_module(f"experiments.{name}")
    if not hasattr(module, "EXPERIMENT"):
        raise Refusal(f"--experiment={name}: is a lesson, which cannot be swept")
    return module.EXPERIMENT


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    if not arguments or arguments == ["--help"]:
        terminal.say((__doc__ or "").strip())
        return 0
    try:
        looks = [one for one in arguments if not one.startswith("-")]
        if looks:
            return look(*_read(arguments, looks))
        named = [one for one in arguments if one.startswith("--experiment=")]
        rest = [one for one in arguments if one not in named]
        if len(named) != 1:
            raise Refusal("say which experiment, once: --experiment=mnist")
        if not any(one.startswith(("--sweep=", "--space=", "--help")) for one in rest):
            raise Refusal("say what varies: --sweep='learning_rate=log(1e-4, 1)'")
        experiment = experiment_of(named[0].partition("=")[2])
    except Refusal as error:
        print(f"sweep: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    sys.argv = [f"experiments.{experiment.name}", *rest]
    return run(experiment)


def _read(arguments: list[str], looks: list[str]) -> tuple[Path, str]:
    folders = [
        one.partition("=")[2] for one in arguments if one.startswith("--workdir=")
    ]
    if len(looks) != 1 or looks[0] not in LOOKS or len(folders) != 1:
        shown = (
            expressions.unknown(looks[0], LOOKS, "word")
            if looks[0] not in LOOKS
            else ""
        )
        usage = "usage: python -m scripts.sweep --workdir=FOLDER status|verify|table"
        raise Refusal(shown or usage)
    folder = Path(folders[0])
    if not folder.is_dir():
        raise Refusal(f"--workdir={folder}: is not a folder")
    return folder, looks[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
