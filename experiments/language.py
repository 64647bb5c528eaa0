r"""Train a language model on characters, or on tokens that it learns from the text.

Claim:    a GRU needs at most 2.2 bits per character on the complete validation text of
          tiny_shakespeare, in windows of 128 with the state reset; a larger GRU, 2.05.
Cost:     on two CPU cores, three minutes (GRU) or thirteen (larger GRU).
Command:  python -m experiments.language --model=gru --steps=1600 --eval_every=400
          python -m experiments.language --model='gru(width=512, dropout=0.3)' \
              --learning_rate=3e-3 --steps=2800 --eval_every=700
          python -m experiments.language
          python -m experiments.language --model='transformer(depth=3)' \
              --learning_rate=2e-3
          python -m experiments.language --dataset=my_book.txt --model='gru(width=128)'
          python -m experiments.language --dataset=my_book.txt --tokenizer=bpe \
              --vocab_size=2048 --temperature=0.9 --top_k=40
"""

from gradjax import models
from gradjax.commands import flags
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main
from gradjax.data import byte_pairs, plain_tokens
from gradjax.models import precision
from gradjax.problems import language, parametrized
from gradjax.types import Problem, Settings


def problem(settings: Settings) -> Problem:
    """Loads the problem of training a network to predict the next token of a text."""
    return language.load(**dict(settings.own))


FLAGS = flags.of(
    language.load,
    model=f"the network: {', '.join(models.LANGUAGE_MODELS)}, or a call such as"
    " 'lstm(width=512, depth=2, dropout=0.1)'",
    dataset="the TFDS name of a prepared text, or your own text file, whose first nine"
    " tenths are the train split",
    window="the length of a training example, in tokens. Unset:"
    f" {language.USUAL_WINDOW}, or the length of a shorter train split",
    tokenizer=f"what a token is: {' or '.join(plain_tokens.KINDS)}, which learns"
    " frequent parts of words from the train split, beginning with single bytes. Bits"
    " per byte compare models of both",
    vocab_size=f"the largest number of tokens of bpe. Unset: {byte_pairs.USUAL:,}",
    temperature="of the sample that is printed at the end: below 1 probable tokens are"
    " drawn more often than the model says, above 1 less often",
    top_k="the number of the most probable tokens from which the sample is drawn."
    " Unset: all",
    precision=precision.HELP,
    parametrization=parametrized.HELP,
    data_dir=flags.DATA_DIR.help,
)
EXPERIMENT = Experiment(
    "language",
    problem,
    {"Problem": FLAGS},
    {
        "optimizer": "chain(clip_by_global_norm(1.0), adam)",
        "schedule": "warmup_cosine(warmup=0.05)",
    },
    batch_size=32,
    learning_rate=5e-3,
    epochs=8,
    examples="windows",
)

if __name__ == "__main__":
    main(EXPERIMENT)
