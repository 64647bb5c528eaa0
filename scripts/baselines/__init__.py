"""The rivals of the benchmark, each written as its own users would write it.

A rival is a module with `make(settings, inputs, targets) -> Rival`. The networks are
the same, none with dropout: `mlp` is 784-128-10 with relu, `cnn` the Keras example (3x3
convolutions to 32 and 64 features without padding, each with relu and 2x2 max-pooling,
then 10 logits), `lstm` one layer of 256 units over windows of characters, `transformer`
three causal blocks of width 128 with 4 heads. So are the data, the batch size, the loss
and the optimizer: Adam with its usual constants. Initial parameters are each
framework's default. What the two networks over characters differ in is how each side's
users write them: PyTorch's Transformer learns a vector a place where gradjax's rotates,
and has weights of its own for the output where gradjax's shares the embeddings'; its
LSTM projects each character where gradjax's projects the alphabet once and gathers.
"""

from collections.abc import Callable
from typing import NamedTuple

LEARNING_RATE = 1e-3
WINDOW = 128  # characters that a network over a text reads at once


class Settings(NamedTuple):
    """What every rival trains."""

    model: str  # "mlp", "cnn", "lstm" or "transformer"
    batch_size: int
    with_accuracy: bool  # report the training accuracy beside the loss


class Round(NamedTuple):
    """One timed stretch of training."""

    run_s: float  # until the loss is on the host
    loss: float  # the mean over its steps, as the rival reports it


class Rival(NamedTuple):
    """A network that is built, compiled and ready to go on training."""

    first_s: float  # building, compiling and the first step; imports apart
    train: Callable[[int], Round]  # (num_steps) -> Round; goes on where it stopped
