"""Checks that the outputs of all layers keep their size as a network gets wider.

usage: python -m scripts.width_check [--model='mlp(widths=(64, 64, 64))']
           [--parametrization=mup] [--optimizer=adam] [--learning_rate=0.02]
           [--dataset=digits | --text=FILE] [--widths=64,128,256,512,1024] [--steps=3]
           [--seeds=3] [--batch_size=64] [--out=width_check.png]

This is the coordinate check of muP. It trains a few steps at each width on one batch
and measures the mean absolute value of every layer's output, of its change since the
start, and of the logits of attention. The slopes of their logarithms on that of the
width are printed; in muP they are near 0, and the outputs of the network and the logits
may fall as width^(-1/2). The rate is larger than usual, so that growth is seen in few
steps. A language model needs --text, a prepared TFDS text or a file; a network of your
own has {width} in the place of its width: --model='my_module:Net(width={width})'. The
exit code is 1 if a slope is not that of muP.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradjax
from gradjax import optimizers
from gradjax.analysis.width_slopes import (
    LAYER,
    LOGITS,
    READOUT,
    Sizes,
    Slope,
    slopes,
    worst,
)
from gradjax.data import arrays, streaming
from gradjax.diagnostics.coordinates import LOGITS_END, coordinates
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.plots.width_check import width_check
from gradjax.problems import images, language
from gradjax.problems.parametrized import at_width
from gradjax.report import terminal
from gradjax.training.compilation import quick_options
from gradjax.types import Problem, Splits
from scripts import parsing
from scripts.parsing import count

_RATES = {"adam": 0.02, "sgd": 0.3}  # larger than usual
_WINDOW = 16  # characters
_SHOWN = 12  # slopes that are printed at most, the worst ones first

AtWidth = Callable[[int], Problem]


def sizes_at(
    problem: Problem,
    optimizer: str,
    rate: float,
    num_steps: int = 3,
    num_seeds: int = 3,
    batch_size: int = 64,
) -> dict[str, tuple[np.ndarray, int]]:
    """Measures the outputs of a network at steps 0, ..., num_steps on one batch.

    Returns:
      Path of a layer -> (f32[2, steps + 1, seeds]: sizes and changes, features).
    """
    problem, batch = _on_one_batch(problem, batch_size)
    program = gradjax.program(problem, optimizer, num_steps=num_steps)
    if optimizers.RATE not in program.hparams:
        raise Refusal(f"--optimizer={optimizer}: it has no learning rate to set")
    hparams = {**program.hparams, optimizers.RATE: rate}
    init = jax.jit(program.init, compiler_options=quick_options())
    step = jax.jit(program.step)
    features: dict[str, int] = {}

    @jax.jit
    def measured(params: Any, start: Any) -> dict[str, jax.Array]:
        found = coordinates(problem.apply, params, start, batch)
        features.update({name: one.num_features for name, one in found.items()})
        return {name: jnp.stack([x.size, x.change]) for name, x in found.items()}

    rows: dict[str, list[np.ndarray]] = {}
    for seed in range(num_seeds):
        state = init(hparams, jnp.uint32(seed))
        start = state.params
        for i in range(num_steps + 1):
            for name, pair in measured(state.params, start).items():
                rows.setdefault(name, []).append(np.asarray(pair))
            key = jax.random.fold_in(jax.random.key(seed), i)
            state = step(state, batch, hparams, key, jnp.uint32(i))[0]
    shape = (num_seeds, num_steps + 1, 2)
    return {
        name: (np.stack(found).reshape(shape).T, features[name])
        for name, found in rows.items()
    }


def check(
    at: AtWidth, widths: list[int], optimizer: str, rate: float, **how: int
) -> tuple[dict[str, Sizes], list[Slope]]:
    """Measures the sizes at all widths, and their slopes.

    Args:
      at: width -> the problem with the network of this width.
      widths: increasing, at least two.
      optimizer: an expression.
      rate: the learning rate at every width.
      how: num_steps, num_seeds and batch_size, as in `sizes_at`.

    Raises:
        Refusal: the layers of two widths have other names; see also `gradjax.program`.
    """
    found = [sizes_at(at(width), optimizer, rate, **how) for width in widths]
    if any(one.keys() != found[0].keys() for one in found):
        raise Refusal("width check: the networks of two widths have different layers")
    layers = {}
    for name in found[0]:
        values = np.stack([one[name][0] for one in found], axis=1)
        grows = found[0][name][1] != found[-1][name][1]
        narrow = LOGITS if name.endswith(LOGITS_END) else READOUT
        layers[name] = Sizes(LAYER if grows else narrow, values[0], values[1])
    return layers, slopes(widths, layers)


def _on_one_batch(problem: Problem, batch_size: int) -> tuple[Problem, Any]:
    """Returns a problem whose train split is one batch, and the batch."""
    if problem.data is None:
        raise Refusal("width check: the problem has no data, so no batch either")
    if problem.init_state is not None:
        raise Refusal(
            "width check: the network keeps a state, as BatchNorm does, which this"
            " check does not carry"
        )
    train = problem.data.train
    size = min(batch_size, train.num_examples)
    batch = arrays.source(streaming.examples(train, np.arange(size)))
    return problem._replace(data=Splits(batch)), batch.arrays


def lines(found: list[Slope]) -> list[str]:
    """Returns the slopes that are not allowed, the worst first, and the verdict."""
    wrong, left = [], [one for one in found if not one.passes]
    while left:
        wrong.append(left.pop(left.index(worst(left))))
    shown = [_line(one) for one in wrong[:_SHOWN]]
    if len(wrong) > _SHOWN:
        shown.append(f"and {len(wrong) - _SHOWN} more")
    count = f"{len(found) - len(wrong)} of {len(found)} slopes are those of muP"
    if wrong:
        return [*shown, f"not muP: {count}"]
    return [f"muP: {count}; the nearest to its bounds: {_line(worst(found))}"]


def _line(one: Slope) -> str:
    spread = "" if np.isnan(one.half_width) else f" +- {one.half_width:.2f}"
    what = f"{one.layer}, {one.quantity} at step {one.step}"
    bounds = f"{one.low:+.1f} to {one.high:+.1f}"
    return f"{what}: slope {one.value:+.2f}{spread}, allowed {bounds}"


def _problem_at(flags: argparse.Namespace) -> AtWidth:
    def at(width: int) -> Problem:
        model, how = at_width(flags.model, width), flags.parametrization
        if flags.text is not None:
            given = (flags.text, model, _WINDOW)
            return language.load(*given, parametrization=how)
        return images.load(flags.dataset, model, parametrization=how)

    return at


def _rate(flags: argparse.Namespace) -> float:
    if flags.learning_rate is not None:
        return flags.learning_rate
    name = flags.optimizer.partition("(")[0]
    if name not in _RATES:
        raise Refusal(f"--optimizer={flags.optimizer}: give its --learning_rate")
    return _RATES[name]


def _read(arguments: list[str]) -> argparse.Namespace:
    parser = parsing.parser("width_check", __doc__)
    parser.add_argument("--model", default="mlp(widths=(64, 64, 64))")
    parser.add_argument("--parametrization", default="mup")
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--learning_rate", type=parsing.positive)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--text")
    widths = (64, 128, 256, 512, 1024)
    parser.add_argument("--widths", type=parsing.widths, default=widths)
    parser.add_argument("--steps", type=count(1, 100), default=3)
    parser.add_argument("--seeds", type=count(1, 100), default=3)
    parser.add_argument("--batch_size", type=count(1, 10**6), default=64)
    parser.add_argument("--out", type=Path, default=Path("width_check.png"))
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flags = _read(arguments)
    try:
        how = dict(
            num_steps=flags.steps, num_seeds=flags.seeds, batch_size=flags.batch_size
        )
        rate, widths = _rate(flags), list(flags.widths)
        layers, found = check(_problem_at(flags), widths, flags.optimizer, rate, **how)
        said = f"{flags.model}, {flags.parametrization}: {flags.optimizer} at {rate:g}"
        picture = width_check(said, widths, layers, found)
        with named_disk_errors(flags.out.parent):
            write_bytes(flags.out, picture)
        terminal.say("\n".join([said, *lines(found), f"{flags.out} shows it"]))
    except Refusal as error:
        print(f"width_check: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0 if all(one.passes for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
