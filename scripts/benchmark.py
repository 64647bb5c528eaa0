"""Times gradjax against its rivals: `python -m scripts.benchmark single`.

Every rival trains the same network on the same data in a process of its own. A round is
the same number of steps for each, one after the other, in an order that rotates from
round to round. About five minutes on two quiet cores; needs the extra `[benchmark]`.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradjax import data, spec
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from scripts.baselines import Settings, worker
from scripts.baselines.table import LABELS, Timing, header, rotated, table

_CHANCE = float(np.log(10))  # the loss of a network that knows nothing of ten classes
_NUM_RANDOM = 55_000  # images, where MNIST is not prepared


class Case(NamedTuple):
    """What is compared, and how many steps a round takes."""

    title: str
    settings: Settings
    rivals: tuple[str, ...]  # modules of scripts.baselines, gradjax first
    num_steps: int  # a round: about a second


CASES = {
    "mlp": (
        Case(
            "MLP 784-128-10, batch 32, loss",
            Settings("mlp", 32, with_accuracy=False),
            ("gradjax_run", "flax_loop", "torch_eager"),
            3000,
        ),
        Case(
            "MLP 784-128-10, batch 32, loss and accuracy",
            Settings("mlp", 32, with_accuracy=True),
            ("gradjax_run", "keras_fit", "flax_loop", "torch_eager"),
            3000,
        ),
    ),
    "cnn": (
        Case(
            "CNN 32-64-10, batch 128, loss",
            Settings("cnn", 128, with_accuracy=False),
            ("gradjax_run", "keras_fit", "flax_loop", "torch_eager"),
            50,
        ),
    ),
}


def measure(
    case: Case, num_rounds: int, images: np.ndarray, labels: np.ndarray
) -> list[Timing]:
    """Times every rival of a case; the first round of each is not counted."""
    with worker.running(case.rivals, case.settings, images, labels) as workers:
        rounds = {rival: [] for rival in case.rivals}
        for number in range(num_rounds + 1):
            _say(f"{case.title}: round {number} of {num_rounds}")
            for one in rotated(workers, number):
                rounds[one.rival].append(one.train(case.num_steps))
    return [
        Timing(
            one.rival,
            one.first_s,
            np.asarray([timed.run_s for timed in rounds[one.rival][1:]]),
            rounds[one.rival][-1].loss,
        )
        for one in workers
    ]


def check_losses(timings: list[Timing], is_random: bool) -> None:
    """Refuses figures of a network that does not learn: nobody is timed on a wreck.

    Raises:
      Refusal: a loss above half of chance, or on random labels well above chance.
    """
    bound = _CHANCE * (1.5 if is_random else 0.5)
    for timing in timings:
        if not timing.loss < bound:
            raise Refusal(
                f"{LABELS[timing.rival]}: training loss {timing.loss:.3f} after the"
                f" rounds; expected under {bound:.3f}, so its time means nothing"
            )


def load_images() -> tuple[np.ndarray, np.ndarray, bool]:
    """(images u8[n, 28, 28, 1], labels i32[n], whether they are random).

    Raises:
      Refusal: MNIST is prepared and damaged.
    """
    if data.is_prepared("mnist"):
        train = data.load("mnist").train
        return train["image"], train["label"], False
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (_NUM_RANDOM, 28, 28, 1), np.uint8)
    return images, rng.integers(0, 10, _NUM_RANDOM, np.int32), True


def run(models: list[str], num_rounds: int, out: Path) -> None:
    """Measures, prints and writes the tables.

    Raises:
      Refusal: a missing extra, damaged data, a network that does not learn, or a place
        that cannot be written.
    """
    if missing := [name for name in ("keras", "torch") if not _is_installed(name)]:
        how = "`pip install 'gradjax[benchmark]'`"
        raise Refusal(f"the benchmark needs {' and '.join(missing)}: {how}")
    if out.is_dir():
        raise Refusal(f"--out={out}: is a folder; expected a file")
    with named_disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
    images, labels, is_random = load_images()
    flags = f"--model={','.join(models)} --rounds={num_rounds}"
    parts = [header(flags, num_rounds, len(labels), is_random)]
    print(parts[0])
    for case in (case for model in models for case in CASES[model]):
        timings = measure(case, num_rounds, images, labels)
        check_losses(timings, is_random)
        parts.append(table(case.title, case.num_steps, timings) + "\n")
        print(parts[-1])
    with named_disk_errors(out.parent):
        write_bytes(out, "\n".join(parts).encode())


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _models(text: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in CASES:
            raise argparse.ArgumentTypeError(spec.unknown(name, CASES, "model"))
    return names


def _rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}: must be from 1 to 1000")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmark",
        usage=argparse.SUPPRESS,  # a bad flag is refused in one line
        description="python -m scripts.benchmark single [flags]: times gradjax, flax,"
        " Keras and PyTorch on one training run.",
        allow_abbrev=False,
    )
    parser.add_argument("what", choices=["single"], help="one training run")
    parser.add_argument(
        "--model", type=_models, default=list(CASES), help="of mlp,cnn; both"
    )
    parser.add_argument("--rounds", type=_rounds, default=7, help="timed; 7")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/results/benchmark-single.md")
    )
    return parser


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flags = _parser().parse_args(arguments)
    # Workers inherit these. PyTorch stays on the CPU, so everyone does; and a first
    # call that finds its program in a cache is not one.
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    try:
        run(flags.model, flags.rounds, flags.out)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
