"""The rivals of the benchmark, each written as its own users would write it.

A rival is a module with `make(settings, inputs, targets) -> Rival`. All rivals train
the same networks, all but `bag` without dropout: `mlp` is 784-128-10 with relu; `cnn`
is the Keras example (3x3 convolutions to 32 and 64 features without padding, each with
relu and 2x2 max-pooling, then 10 logits); `lstm` is one layer of 256 units over windows
of characters; `transformer` has three causal blocks of width 128 with 4 heads; `bag` is
the mean of a text's embeddings of width 256, with dropout of 0.3 before it, and one
dense layer, on texts of mixed length that are padded to 128 tokens. The data, the batch
size, the loss and the optimizer (Adam with its usual constants) are also the same.
Initial parameters are the default of each framework.

The two networks over characters differ in what the users of each side usually write.
PyTorch's Transformer learns a vector for each position and has its own weights for the
output; gradjax's rotates by the position and shares the weights of the embeddings.
PyTorch's LSTM projects each character; gradjax's projects the alphabet once and
gathers.
"""

from collections.abc import Callable
from typing import NamedTuple

LEARNING_RATE = 1e-3
# The environment variable with the threads of gradjax; unset: its rule chooses them.
THREADS = "GRADJAX_BENCHMARK_THREADS"
WINDOW = 128  # characters that a network reads at once
NUM_TOKENS, TIME = 8_000, 128  # of the vocabulary, and of the longest text
DROPOUT = 0.3  # of the embeddings of the bag


class Settings(NamedTuple):
    """The network that every rival trains."""

    model: str  # "mlp", "cnn", "lstm", "transformer" or "bag"
    batch_size: int
    with_accuracy: bool  # report the training accuracy beside the loss


class Round(NamedTuple):
    """Some timed steps of training."""

    run_s: float  # until the loss is on the host
    loss: float  # the mean over the steps, as the rival reports it


class Rival(NamedTuple):
    """A network that is built, compiled and ready to train."""

    first_s: float  # building, compiling and the first step, without imports
    train: Callable[[int], Round]  # (num_steps) -> Round; continues the training
