r"""Train a network to write, character by character.

Claim:    a GRU learns to write: the characters of tiny_shakespeare's validation text
          (all of it, in windows of 128, the state reset) cost it 2.2 bits or less each,
          and a larger one 2.05 or less.
Cost:     three minutes on two CPU cores, the larger one thirteen.
Command:  python -m experiments.language --model=gru --steps=1600 --eval_every=400
          python -m experiments.language --model='gru(width=512, dropout=0.3)' \
              --learning_rate=3e-3 --steps=2800 --eval_every=700
          python -m experiments.language
          python -m experiments.language --model='transformer(depth=3)' \
              --learning_rate=2e-3
          python -m experiments.language --dataset=my_book.txt --model='gru(width=128)'
"""

from typing import NamedTuple

from gradjax import models
from gradjax.commands import flags, train
from gradjax.commands.flags import Flag
from gradjax.problems import language as problems
from gradjax.types import Options

_RATE = 5e-3  # of the default optimizer
_EPOCHS = 8


class Settings(NamedTuple):
    """What decides a run."""

    experiment: str
    dataset: str = "tiny_shakespeare"  # a TFDS name, or a text file
    model: str = "lstm"  # an expression
    optimizer: str = "chain(clip_by_global_norm(1.0), adam)"  # an expression
    learning_rate: float | None = None  # None: 5e-3, or another optimizer's own
    schedule: str = "warmup_cosine(warmup=0.05)"  # an expression
    epochs: int | None = None  # passes over the text; None: 8
    steps: int | None = None  # instead of epochs
    batch_size: int = 32  # windows
    window: int = 128  # characters
    eval_every: int | None = None  # steps; None: an epoch
    seed: int = 0  # the first one
    seeds: int = 1  # how many
    trace_every: int = 0  # steps a point of the kept curves; 0: at most 1,000 points


state = flags.by_name(problems.load, Settings, _RATE, _EPOCHS)


def main(settings: Settings, options: Options) -> None:
    """States the problem, trains, prints what the network writes."""
    run = flags.as_run(settings)
    train.check(run)
    problem, run, about = state(run, options)
    train.train(problem, run, options, about)


COMMAND = flags.Command(
    "language",
    Settings,
    {
        "What is trained, on what": [
            Flag(
                "model",
                "string",
                f"the network: {', '.join(models.LANGUAGE_MODELS)}, or a call such as"
                " 'lstm(width=512, depth=2, dropout=0.1)'",
            ),
            Flag(
                "dataset",
                "string",
                "the TFDS name of a prepared text, or a text file of your own: its"
                " first nine tenths train",
            ),
            Flag("window", "integer", "characters that are looked back on"),
            flags.DATA_DIR,
        ],
        **flags.training(
            "windows", f"{_EPOCHS}", f"{_RATE:g}, or another optimizer's own"
        ),
    },
    state,
)

if __name__ == "__main__":
    flags.run(main, COMMAND)
