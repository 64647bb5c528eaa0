"""Times gradjax: `python -m scripts.benchmark all|single|sweep|stream|...`.

`all`: every part below with few rounds and cases, on one page with the share of the
measured peak of matrix products. It takes about 15 minutes on two idle cores, and
leaves out the rivals that are not installed.

`single`: every rival trains the same network on the same data in its own process. In a
round the rivals train the same number of steps one after another, in an order that
rotates from round to round. This takes about twelve minutes on two idle cores.

`sweep`: the same for many learning rates; the complete wall time is measured, with
compiling. This takes about eight minutes on two idle cores. `--case=widths` runs on
any device that jax finds, and needs none of the rivals; on a GPU use `sweep
--case=widths --trials=1024`.

`precision`: networks that compute in float32 and in bfloat16 train in turn, as rivals
do in `single`. `diagnostics`: so do runs with and without diagnostics; their added time
stands beside the predicted one, and curvature products beside a gradient. Both run on
the CPU and need none of the rivals.

`stream`: the same networks in memory and streamed, with and without the file of decoded
images; and the memory of a streamed run as the data grows from 20 MB to 2 GB, for which
9 GB on the disk and 15 minutes are needed.

`scale`: a sweep of small trials on one core, and on all of them in several ways.

`single` and `sweep` need the extra `[benchmark]`. Each writes a page under
runs/results, and with `--write` the committed page of docs/results in its place.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.report import terminal
from scripts import pages, parsing
from scripts.baselines import added, every, worker
from scripts.baselines.cases import CASES, Case, ours
from scripts.baselines.inputs import INPUTS, Inputs, check_loss
from scripts.baselines.scale import run as scaled
from scripts.baselines.streams import run as streams
from scripts.baselines.sweeps.cases import CASES as SWEEPS
from scripts.baselines.sweeps.cases import Sizes
from scripts.baselines.sweeps.run import report
from scripts.baselines.table import LABELS, Timing, header, rotate, table

PRECISIONS = ours("gradjax_bfloat16")
_LEAST_STEPS = 100  # of a round, in which each diagnostic is measured twice or more
DIAGNOSTICS = {
    name: tuple(one._replace(num_steps=max(one.num_steps, _LEAST_STEPS)) for one in own)
    for name, own in ours(
        "gradjax_layer_norms", "gradjax_sharpness", "gradjax_noise_scale"
    ).items()
}


def measure(case: Case, num_rounds: int, of: Inputs) -> list[Timing]:
    """Times every rival of a case; the first round of each is not counted."""
    arrays = of.inputs, of.targets
    asked = case.rivals, case.settings, *arrays, case.num_steps
    with worker.start_workers(*asked) as workers:
        rounds = {rival: [] for rival in case.rivals}
        for number in range(num_rounds + 1):
            _say(f"{case.title}: round {number} of {num_rounds}")
            for one in rotate(workers, number):
                rounds[one.rival].append(one.train(case.num_steps))
    return [
        Timing(
            one.rival,
            one.num_threads,
            one.first_s,
            np.asarray([timed.run_s for timed in rounds[one.rival][1:]]),
            rounds[one.rival][-1].loss,
        )
        for one in workers
    ]


def run(models: list[str], num_rounds: int, what: str, out: Path) -> None:
    """Measures, prints and writes the tables.

    Args:
      models: names in CASES.
      num_rounds: the number of timed rounds.
      what: "single"; "precision" to compare float32 with bfloat16; or "diagnostics".
      out: the page.

    Raises:
      Refusal: a missing extra, damaged data, a network that does not learn, or a file
        that cannot be written.
    """
    if what == "single":
        _check_rivals()
    _check_place(out)
    known = {"single": CASES, "precision": PRECISIONS, "diagnostics": DIAGNOSTICS}[what]
    cases = [case for model in models for case in known[model]]
    names = dict.fromkeys(case.inputs for case in cases)
    inputs = {name: INPUTS[name]() for name in names}
    flags = f"--model={','.join(models)} --rounds={num_rounds}"
    parts = [header(flags, num_rounds, [of.about for of in inputs.values()], what)]
    terminal.say(parts[0])
    for case in cases:
        of = inputs[case.inputs]
        timings = measure(case, num_rounds, of)
        for timing in timings:
            check_loss(LABELS[timing.rival], timing.loss, of)
        texts = [table(case.title, case.num_steps, timings)]
        if what == "diagnostics":
            settings = case.title, case.settings, case.num_steps, num_rounds
            texts = added.tables(settings, timings, of)
        parts += [f"{text}\n" for text in texts]
        terminal.say("\n".join(parts[-len(texts) :]))
    with named_disk_errors(out.parent):
        write_bytes(out, "\n".join(parts).encode())


def run_sweep(names: list[str], sizes: Sizes, out: Path) -> None:
    """Measures the sweeps, and prints and writes their tables.

    Raises:
      Refusal: see `run`, or there are fewer cores than pinned processes.
    """
    if set(names) != {"widths"}:
        _check_rivals()
    _check_place(out)
    said = " ".join(f"--{name}={value}" for name, value in sizes._asdict().items())
    text = report(names, sizes, f"--case={','.join(names)} {said}")
    with named_disk_errors(out.parent):
        write_bytes(out, text.encode())


def _check_rivals() -> None:
    if missing := [name for name in ("keras", "torch") if not _is_installed(name)]:
        how = "`pip install 'gradjax[benchmark]'`"
        raise Refusal(f"the benchmark needs {' and '.join(missing)}: {how}")


def _check_place(out: Path) -> None:
    if out.is_dir():
        raise Refusal(f"--out={out}: is a folder; expected a file")
    with named_disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    quiet: dict[str, Any] = {  # a bad flag is refused in one line
        "usage": argparse.SUPPRESS,
        "allow_abbrev": False,
    }
    parser = argparse.ArgumentParser(
        prog="benchmark",
        description="python -m scripts.benchmark"
        " all|single|sweep|precision|diagnostics|stream|scale [flags]: times"
        " gradjax, flax, Keras and PyTorch. `single --help` lists the flags of single.",
        **quiet,
    )
    what = parser.add_subparsers(dest="what", required=True, prog="benchmark")
    single = what.add_parser("single", help="one training run", **quiet)
    sweep = what.add_parser("sweep", help="many learning rates", **quiet)
    precision = what.add_parser("precision", help="float32 and bfloat16", **quiet)
    measured = what.add_parser("diagnostics", help="with and without them", **quiet)
    for parser_ in (single, precision, measured):
        parser_.add_argument(
            "--model",
            type=parsing.names(CASES, "model"),
            default=list(CASES),
            help=",".join(CASES),
        )
        parser_.add_argument(
            "--rounds", type=parsing.count(1, 1000), default=7, help="timed; 7"
        )
    for name, rounds, help_ in (
        ("all", 3, "every part, on one page"),
        ("scale", 7, "one core and all cores"),
    ):
        own = what.add_parser(name, help=help_, **quiet)
        read = parsing.count(1, 1000)
        own.add_argument("--rounds", type=read, default=rounds, help=f"timed; {rounds}")
    _add_sweep_flags(sweep)
    streams.add_flags(what.add_parser("stream", help="streamed data", **quiet))
    for name, parser_ in what.choices.items():
        usual = pages.place(f"benchmark-{name}.md")
        parser_.add_argument("--out", type=Path, help=f"{usual}")
        parser_.add_argument("--write", action="store_true", help=pages.HELP)
    return parser


def _add_sweep_flags(parser: argparse.ArgumentParser) -> None:
    known = ",".join(SWEEPS)
    parser.add_argument(
        "--case",
        type=parsing.names(SWEEPS, "case"),
        default=list(SWEEPS),
        help=f"of {known}",
    )
    for flag, type_, help_ in (
        ("rounds", parsing.count(1, 1000), "how often everyone runs"),
        # Two processes share the rates. In each process the first rate also pays for
        # the set-up, so at least two rates show the cost of one more.
        ("rates", parsing.count(4, 64), "learning rates that a rival of the MLP runs"),
        ("steps", parsing.count(10, 100_000), "of each trial of the MLP"),
        ("trials", parsing.count(1, 2**20), "of each cell of the width table"),
    ):
        number = Sizes._field_defaults[flag]
        help_ = f"{help_}; {number}"
        parser.add_argument(f"--{flag}", type=type_, default=number, help=help_)


def _text(flags: argparse.Namespace) -> str:
    """Measures, prints and returns a page."""
    if flags.what == "all":
        return every.report(flags.rounds, measure)
    os.environ["JAX_PLATFORMS"] = "cpu"
    return (
        streams.report(flags) if flags.what == "stream" else scaled.report(flags.rounds)
    )


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flags = _parser().parse_args(arguments)
    # Workers inherit the environment. A first call must not find its program in a
    # cache.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    try:
        out = pages.place(f"benchmark-{flags.what}.md", flags.out, flags.write)
        if flags.what == "sweep":
            sizes = Sizes(flags.rounds, flags.rates, flags.steps, flags.trials)
            run_sweep(flags.case, sizes, out)
        elif flags.what in ("all", "stream", "scale"):
            _check_place(out)
            text = _text(flags)
            with named_disk_errors(out.parent):
                write_bytes(out, text.encode())
        else:
            # PyTorch runs on the CPU, so the others do, too.
            os.environ["JAX_PLATFORMS"] = "cpu"
            run(flags.model, flags.rounds, flags.what, out)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
