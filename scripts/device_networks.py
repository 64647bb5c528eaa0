"""The networks that `scripts.check_device` and `scripts.calibrate` time."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import gradjax
from gradjax.data import pieces
from gradjax.data.strings import PlainText
from gradjax.problems.classification import classification, model_for
from gradjax.problems.language import language, language_model
from gradjax.types import Dataset, Problem, Program, Target


class Case(NamedTuple):
    """A network that is timed."""

    title: str
    make: Callable[[], Problem]
    batch_size: int
    block_steps: int


def cases(is_small: bool) -> dict[str, Case]:
    """Returns the networks, on random data; small ones for a CPU."""
    side, channels, width = (8, 4, 16) if is_small else (28, 32, 128)
    hidden = 32 if is_small else 128
    depth, window = (1, 16) if is_small else (3, 128)
    cnn = f"cnn(channels=({channels}, {2 * channels}))"
    transformer = f"transformer(width={width}, depth={depth}, heads=2)"
    return {
        "mlp": Case(
            f"MLP {side * side}-{hidden}-10, batch 32",
            lambda: _images(side, f"mlp(widths=({hidden},))"),
            32,
            50,
        ),
        "cnn": Case(
            f"CNN {channels}-{2 * channels}-10, batch 128",
            lambda: _images(side, cnn),
            128,
            10,
        ),
        "transformer": Case(
            f"Transformer {depth} x {width}, windows of {window}, batch 32",
            lambda: _characters(window, transformer),
            32,
            5,
        ),
    }


def calibration_cases(is_cpu: bool) -> list[Case]:
    """Returns networks of which a step touches more and more bytes.

    On a CPU they are MLPs, from 74 kB to 5.4 MB.
    """
    if not is_cpu:
        return list(cases(is_small=False).values())
    sizes = ((8, 32), (8, 128), (28, 128), (28, 512))
    return [mlp_case(side, hidden) for side, hidden in sizes]


def mlp_case(side: int, hidden: int) -> Case:
    """Returns an MLP with one hidden layer on square images."""
    return Case(
        f"MLP {side * side}-{hidden}-10, batch 32",
        functools.partial(_images, side, f"mlp(widths=({hidden},))"),
        32,
        50,
    )


def program_of(case: Case, num_steps: int = 100_000) -> Program:
    """Returns the program of a case with Adam; its evaluations compute nothing."""
    return gradjax.program(
        case.make()._replace(metrics=_no_metrics, target=Target()),
        "adam",
        num_steps=num_steps,
        batch_size=case.batch_size,
        eval_every=case.block_steps,
    )


def _images(side: int, model: str) -> Problem:
    rng = np.random.default_rng(0)

    def split(count: int) -> dict[str, np.ndarray]:
        images = rng.integers(0, 256, (count, side, side, 1), np.uint8)
        return {"image": images, "label": rng.integers(0, 10, count, np.int32)}

    dataset = Dataset("random", split(10_000), split(8), split(8), 10, 255.0, "", "")
    return classification(dataset, model_for(model, dataset))


def _characters(window: int, model: str) -> Problem:
    rng = np.random.default_rng(0)
    said = rng.integers(32, 97, 200_000, np.uint8).tobytes().decode("latin-1")
    text = PlainText("random", said, said[:window], said[:window], "", "")
    return language(
        text, language_model(model, len(pieces.alphabet(text.train)) + 1), window
    )


def _no_metrics(_params: Any, _batch: Any, _key: Any) -> dict[str, Any]:
    return {"loss": (jnp.float32(0), jnp.float32(1))}
