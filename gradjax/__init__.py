"""gradjax: optimization research in JAX.

A program minimises a problem with an optimizer under a schedule. It is a pure function
of its hyperparameters and its seed, and it is compiled once.

    program = gradjax.program(problem, "adamw(b2=0.95)", "cosine", num_steps=500)
    result = gradjax.run(program, {"learning_rate": 3e-3}, seed=0)
"""

from gradjax import errors as errors  # first, before jax
from gradjax.comparing import compare
from gradjax.data import load as dataset
from gradjax.data.streaming import stream, streamed
from gradjax.derivatives.check import check_gradient
from gradjax.derivatives.hypergradients import hypergradient
from gradjax.errors import Refusal
from gradjax.optimizers.own import optimizer
from gradjax.problems import from_linen, problem
from gradjax.records import frames, load
from gradjax.suites import SUITES as suites
from gradjax.training.program import program
from gradjax.trials.overhead import overhead
from gradjax.trials.run import run
from gradjax.trials.stepping import steps
from gradjax.trials.sweep import sweep
from gradjax.trials.timed_overhead import timed_overhead
from gradjax.tuning import replay, tune
from gradjax.types import Problem, Result, Source, Splits, Target, Trials, Tuned

__all__ = [
    "Problem",
    "Refusal",
    "Result",
    "Source",
    "Splits",
    "Target",
    "Trials",
    "Tuned",
    "check_gradient",
    "compare",
    "dataset",
    "frames",
    "from_linen",
    "hypergradient",
    "load",
    "optimizer",
    "overhead",
    "problem",
    "program",
    "replay",
    "run",
    "steps",
    "stream",
    "streamed",
    "suites",
    "sweep",
    "timed_overhead",
    "tune",
]


def __dir__() -> list[str]:
    """Returns the public names alone; the rooms are modules and import as usual."""
    return sorted(__all__)
