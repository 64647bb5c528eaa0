r"""Train a network to translate.

Claim:    a small Transformer learns to translate: on Multi30k, English to German, its
          BLEU on test_2016_flickr is at least 22 (sacrebleu, cased, detokenized; 37.7
          in the run of docs/results/problems.md).
Cost:     half an hour on two CPU cores: twenty epochs of 259 steps.
Command:  python -m experiments.translation --dataset=multi30k --source=en \
              --target=de --test=test_2016_flickr \
              --model='transformer(dropout=0.2)' --epochs=20 --eval_every=516
          python -m experiments.translation --dataset=ted_hrlr_translate/pt_to_en
          python -m experiments.translation --dataset=books --source=en --target=fr
"""

from typing import NamedTuple

from gradjax import models
from gradjax.commands import flags, train
from gradjax.commands.flags import Flag
from gradjax.problems import translation as problems
from gradjax.report import terminal
from gradjax.types import Options

_RATE = 2e-3  # of the default optimizer
_EPOCHS = 10


class Settings(NamedTuple):
    """What decides a run."""

    experiment: str
    dataset: str = "ted_hrlr_translate/pt_to_en"  # a TFDS name, or aligned files
    source: str | None = None  # the language that is read; None: as the data set says
    target: str | None = None  # the language that is said
    test: str | None = None  # which files of a folder; None: those named test...
    model: str = "transformer"  # an expression
    vocab_size: int = 4_000  # tokens at most, of both languages together
    max_length: int = 64  # places of a row, in each language
    label_smoothing: float = 0.1
    optimizer: str = "chain(clip_by_global_norm(1.0), adam(b2=0.98))"  # an expression
    learning_rate: float | None = None  # None: 2e-3, or another optimizer's own
    schedule: str = "warmup_cosine(warmup=0.1)"  # an expression
    epochs: int | None = None  # passes over the pairs; None: 10
    steps: int | None = None  # instead of epochs
    batch_size: int = 32  # rows, of several pairs each
    eval_every: int | None = None  # steps; None: an epoch
    seed: int = 0  # the first one
    seeds: int = 1  # how many
    trace_every: int = 0  # steps a point of the kept curves; 0: at most 1,000 points


state = flags.by_name(problems.load, Settings, _RATE, _EPOCHS)


def main(settings: Settings, options: Options) -> None:
    """States the problem, trains, prints translations and BLEU."""
    run = flags.as_run(settings)
    train.check(run)
    problem, run, about = state(run, options)
    terminal.say(
        f"{about['source']} to {about['target']}: {about['num_examples']['train']:,}"
        f" pairs in {about['num_rows']:,} rows of {about['max_length']} tokens at most,"
        f" of {about['num_tokens']:,}; cut to fit: {about['num_cut']:,}"
    )
    train.train(problem, run, options, about)


COMMAND = flags.Command(
    "translation",
    Settings,
    {
        "What is trained, on what": [
            Flag(
                "model",
                "string",
                f"the network: {', '.join(models.TRANSLATORS)}, or a call such as"
                " 'transformer(width=192, depth=3, heads=6, dropout=0.2)'",
            ),
            Flag(
                "dataset",
                "string",
                "the TFDS name of prepared translations, or your own: a folder with"
                " train.en and train.de, the same of val and test (.gz too); or what"
                " two files' names begin with: books for books.en and books.de",
            ),
            Flag(
                "source",
                "string",
                "the language that is read, as your files end in it. Unset: as the data"
                " set says",
            ),
            Flag("target", "string", "the language that is said. Unset: the other one"),
            Flag(
                "test",
                "string",
                "which files of your folder to test on, such as test_2016_flickr."
                " Unset: those whose name starts with test",
            ),
            Flag("vocab_size", "integer", "tokens at most, shared by both languages"),
            Flag(
                "max_length",
                "integer",
                "tokens of a row, in each language: it holds several pairs, and a"
                " longer sentence is cut in training",
            ),
            flags.DATA_DIR,
        ],
        "What is learned": [
            Flag(
                "label_smoothing",
                "float",
                "how much of the probability the loss wants spread over all tokens",
            ),
        ],
        **flags.training(
            "rows of several pairs",
            f"{_EPOCHS}",
            f"{_RATE:g}, or another optimizer's own",
        ),
    },
    state,
)

if __name__ == "__main__":
    flags.run(main, COMMAND)
