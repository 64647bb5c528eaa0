"""All shared types and aliases, without logic.

The names of axes are: trials, steps, points, batch, features, classes, time.
"""

from gradjax.types.commands import LessonResult, Options, Run, Settings, Sweep
from gradjax.types.core import (
    Call,
    Entry,
    Kept,
    Mesh,
    OptimizerSpec,
    Plan,
    Program,
    ScheduleSpec,
    StepInfo,
    TracedNumber,
    TrainState,
)
from gradjax.types.diagnostics import Diagnostic
from gradjax.types.problems import (
    Batch,
    Dataset,
    Examples,
    Hparams,
    Key,
    MetricSums,
    Minimum,
    Model,
    ModelState,
    Params,
    Problem,
    RateFactors,
    Report,
    Source,
    Splits,
    Target,
)
from gradjax.types.results import Result, Series, Trials
from gradjax.types.sweeps import Dimension, Point, Search, Space
from gradjax.types.tuned import Best, Tuned

__all__ = [
    "Batch",
    "Best",
    "Call",
    "Dataset",
    "Diagnostic",
    "Dimension",
    "Entry",
    "Examples",
    "Hparams",
    "Kept",
    "Key",
    "LessonResult",
    "Mesh",
    "MetricSums",
    "Minimum",
    "Model",
    "ModelState",
    "OptimizerSpec",
    "Options",
    "Params",
    "Plan",
    "Point",
    "Problem",
    "Program",
    "RateFactors",
    "Report",
    "Result",
    "Run",
    "ScheduleSpec",
    "Search",
    "Series",
    "Settings",
    "Source",
    "Space",
    "Splits",
    "StepInfo",
    "Sweep",
    "Target",
    "TracedNumber",
    "TrainState",
    "Trials",
    "Tuned",
]
