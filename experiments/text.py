r"""Train a network to classify texts.

Claim:    on 150 intents (clinc_oos, in scope) a bag of embeddings has a test accuracy
          of 0.91; a bidirectional GRU and a Transformer have 0.88 each.
Cost:     on two CPU cores, 20 s (bag), 1.5 minutes (gru), 3 minutes (transformer).
Command:  python -m experiments.text
          python -m experiments.text --model=gru --epochs=6
          python -m experiments.text --model=transformer --learning_rate=1e-3 --epochs=8
          python -m experiments.text --dataset=my_labels.csv --model='bag(width=64)'
"""

from gradjax import models
from gradjax.commands import flags
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main
from gradjax.data import tokens
from gradjax.models import precision
from gradjax.problems import text
from gradjax.types import Problem, Settings


def problem(settings: Settings) -> Problem:
    """Loads the problem of training a network to classify the texts of a data set."""
    return text.load(**dict(settings.own))


FLAGS = flags.of(
    text.load,
    model=f"the network: {', '.join(models.TEXT_MODELS)}, or a call such as"
    " 'gru(width=256, dropout=0.5)'",
    dataset="the TFDS name of prepared texts with labels, or your own CSV, TSV or JSON"
    " lines file with a text and a label in each row, or a folder with train.csv,"
    " validation.csv and test.csv (or .tsv, .jsonl)",
    text_column="the name, or the number from 1, of the column of the texts in your"
    " file. Unset: the one with a usual name, such as text or sentence",
    label_column="the same for the labels. Unset: the one with a usual name, such as"
    " label or class, or without a header the one with fewer different values",
    tokenizer="the tokenizer, fitted to the train split:"
    f" {' or '.join(tokens.KINDS)} (parts of words)",
    vocab_size="the largest size of the vocabulary, in tokens. Unset:"
    f" {tokens.USUAL_WORDS:,}, or more where the texts have more characters",
    max_length="the number of tokens after which a text is cut",
    packed="whether a row contains several texts, one after another, instead of one"
    " and padding, so that less padding is computed. The batch size counts rows",
    precision=precision.HELP,
    data_dir=flags.DATA_DIR.help,
)
EXPERIMENT = Experiment(
    "text",
    problem,
    {"Problem": FLAGS},
    {"schedule": "warmup_cosine(warmup=0.05)", "keep": "best"},
    batch_size=64,
    learning_rate=2e-3,
    epochs=12,
    examples="texts",
)

if __name__ == "__main__":
    main(EXPERIMENT)
