"""gradjax: optimization research in JAX.

Minimise a problem with an optimizer under a schedule: one pure program.

    program = gradjax.program(problem, "adamw(b2=0.95)", "cosine", num_steps=500)
    result = gradjax.run(program, {"learning_rate": 3e-3}, seed=0)
"""

from gradjax.errors import Refusal
from gradjax.gradients import check_gradient
from gradjax.hypergradients import hypergradient
from gradjax.problems import problem
from gradjax.records import frames, load
from gradjax.sweeps import sweep
from gradjax.training import program, run
from gradjax.types import Problem, Result, Source, Splits, Target, Trials
from gradjax.workloads import SUITES as suites

__all__ = [
    "Problem",
    "Refusal",
    "Result",
    "Source",
    "Splits",
    "Target",
    "Trials",
    "check_gradient",
    "frames",
    "hypergradient",
    "load",
    "problem",
    "program",
    "run",
    "suites",
    "sweep",
]
