r"""Train a network to translate.

Claim:    on Multi30k, English to German, a small Transformer has a BLEU of at least 22
          on test_2016_flickr (sacrebleu, cased, detokenized; 37.7 in the run of
          docs/results/problems.md).
Cost:     half an hour on two CPU cores, for twenty epochs of 259 steps.
Command:  python -m experiments.translation --dataset=multi30k --source=en \
              --target=de --test=test_2016_flickr \
              --model='transformer(dropout=0.2)' --epochs=20 --eval_every=516
          python -m experiments.translation --dataset=ted_hrlr_translate/pt_to_en
          python -m experiments.translation --dataset=books --source=en --target=fr
          python -m experiments.translation --dataset=pairs.csv
"""

from gradjax import models
from gradjax.commands import flags
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main
from gradjax.data import tokens
from gradjax.models import precision
from gradjax.problems import translation
from gradjax.types import Problem, Settings


def problem(settings: Settings) -> Problem:
    """Loads the problem of training a network to translate pairs of sentences."""
    return translation.load(**dict(settings.own))


FLAGS = flags.of(
    translation.load,
    model=f"the network: {', '.join(models.TRANSLATORS)}, or a call such as"
    " 'transformer(width=192, depth=3, heads=6, dropout=0.2)'",
    dataset="the TFDS name of prepared translations, or your own folder with train.en,"
    " train.de and the same files for val and test (also as .gz), or the common"
    " beginning of the names of two files: books for books.en and books.de, or a CSV,"
    " TSV or JSON lines file with a pair of sentences in each row",
    source="the source language, as in the names of your files, or the column of the"
    " source sentences. Unset: the first language of the data set",
    target="the target language, or the column of the translations. Unset: the other"
    " language of the data set",
    test="the name of the files in your folder that are the test split, such as"
    " test_2016_flickr. Unset: the files whose names start with test",
    vocab_size="the largest size of the vocabulary of both languages, in tokens. Unset:"
    f" {tokens.USUAL_PAIRS:,}, or more where the sentences have more characters",
    max_length="the length of a row in each language, in tokens. A row contains several"
    " sentence pairs; a longer sentence is cut in training",
    label_smoothing="the part of the target probability that is spread over all tokens",
    precision=precision.HELP,
    data_dir=flags.DATA_DIR.help,
)
EXPERIMENT = Experiment(
    "translation",
    problem,
    {"Problem": FLAGS},
    {
        "optimizer": "chain(clip_by_global_norm(1.0), adam(b2=0.98))",
        "schedule": "warmup_cosine(warmup=0.1)",
    },
    batch_size=32,
    learning_rate=2e-3,
    epochs=10,
    examples="rows of several pairs",
)

if __name__ == "__main__":
    main(EXPERIMENT)
