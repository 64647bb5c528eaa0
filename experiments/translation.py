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

from gradjax import models
from gradjax.commands import flags
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main
from gradjax.problems import translation
from gradjax.types import Problem, Settings


def problem(settings: Settings) -> Problem:
    """The problem of sentence pairs and a network."""
    return translation.load(**dict(settings.own))


FLAGS = flags.of(
    translation.load,
    model=f"the network: {', '.join(models.TRANSLATORS)}, or a call such as"
    " 'transformer(width=192, depth=3, heads=6, dropout=0.2)'",
    dataset="the TFDS name of prepared translations, or your own: a folder with"
    " train.en and train.de, the same of val and test (.gz too); or the common start of"
    " two files' names: books for books.en and books.de",
    source="the language that is translated, as in the names of your files. Unset: the"
    " first one of the data set",
    target="the language that it is translated to. Unset: the other one",
    test="which files of your folder are the test split, such as test_2016_flickr."
    " Unset: those whose names start with test",
    vocab_size="the largest number of tokens, shared by both languages",
    max_length="tokens of a row, in each language: it holds several pairs, and a longer"
    " sentence is cut in training",
    label_smoothing="the part of the probability that the loss spreads over all tokens",
    data_dir=flags.DATA_DIR.help,
)
EXPERIMENT = Experiment(
    "translation",
    problem,
    {"Problem": FLAGS},
    {
        "optimizer": "chain(clip_by_global_norm(1.0), adam(b2=0.98))",
        "schedule": "warmup_cosine(warmup=0.1)",
        "batch_size": 32,
    },
    learning_rate=2e-3,
    epochs=10,
    examples="rows of several pairs",
)

if __name__ == "__main__":
    main(EXPERIMENT)
