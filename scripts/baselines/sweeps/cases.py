"""The cases of `scripts.benchmark sweep`."""

from typing import NamedTuple

from scripts.baselines import Settings
from scripts.baselines.sweeps import Task
from scripts.baselines.sweeps.contest import Contest, Contestant
from scripts.baselines.sweeps.widths import Size

CASES = ("mlp", "digits", "cnn", "peak", "widths")
EPOCH = 1719  # steps: 55,000 images, 32 a step
ONE_CORE = "gradjax, one core"

SIZES = {  # of the width table: data set -> networks
    "digits": (Size("digits 64-32-10", 32, 500), Size("digits 64-128-10", 128, 500)),
    "mnist": (Size("MNIST 784-128-10", 128, 100),),
}


class Sizes(NamedTuple):
    """The sizes of the measurements; these are the defaults of the flags."""

    rounds: int = 3
    rates: int = 4  # learning rates for which a rival of the MLP is measured
    steps: int = EPOCH  # of each trial of the MLP
    trials: int = 64  # of each cell of the width table, and the largest width


def contest(case: str, sizes: Sizes) -> Contest:
    """Returns the contest of a name: mlp, digits or cnn."""
    return {"mlp": _mlp, "digits": _digits, "cnn": _cnn}[case](sizes)


def _mlp(sizes: Sizes) -> Contest:
    num = sizes.rates
    return Contest(
        "64 learning rates of the MLP 784-128-10 on MNIST, batch 32",
        Task("mnist", Settings("mlp", 32, True), 128, sizes.steps, EPOCH, True),
        64,
        (1e-4, 1e-1),
        (
            Contestant("gradjax", "lanes", 64),
            Contestant(ONE_CORE, "lanes", 16, num_pinned=1),
            Contestant(
                "Keras on JAX, a fresh model and `fit` a rate", "keras_fit", num
            ),
            Contestant(
                "Keras, two pinned processes, half the rates each", "keras_fit", num, 2
            ),
            Contestant("PyTorch eager, a fresh model a rate", "torch_eager", num),
            Contestant(
                "PyTorch, two pinned processes, half the rates each",
                "torch_eager",
                num,
                2,
            ),
        ),
    )


def _digits(_: Sizes) -> Contest:
    return Contest(
        "256 trials of an MLP 64-32-10 on digits, batch 32",
        Task("digits", Settings("mlp", 32, False), 32, 500, None, True),
        256,
        (1e-4, 1e-1),
        (
            Contestant("gradjax", "lanes", 256),
            Contestant("a loop over a jitted step, compiled once", "jit_loop", 16),
            Contestant("the same loop, compiled for each rate", "jit_each_rate", 4),
        ),
    )


def _cnn(_: Sizes) -> Contest:
    return Contest(
        "16 trials of the CNN 32-64-10 on MNIST, batch 128",
        Task("mnist", Settings("cnn", 128, True), 0, 30, None, False),
        16,
        (1e-3, 1e-2),
        (
            Contestant("gradjax", "lanes", 16),
            Contestant("Keras on JAX, a fresh model and `fit` a rate", "keras_fit", 2),
        ),
    )
