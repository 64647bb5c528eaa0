r"""Train a network to say what a text is about.

Claim:    of 150 intents (clinc_oos, in scope) a bag of embeddings names the right
          one for 0.91 of the test requests, a bidirectional GRU and a Transformer for
          0.88 each.
Cost:     20 s (bag), a minute and a half (gru), three (transformer) on two CPU cores.
Command:  python -m experiments.text
          python -m experiments.text --model=gru --epochs=6
          python -m experiments.text --model=transformer --learning_rate=1e-3 --epochs=8
          python -m experiments.text --dataset=my_labels.tsv --model='bag(width=64)'
"""

from gradjax import models
from gradjax.commands import flags
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main
from gradjax.data import tokens
from gradjax.problems import text
from gradjax.types import Problem, Settings


def problem(settings: Settings) -> Problem:
    """The problem of a data set of labelled texts and a network."""
    return text.load(**dict(settings.own))


FLAGS = flags.of(
    text.load,
    model=f"the network: {', '.join(models.TEXT_MODELS)}, or a call such as"
    " 'gru(width=256, dropout=0.5)'",
    dataset="the TFDS name of prepared texts with labels, or your own: a file of lines"
    " LABEL<tab>TEXT, or a folder with train.tsv, validation.tsv and test.tsv",
    tokenizer=f"of the train split: {' or '.join(tokens.KINDS)} (parts of words)",
    vocab_size="the largest number of tokens",
    max_length="the number of tokens of a text that are read",
    data_dir=flags.DATA_DIR.help,
)
EXPERIMENT = Experiment(
    "text",
    problem,
    {"Problem": FLAGS},
    {"schedule": "warmup_cosine(warmup=0.05)", "batch_size": 64, "keep": "best"},
    learning_rate=2e-3,
    epochs=12,
    examples="texts",
)

if __name__ == "__main__":
    main(EXPERIMENT)
