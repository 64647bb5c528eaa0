"""Tunes optimizers on the problems of a suite, and compares them on fresh seeds.

usage: python -m scripts.compare --optimizers='[adamw, sgd(momentum=0.9), mine:rule]'
           [--suite=small | --problems='[digits_mlp, wine_mlp]'] [--trials=20]
           [--seeds=10] [--baseline=adamw] [--pairs=baseline|all]
           [--space='adamw.weight_decay=log(1e-4, 1)'] [--search=random|halton|sobol]
           [--schedule=cosine] [--horizons='[1, 2]'] [--retune=yes|no] [--studies=1]
           [--gradients=N] [--batch_size=N] [--seed=0] [--workdir=FOLDER]
           [--executor=inline|processes|ray] [--num_workers=N] [--ray_address=auto]
           [--diagnostics='[sharpness(every=50)]']

Each optimizer is tuned on validation in its own space, which is printed, with the same
number of trials and the same number of gradients; a number that is written out is
fixed. The best setting is trained again on fresh seeds. docs/protocol.md states the
rules. The folder has a record for each problem and optimizer. If the process is killed,
the same command resumes; with more optimizers, problems, trials, seeds or studies it
trains only what is new. At the end there are the tables, and a page that needs no
network. `--studies=5` tunes each optimizer five times, independently, and the verdict
on the optimizers is then over these tunings.
"""

import argparse
import re
import sys
from pathlib import Path

from gradjax import records
from gradjax.commands import compilation_cache, signals
from gradjax.commands.main import INTERRUPTED, REFUSED, complain
from gradjax.commands.train import spoken
from gradjax.comparing import call, result, running
from gradjax.comparing.asked import Asked
from gradjax.errors import Interrupted, Refusal
from gradjax.report import terminal
from gradjax.sweeps import given, points, space
from gradjax.types import Sweep
from scripts import parsing, report

_FLAGS = {"num_trials": "trials", "num_seeds": "seeds", "num_gradients": "gradients"}


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    signals.usual()
    try:
        compare(_parser().parse_args(arguments))
    except Refusal as error:
        complain(f"compare: {_as_command(' '.join(str(error).split()))}")
        return REFUSED
    except Interrupted as stop:
        signals.ignore()  # another Ctrl-C must not disturb the exit
        complain(f"{stop}")
        return signals.exit_code(stop.number)
    except KeyboardInterrupt:
        signals.ignore()
        complain("interrupted; the same command goes on")
        return INTERRUPTED
    return 0


def compare(flags: argparse.Namespace) -> None:
    """Compares as the flags ask, prints the tables and writes the page."""
    points.forget()
    compilation_cache.keep(complain)
    objects: given.Objects = {}
    asked = _asked(flags, objects)
    folder = _folder(flags)
    with signals.heard() as stop_requested:
        hooks = running.Hooks(
            terminal.say, terminal.say, stop_requested, True, parsing.command("compare")
        )
        found = running.run(asked, folder, flags.overwrite, flags.accept_changes, hooks)
    for title, rows in result.shown_tables(found):
        terminal.say("")
        terminal.table(title, rows)
    terminal.say("")
    report.write(
        [
            str(spoken(folder)),
            f"--baseline={asked.baseline}",
            f"--pairs={asked.pairs}",
            f"--out={spoken(folder) / 'report'}",
        ]
    )


def _asked(flags: argparse.Namespace, objects: given.Objects) -> Asked:
    if flags.suite and flags.problems:
        raise Refusal("--suite and --problems are both given; give one")
    listed = _listed("problems", flags.problems) if flags.problems else flags.suite
    horizons = [float(x) if "." in x or "e" in x else int(x) for x in _numbers(flags)]
    return call.request(
        objects,
        _listed("optimizers", flags.optimizers),
        listed or "small",
        ranges=_ranges(flags.space),
        num_gradients=flags.gradients,
        batch_size=flags.batch_size,
        baseline=flags.baseline,
        pairs=flags.pairs,
        num_trials=flags.trials,
        num_seeds=flags.seeds,
        search=flags.search,
        schedule=flags.schedule,
        seed=flags.seed,
        horizons=horizons,
        retune=_retune(flags.retune),
        studies=flags.studies,
        executed=Sweep(
            executor=flags.executor,
            num_workers=flags.num_workers,
            ray_address=flags.ray_address,
        ),
        diagnostics=flags.diagnostics,
    )


def _retune(text: str) -> bool:
    if text not in ("yes", "no"):
        raise Refusal(f"--retune={text}: expected yes or no")
    return text == "yes"


def _listed(name: str, text: str) -> list[str]:
    """Reads a list of expressions such as `[adamw, sgd(momentum=0.9)]`."""
    text = text.strip()
    listed = text if text.startswith("[") else f"[{text}]"
    (found,) = space.parse([f"{name}={listed}"]).dimensions
    return [str(one) for one in found.values]


def _numbers(flags: argparse.Namespace) -> list[str]:
    texts = [one.strip() for one in flags.horizons.strip("[] ").split(",")]
    for text in texts:
        if not re.fullmatch(r"\d+\.?\d*(e-?\d+)?", text):
            raise Refusal(f"--horizons={flags.horizons}: expected a list as in [1, 2]")
    return texts


def _ranges(texts: list[str]) -> dict[str, str]:
    """Reads `adamw.weight_decay=log(1e-4, 1)`, one number each."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise Refusal(
                f"--space={text}: expected name=range, as in learning_rate=..."
            )
        if name in found:
            raise Refusal(f"--space: {name} is given twice")
        found[name] = values
    return found


def _folder(flags: argparse.Namespace) -> Path:
    """Returns the folder of the comparison; its parent exists."""
    if flags.workdir is not None:
        return records.checked_path(flags.workdir)
    folder = Path.cwd() / "runs" / "compare" / (flags.suite or "problems")
    if flags.suite is None and flags.problems is None:
        folder = folder.with_name("small")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def _as_command(line: str) -> str:
    """Returns a message with the names of flags in place of those of arguments."""
    pattern = rf"\b({'|'.join(_FLAGS)})\b"
    line = line.replace("--sweep", "--space")
    line = line.replace("retune=False", "--retune=no")
    return re.sub(pattern, lambda name: f"--{_FLAGS[name[1]]}", line)


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("compare", __doc__)
    add = parser.add_argument
    add("--optimizers", required=True, help="a list of expressions; two or more")
    add("--suite", help="a name of gradjax.suites; default small")
    add("--problems", help="a list of problems, in place of a suite")
    add("--trials", type=int, default=20, help="settings tried for each; default 20")
    add("--seeds", type=int, default=10, help="fresh seeds; default 10")
    add("--baseline", help="the optimizer to compare with; default the first")
    add("--pairs", default="baseline", help="baseline or all: which are compared")
    add("--space", action="append", default=[], help="a range; may be repeated")
    add("--search", default="random", help="default random: independent points")
    add("--schedule", default="cosine", help="the same for all; default cosine")
    add("--gradients", type=int, help="of a trial; default that of the suite")
    add("--batch_size", type=int, help="default that of the suite")
    add("--horizons", default="1", help="multiples of the budget; default 1")
    add("--retune", default="yes", help="no: tune at one horizon alone; default yes")
    help_ = "independent tunings of each optimizer, 1 or at least 3; default 1"
    add("--studies", type=int, default=1, help=help_)
    add("--seed", type=int, default=0, help="of the search and its trials; default 0")
    add("--workdir", help="default runs/compare/<suite>")
    add("--executor", default="inline", help="inline, processes or ray")
    add("--num_workers", type=int, help="batches that run at the same time")
    add("--ray_address", help="of a Ray cluster; default that of this machine")
    add("--diagnostics", help="what is measured in every trial, a list")
    add("--overwrite", action="store_true", help="train records of another plan again")
    add("--accept_changes", action="store_true", help="go on after a change of code")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
