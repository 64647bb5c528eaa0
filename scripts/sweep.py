"""Sweeps an experiment, or looks at a sweep that is there.

usage: python -m scripts.sweep --experiment=mnist --sweep='learning_rate=log(1e-4, 1)'
           [--search=grid|random|halton|sobol|tpe] [--trials=N] [--seeds=K] ...
       python -m scripts.sweep --workdir=FOLDER status|verify|table

The flags are those of the experiment, which `python -m experiments.mnist --help` lists;
`python -m experiments.mnist --sweep=...` is the same. `status` says how far a sweep is,
`verify` what is damaged, `table` what was best; none of them changes anything.
"""

import importlib
import json
import sys
from pathlib import Path

from gradjax import expressions
from gradjax.commands import flags
from gradjax.errors import Refusal
from gradjax.records import store
from gradjax.report import sweep as report
from gradjax.report import terminal

LOOKS = ("status", "verify", "table")
_EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


def look(folder: Path, what: str) -> int:
    """Prints the status, the damage or the table of a sweep; 1 where there is damage.

    Raises:
        Refusal: no sweep is there, or it has no table yet.
    """
    if what == "status":
        rows = [(name, f"{value}") for name, value in store.status(folder).items()]
        terminal.table(f"{folder}", rows)
        return 0
    if what == "verify":
        problems = store.verify(folder)
        terminal.say(
            "\n".join(problems) or f"{folder}: every file is as it was written"
        )
        return 1 if problems else 0
    try:
        summary = json.loads((folder / "summary.json").read_text())
    except (OSError, ValueError) as error:
        raise Refusal(f"{folder}: no finished sweep: {error}") from error
    report.table(summary)
    return 0


def command_of(name: str) -> tuple[object, flags.Command]:
    """(main, command) of an experiment that can be swept.

    Raises:
        Refusal: there is none of that name, or it trains many times already.
    """
    names = sorted(path.stem for path in _EXPERIMENTS.glob("[!_]*.py"))
    if name not in names:
        raise Refusal(expressions.unknown(name, names, "experiment"))
    module = importlib.import_module(f"experiments.{name}")
    if module.COMMAND.state is None:
        raise Refusal(f"--experiment={name}: is a lesson; a sweep is of one run")
    return module.main, module.COMMAND


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
        run, command = command_of(named[0].partition("=")[2])
    except Refusal as error:
        print(f"sweep: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    sys.argv = [f"experiments.{command.experiment}", *rest]
    return flags.run(run, command)  # pyright: ignore[reportArgumentType]


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
