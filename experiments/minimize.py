r"""Minimise any problem with any optimizer and any schedule.

Claim:    every optimizer runs on every problem for which it is defined, and the summary
          states the final loss minus the known minimum.
Cost:     seconds.
Command:  python -m experiments.minimize --problem=rosenbrock --optimizer=lbfgs
          python -m experiments.minimize --problem='quadratic(condition=1000)' \
              --optimizer='sgd(momentum=0.9)' --learning_rate=1 --schedule=cosine
          python -m experiments.minimize --problem=ridge --batch_size=32 --seeds=5
          python -m experiments.minimize --problem=my_package.my_module:my_problem
"""

from gradjax import problems
from gradjax.commands.experiment import Experiment
from gradjax.commands.flags import Flag
from gradjax.commands.main import main
from gradjax.types import Problem, Settings


def problem(settings: Settings) -> Problem:
    """Makes the problem that an expression names."""
    return problems.make(dict(settings.own)["problem"])


PROBLEM = Flag(
    "problem",
    "string",
    "a name, a call such as 'quadratic(condition=1000)', or an import path to your own"
    " problem: 'my_package.my_module:my_problem'. Names:"
    f" {', '.join(sorted(problems.PROBLEMS))}. `python -m scripts.list problems`"
    " describes them",
    "rosenbrock",
)
EXPERIMENT = Experiment("minimize", problem, {"Problem": [PROBLEM]}, epochs=None)

if __name__ == "__main__":
    main(EXPERIMENT)
