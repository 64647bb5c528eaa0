"""Measures the speed and the memory of streamed runs, and joins their tables."""

import argparse
import contextlib
import functools
import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gradjax import data
from gradjax.data import record_writer, synthetic
from gradjax.data.record_journal import Place as Written
from gradjax.data.splitting import Shares
from gradjax.data.synthetic import Synthetic
from gradjax.files import named_disk_errors, write_bytes
from gradjax.report import terminal
from scripts import parsing
from scripts.baselines.streams import NETWORKS, UNCACHED, Network, Place, table
from scripts.baselines.sweeps.contest import rounds
from scripts.baselines.sweeps.processes import Worker, start

_STREAMS = "scripts.baselines.streams"
_WORKERS = (0, 2)
_MEMORY_ROUNDS = 5  # at most, beside the first one
_HELD_OUT = 0.01  # the shares of validation and test
_NUM_IMAGES = 55_000  # synthetic ones, if MNIST is not prepared
_NUM_WORDS, _TEXT_WORDS = 2_000, 200_000  # different ones, and those of the text


class Sizes(NamedTuple):
    """How much is measured."""

    rounds: int = 7
    steps: int | None = None  # of every run; None: those of the networks
    sizes: tuple[int, ...] = (20, 200, 2_000)  # MB of decoded images; 0: none
    shape: tuple[int, int, int] = (64, 64, 3)  # of an image of these


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `stream` to a parser."""
    add, usual = parser.add_argument, Sizes()
    known = ",".join(NETWORKS)
    add("--model", type=parsing.names(NETWORKS, "model"), default=list(NETWORKS))
    help_ = f"timed, of {known}; {usual.rounds}"
    add("--rounds", type=parsing.count(1, 1000), default=usual.rounds, help=help_)
    help_ = "of every run; those of the networks if it is not given"
    add("--steps", type=parsing.count(1, 10**6), help=help_)
    megabytes = parsing.counts(0, 10**5)
    help_ = "MB of decoded images whose memory is measured; 0: none; 20,200,2000"
    add("--sizes", type=megabytes, default=usual.sizes, help=help_)
    help_ = "height, width and channels of these images; 64,64,3"
    add("--shape", type=parsing.counts(1, 2**12, 3), default=usual.shape, help=help_)
    help_ = "the folder for data, which are deleted afterwards; runs"
    add("--scratch", type=Path, default=Path("runs"), help=help_)


def report(asked: argparse.Namespace) -> str:
    """Measures and prints each part as soon as it is measured.

    Args:
      asked: the flags.

    Raises:
      Refusal: damaged data, no room on the disk, or runs that are too short.
    """
    sizes = Sizes(*(getattr(asked, x) for x in Sizes._fields))
    scratch = asked.scratch.absolute()  # as XDG_CACHE_HOME has to be
    said = [f"--model={','.join(asked.model)} --rounds={sizes.rounds}"]
    said += [] if sizes.steps is None else [f"--steps={sizes.steps}"]
    said += [
        f"--{x}={','.join(map(str, getattr(sizes, x)))}" for x in ("sizes", "shape")
    ]
    with contextlib.ExitStack() as stack:
        with named_disk_errors(scratch):
            scratch.mkdir(parents=True, exist_ok=True)
            folder = Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(dir=scratch, prefix="benchmark-stream.")
                )
            )
        place, about = _images(folder)
        parts = [table.header(" ".join(said), sizes.rounds, about)]
        terminal.say(parts[0])
        for model in asked.model:
            network = _sized(NETWORKS[model], sizes)
            parts.append(_speeds(network, sizes.rounds, place, folder))
            terminal.say(parts[-1])
        if any(sizes.sizes):
            parts.append(_memories(sizes, folder))
            terminal.say(parts[-1])
    return "\n".join(parts)


def _sized(network: Network, sizes: Sizes) -> Network:
    if sizes.steps is None:
        return network
    uncached = sizes.steps if UNCACHED in network.ways else 0
    return network._replace(num_steps=sizes.steps, uncached_steps=uncached)


def _images(folder: Path) -> tuple[Place, str]:
    """Returns MNIST, or synthetic images in its place, and what they are."""
    if data.is_prepared("mnist"):
        about = "MNIST; 55,000 training images of 28x28 pixels"
        return Place("mnist", str(data.default_data_dir())), about
    _write(folder, "images", Synthetic(_NUM_IMAGES))
    about = f"{_NUM_IMAGES:,} synthetic images of 28x28 pixels, since MNIST is not"
    return Place("images", str(folder)), f"{about} prepared here"


def _write(folder: Path, name: str, asked: Synthetic) -> None:
    print(f"writing {asked.num_examples:,} images", file=sys.stderr, flush=True)
    shares = Shares(_HELD_OUT, _HELD_OUT)
    record_writer.write(synthetic.content(asked), Written(folder, name), shares)


def _text(folder: Path) -> Place:
    """Writes random words, of which few are frequent, as in a language."""
    rng, path = np.random.default_rng(0), folder / "words.txt"
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, n)) for n in rng.integers(2, 9, _NUM_WORDS)]
    drawn = np.minimum(rng.zipf(1.3, _TEXT_WORDS), _NUM_WORDS) - 1
    write_bytes(path, " ".join(words[k] for k in drawn).encode())
    return Place(str(path), str(folder))


def _speeds(network: Network, num_rounds: int, place: Place, folder: Path) -> str:
    if network.is_text:
        place = _text(folder)
    with contextlib.ExitStack() as stack:
        runs: dict[str, Callable[[], Any]] = {}
        for way in network.ways:
            # Each way has a cache of its own.
            cache = folder / f"cache-{network.ways.index(way)}"
            arguments = (network, way, place, str(cache))
            worker = start(f"{_STREAMS}.training", arguments)
            runs[way] = functools.partial(_answer, stack.enter_context(worker))
        found = rounds(network.title, runs, num_rounds)
    return table.speed_table(network, found)


def _answer(worker: Worker) -> Any:
    worker.begin()
    return worker.answer()


def _memories(sizes: Sizes, folder: Path) -> str:
    network = _sized(NETWORKS["mlp"]._replace(num_steps=4_000), sizes)
    runs: dict[str, Callable[[], Any]] = {}
    cases: list[tuple[int, int]] = []
    with contextlib.ExitStack() as stack:
        for size_mb in filter(None, sizes.sizes):
            count = max(30, size_mb * 10**6 // math.prod(sizes.shape))
            place = Place(f"images_{size_mb}", str(folder))
            _write(folder, place.name, Synthetic(count, sizes.shape))
            for workers in _WORKERS:
                # An empty cache, so that decoding the images is measured, too.
                cache = stack.enter_context(tempfile.TemporaryDirectory(dir=folder))
                arguments = (network, place, workers, cache)
                worker = start(f"{_STREAMS}.memory", arguments, has_children=True)
                worker = stack.enter_context(worker)
                cases.append((size_mb, workers))
                name = f"{size_mb} MB, {workers} processes that read"
                runs[name] = functools.partial(_answer, worker)
        # The first run of each has the memory, and its speed is not counted.
        found = rounds("memory", runs, 1 + min(sizes.rounds, _MEMORY_ROUNDS))
    measured = {
        case: own[-1]._replace(speed=table.median_speed([one.speed for one in own[1:]]))
        for case, own in zip(cases, found.values(), strict=True)
    }
    shape = "x".join(map(str, sizes.shape))
    return table.memory_table(network, shape, measured)
