r"""Train a network on a table of numbers and categories.

Claim:    a table that you bring, with a column of labels, is enough: its columns are
          standardised or encoded, classification or regression is chosen by the
          labels, and the test split says how good the network is.
Cost:     seconds.
Command:  python -m experiments.tabular --dataset=table.csv
          python -m experiments.tabular --dataset=houses.csv --label=price \
              --model='mlp(widths=(64, 64))' --epochs=100
          python -m experiments.tabular --dataset=arrays.npz --model=logistic

A table is a CSV, TSV or JSON lines file, or an .npz file with the arrays x and y. What
was understood of it is printed first.
"""

from gradjax.commands import flags
from gradjax.commands.experiment import Experiment
from gradjax.commands.main import main
from gradjax.problems import own_table
from gradjax.types import Problem, Settings


def problem(settings: Settings) -> Problem:
    """Reads the table and makes the problem for a network."""
    return own_table.load(**dict(settings.own))


FLAGS = flags.of(
    own_table.load,
    model="the network: mlp, logistic (a linear model), or a call such as"
    " 'mlp(widths=(64, 64))'",
    dataset="the path of your table: CSV, TSV, JSON lines, or an .npz with x and y",
    label="the name, or the number from 1, of the column of the labels. Unset: the one"
    " named label, target, y or class, otherwise the last one",
    task="classification or regression. Unset: regression if the labels are numbers"
    " with a fraction or with more than 20 different values",
)
EXPERIMENT = Experiment(
    "tabular",
    problem,
    {"Problem": FLAGS},
    batch_size=32,
    epochs=30,
    examples="rows",
)

if __name__ == "__main__":
    main(EXPERIMENT)
