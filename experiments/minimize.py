r"""Minimise any problem with any optimizer and any schedule.

Claim:    every optimizer runs on every problem that it is defined for, and says how far
          above the known minimum it ended.
Cost:     seconds.
Command:  python -m experiments.minimize --problem=rosenbrock --optimizer=lbfgs
          python -m experiments.minimize --problem='quadratic(condition=1000)' \
              --optimizer='sgd(momentum=0.9)' --learning_rate=1 --schedule=cosine
          python -m experiments.minimize --problem=ridge --batch_size=32 --seeds=5
          python -m experiments.minimize --problem=my_package.my_module:my_problem
"""

from typing import NamedTuple

from gradjax import problems, types
from gradjax.commands import flags, train
from gradjax.commands.flags import Flag
from gradjax.errors import Refusal
from gradjax.types import Options, Problem


class Settings(NamedTuple):
    """What decides a run."""

    experiment: str
    problem: str = "rosenbrock"  # an expression
    optimizer: str = "adam"  # an expression
    learning_rate: float | None = None  # None: the optimizer's own default
    schedule: str = "constant"  # an expression
    steps: int = 1_000
    batch_size: int | None = None  # None: all training data
    eval_every: int | None = None  # steps; None: a tenth of them
    seed: int = 0  # the first one
    seeds: int = 1  # how many
    trace_every: int = 0  # steps a point of the kept curves; 0: at most 1,000 points


def state(
    settings: types.Settings, _options: Options
) -> tuple[Problem, types.Settings, None]:
    """The problem that the expression names."""
    problem = problems.make(settings.problem or "")
    if problem.data is None and settings.batch_size is not None:
        raise Refusal(
            f"--batch_size={settings.batch_size}: {settings.problem} has no data"
        )
    return problem, settings, None


def main(settings: Settings, options: Options) -> None:
    """States the problem, minimises it."""
    run = flags.as_run(settings)
    train.check(run)
    problem, run, _ = state(run, options)
    train.train(problem, run, options)


COMMAND = flags.Command(
    "minimize",
    Settings,
    {
        "What is minimised": [
            Flag(
                "problem",
                "string",
                "a name, a call such as 'quadratic(condition=1000)', or an import path"
                " to your own: 'my_package.my_module:my_problem'. Names:"
                f" {', '.join(sorted(problems.PROBLEMS))}. `python -m scripts.list"
                " problems` says what each is",
            ),
        ],
        "How": [
            flags.OPTIMIZER,
            flags.LEARNING_RATE,
            flags.SCHEDULE,
            Flag(
                "batch_size",
                "integer",
                "examples a step, of a problem with data. Unset: all of them",
            ),
        ],
        "How long": [
            Flag("steps", "integer", "optimizer steps"),
            Flag(
                "eval_every",
                "integer",
                "steps between two evaluations. Unset: a tenth of them",
            ),
        ],
        "Chance": [flags.SEED, flags.SEEDS],
        "What is kept": [*flags.KEPT, flags.TRACE_EVERY],
    },
    state,
)

if __name__ == "__main__":
    flags.run(main, COMMAND)
