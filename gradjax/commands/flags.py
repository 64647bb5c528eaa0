"""The flags of an experiment that trains, with their help texts."""

import inspect
from collections.abc import Callable
from typing import Any

from gradjax import optimizers, schedules
from gradjax.commands import sweep_flags
from gradjax.commands.flag import Flag, Groups
from gradjax.diagnostics.registry import DIAGNOSTICS
from gradjax.types import Options, Settings, Sweep

_KINDS = {bool: "boolean", int: "integer", float: "float"}


OPTIMIZER = Flag(
    "optimizer",
    "string",
    "a name, or a call such as 'adamw(b2=0.95, weight_decay=0.1)' or"
    " 'chain(clip_by_global_norm(1.0), sgd(momentum=0.9))', or an import path to your"
    " own: 'my_package.my_module:my_optimizer(b1=0.95)'. Names:"
    f" {', '.join(sorted(optimizers.OPTIMIZERS))}. Wrappers around one or more of"
    f" them: {', '.join(sorted(optimizers.WRAPPERS))}. `python -m scripts.list"
    " optimizers` lists their arguments, and `python -m scripts.list transforms` the"
    " other parts that a chain may contain",
    "adam",
)
LEARNING_RATE = Flag(
    "learning_rate",
    "float",
    "the peak learning rate, which the schedule multiplies. Unset: {rate}",
)
SCHEDULE = Flag(
    "schedule",
    "string",
    "the shape of the learning rate over the run: a name, or a call such as"
    " 'warmup_cosine(warmup=0.05)', where a float is a fraction of the run and an int"
    " a number of steps, or numbers such as '[0, 1, 0.5]', or an import path to your"
    " own function of the progress in [0, 1): 'my_package.my_module:shape(end=0.1)'."
    f" Names: {', '.join(sorted(schedules.SCHEDULES))}. `python -m"
    " scripts.show_schedule` draws them. Inside multi_steps it counts updates",
    "constant",
)
SEED = Flag(
    "seed", "integer", "the seed of the initial parameters and the batch order", 0
)
DATA_DIR = Flag(
    "data_dir",
    "string",
    "the folder of prepared TFDS data sets. Unset: $TFDS_DATA_DIR or"
    " ~/tensorflow_datasets",
)
STREAM = Flag(
    "stream",
    "boolean",
    "read the training examples from the disk while the run goes on, for data larger"
    " than the memory. A run has the same bits. The train split is not evaluated at the"
    " end",
    False,
)
OUTPUT = [
    Flag("workdir", "string", "the folder of the record. Unset: runs/{name}/<name>"),
    Flag("overwrite", "boolean", "replace an existing record in the folder", False),
    Flag("plot", "boolean", "draw the picture", True),
]
_PLOT = Flag(
    "plot",
    "boolean",
    "draw the pictures; --plot=dashboard also draws dashboard.png, with a panel for the"
    " loss, the learning rate and each diagnostic, for a finished record, too",
    True,
    words=("dashboard",),
)
_TRAINING = {
    "Training": [
        OPTIMIZER,
        LEARNING_RATE,
        SCHEDULE,
        Flag("batch_size", "integer", "{examples} in a batch. Unset: {batch}"),
        Flag(
            "accumulate",
            "integer",
            "compute the gradient of a batch as the mean over so many equal parts of"
            " it, one after the other, in the memory of one part",
        ),
        Flag(
            "remat",
            "boolean",
            "compute the values inside each layer of a Transformer or a residual"
            " network again for the gradient: less memory, more time",
        ),
        Flag("epochs", "integer", "passes over the train split. Unset: {duration}"),
        Flag(
            "steps",
            "integer",
            "steps of a run, of one batch each; replaces epochs. More of them, or more"
            " epochs, with the --workdir of a finished run make this run longer",
        ),
        Flag(
            "init_from",
            "string",
            "start at the parameters of FOLDER[:trial], a run or a sweep (its best"
            " trial, unless an id or a row is given), or of an .npz or .safetensors"
            " file; a mask freezes a part of them (README). Unset: at new ones",
        ),
        Flag(
            "eval_every",
            "integer",
            "steps between two evaluations on the validation split. Unset: {interval}",
        ),
        Flag(
            "keep",
            "string",
            "which parameters are stored and tested: last (after the last step), or"
            " best (at the best evaluation on the validation split)",
        ),
        Flag(
            "patience",
            "integer",
            "stop a trial after so many evaluations without improvement on the"
            " validation split. Unset: never",
        ),
    ],
    "Diagnostics": [
        Flag(
            "diagnostics",
            "string",
            "what is measured between the steps, such as '[sharpness(every=50),"
            " layer_norms]', or an import path to your own function. Each value is a"
            f" curve of the record. Names: {', '.join(sorted(DIAGNOSTICS))}. `python -m"
            " scripts.list diagnostics` lists their arguments",
        ),
    ],
    "Randomness": [
        SEED,
        Flag(
            "seeds",
            "integer",
            "the number of trials, with the seeds seed, seed + 1, ...; their mean and"
            " Student's 95 % interval are reported",
        ),
    ],
    "Output": [
        *(one for one in OUTPUT if one.name != _PLOT.name),
        _PLOT,
        Flag(
            "trace_every",
            "integer",
            "steps per stored point of a curve; 0 stores at most 1,000 points of each",
        ),
        Flag(
            "keep_params",
            "string",
            "the trials whose parameters are stored: best (those of a run, and the"
            " fresh seeds of a sweep), all or none",
        ),
        Flag(
            "keep_snapshots",
            "integer",
            "keep so many snapshots of each trial, evenly over the run, so that"
            " scripts.replay need not start at the first step; each has the size of the"
            " parameters and the optimizer's state. Unset: none",
        ),
        Flag(
            "accept_changes",
            "boolean",
            "continue a record although versions, code or device have changed; what is"
            " computed from then on is marked",
        ),
    ],
    **sweep_flags.SWEEP,
    "Data": [
        STREAM,
        Flag(
            "stream_workers",
            "integer",
            "processes that read streamed examples; 0: a thread. They help where"
            " reading an example takes long, as decoding an image does",
        ),
    ],
    **sweep_flags.DEVICE,
}


def training_flags(defaults: dict[str, Any], words: dict[str, str]) -> Groups:
    """Returns the flags of every experiment that trains, in groups.

    Args:
      defaults: name -> the default of the experiment, if it differs from the usual one.
      words: name -> the words that replace {name} in the help texts.
    """
    known = {
        **Options._field_defaults,
        **Sweep._field_defaults,
        **Settings._field_defaults,
        **defaults,
    }
    return {
        title: [with_default(flag, known[flag.name], words) for flag in group]
        for title, group in _TRAINING.items()
    }


def with_default(flag: Flag, default: Any, words: dict[str, str]) -> Flag:
    """Returns a flag with its default, and with words in its help text."""
    text = flag.help
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return flag._replace(help=text, default=default)


def of(function: Callable[..., Any], /, **helps: str) -> list[Flag]:
    """Makes flags for arguments of a function, with the defaults of its signature.

    Args:
      function: a function whose arguments have annotations and defaults.
      helps: name of an argument -> the help text.
    """
    parameters = inspect.signature(function).parameters
    return [
        Flag(name, _kind(parameters[name].annotation), text, parameters[name].default)
        for name, text in helps.items()
    ]


def _kind(annotation: Any) -> str:
    """Returns the kind of a flag for an argument with this annotation."""
    choices = getattr(annotation, "__args__", (annotation,))  # of `int | None`
    if getattr(annotation, "__origin__", None) is tuple:
        return "strings"
    return next((_KINDS[one] for one in choices if one in _KINDS), "string")
