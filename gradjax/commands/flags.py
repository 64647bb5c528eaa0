"""Flags: what each of them means, and from a command line to their values (absl)."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

from absl import flags as absl_flags

from gradjax import optimizers, schedules, search
from gradjax.errors import Refusal
from gradjax.types import Options, Settings, Sweep

_KINDS = {bool: "boolean", int: "integer", float: "float"}


class Flag(NamedTuple):
    """One flag."""

    name: str
    kind: str  # string, integer, float, boolean, or strings: it may be repeated
    help: str
    default: Any = None


Groups = dict[str, list[Flag]]  # title -> flags, as --help shows them

OPTIMIZER = Flag(
    "optimizer",
    "string",
    "a name, or a call such as 'adamw(b2=0.95, weight_decay=0.1)' or"
    " 'chain(clip_by_global_norm(1.0), sgd(momentum=0.9))', or an import path to your"
    " own: 'my_package.my_module:my_optimizer(b1=0.95)'. Names:"
    f" {', '.join(sorted(optimizers.OPTIMIZERS))}. Around one or more of them:"
    f" {', '.join(sorted(optimizers.WRAPPERS))}. `python -m scripts.list optimizers`"
    " lists their arguments, `python -m scripts.list transforms` what else a chain may"
    " contain",
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
    " a number of steps, or numbers such as '[0, 1, 0.5]'. Names:"
    f" {', '.join(sorted(schedules.SCHEDULES))}. `python -m scripts.show_schedule`"
    " draws them",
    "constant",
)
SEED = Flag("seed", "integer", "of the initial parameters and the batch order", 0)
DATA_DIR = Flag(
    "data_dir",
    "string",
    "the folder of prepared TFDS data sets. Unset: $TFDS_DATA_DIR or"
    " ~/tensorflow_datasets",
)
OUTPUT = [
    Flag("workdir", "string", "the folder of the record. Unset: runs/{name}/<name>"),
    Flag("overwrite", "boolean", "replace the record that is there", False),
    Flag("plot", "boolean", "draw the picture", True),
]
_TRAINING = {
    "Training": [
        OPTIMIZER,
        LEARNING_RATE,
        SCHEDULE,
        Flag("batch_size", "integer", "{examples} in a batch. Unset: all of them"),
        Flag("epochs", "integer", "passes over the train split. Unset: {duration}"),
        Flag("steps", "integer", "optimizer steps, instead of epochs"),
        Flag(
            "eval_every",
            "integer",
            "steps between two evaluations on the validation split. Unset: {interval}",
        ),
        Flag(
            "keep",
            "string",
            "which parameters are kept and tested: last, or best on validation",
        ),
        Flag(
            "patience",
            "integer",
            "stop after so many evaluations without improvement. Unset: never",
        ),
    ],
    "Randomness": [
        SEED,
        Flag(
            "seeds",
            "integer",
            "how many trials, with seed, seed + 1, ...: their mean and Student's 95 %"
            " interval are reported",
        ),
    ],
    "Output": [
        *OUTPUT,
        Flag(
            "trace_every",
            "integer",
            "steps per point of the stored training curves; 0 stores at most 1,000"
            " points",
        ),
        Flag(
            "keep_params",
            "string",
            "which trials' parameters are stored: best (of a run, of fresh seeds), all"
            " or none",
        ),
        Flag(
            "accept_changes",
            "boolean",
            "go on although versions, code or device are not those that the record"
            " began with; what is computed from then on is marked",
        ),
    ],
    "Sweep": [
        Flag(
            "sweep",
            "strings",
            "what varies; may be repeated: 'learning_rate=log(1e-4, 1)', with"
            " log(low, high[, n]), linear(...), int(...) or a list such as"
            " 'optimizer=[sgd, adam]'. Names: learning_rate, optimizer, schedule,"
            " batch_size, steps, epochs, the flags of the problem, and"
            " optimizer.<argument>, schedule.<argument> or model.<argument>",
        ),
        Flag(
            "space",
            "string",
            "a JSON file instead: name -> min, max and scaling, or feasible_points",
        ),
        Flag(
            "search",
            "string",
            f"which points: {', '.join(sorted(search.SEARCHES))}; tpe learns from"
            " results, and needs the extra [tpe]",
        ),
        Flag("trials", "integer", "how many points. Unset: all points of the grid"),
        Flag(
            "fresh_seeds",
            "integer",
            "seeds that chose nothing, on which the best setting of each optimizer"
            " runs again",
        ),
        Flag(
            "halving",
            "integer",
            "keep one setting in so many at each rung. Unset: all run to the end",
        ),
    ],
    "Device": [
        Flag(
            "lane_width",
            "integer",
            "trials mapped together on a device; the last bits depend on it. Unset: 1"
            " for a run, and as measured to be fast for a sweep",
        ),
        Flag("num_devices", "integer", "how many devices. Unset: all; of a CPU, cores"),
        Flag(
            "num_threads",
            "integer",
            "threads of a CPU for one operation; the last bits of a large network"
            " depend on it. Unset: 1 for a small program, else the number of cores",
        ),
    ],
}


def training(defaults: dict[str, Any], words: dict[str, str]) -> Groups:
    """The flags of every experiment that trains, in groups.

    Args:
      defaults: name -> the experiment's own default, where it is another one.
      words: what fills the places in the help texts: examples, duration, ...
    """
    known = {
        **Options._field_defaults,
        **Sweep._field_defaults,
        **Settings._field_defaults,
        **defaults,
    }
    return {
        title: [filled(flag, known[flag.name], words) for flag in group]
        for title, group in _TRAINING.items()
    }


def filled(flag: Flag, default: Any, words: dict[str, str]) -> Flag:
    """A flag with its default, and with words in the places of its help text."""
    text = flag.help
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return flag._replace(help=text, default=default)


def of(function: Callable[..., Any], /, **helps: str) -> list[Flag]:
    """Flags for arguments of a function; their defaults are those of its signature.

    Args:
      function: its arguments have annotations and defaults.
      helps: name of an argument -> the help text.
    """
    parameters = inspect.signature(function).parameters
    return [
        Flag(name, _kind(parameters[name].annotation), text, parameters[name].default)
        for name, text in helps.items()
    ]


def parse(argv: list[str], groups: Groups) -> dict[str, Any]:
    """The values of all flags; `--flagfile` is read, too. "help" is one of them.

    Raises:
        Refusal: an unknown flag, a value of the wrong kind, a word that is no flag.
    """
    values = absl_flags.FlagValues()
    define: dict[str, Callable[..., Any]] = {
        "string": absl_flags.DEFINE_string,
        "integer": absl_flags.DEFINE_integer,
        "float": absl_flags.DEFINE_float,
        "boolean": absl_flags.DEFINE_boolean,
        "strings": absl_flags.DEFINE_multi_string,
    }
    names = [flag.name for group in groups.values() for flag in group]
    for flag in [flag for group in groups.values() for flag in group]:
        define[flag.kind](flag.name, flag.default, flag.help, flag_values=values)
    absl_flags.DEFINE_boolean("help", False, "show this", flag_values=values)
    absl_flags.DEFINE_string("flagfile", "", "flags from a file", flag_values=values)
    try:
        rest = values(argv)[1:]
    except (absl_flags.Error, OSError) as error:
        raise Refusal(str(error)) from error
    if rest:
        raise Refusal(
            f"{rest[0]!r} is no flag; did you mean --{rest[0].lstrip('-')}=...?"
        )
    found = {name: values[name].value for name in (*names, "help")}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}


def help_text(doc: str, name: str, groups: Groups) -> str:
    """The experiment's own words, then the flags in groups."""
    lines = [doc.strip(), "", f"usage: python -m experiments.{name} [--flags]", ""]
    for title, group in groups.items():
        lines.append(f"{title}:")
        for flag in group:
            lines += _described(flag)
        lines.append("")
    lines.append("--flagfile=FILE reads flags from a file, one per line.")
    return "\n".join(lines)


def _described(flag: Flag) -> list[str]:
    is_boolean = flag.kind == "boolean"
    shown = str(flag.default).lower() if is_boolean else flag.default
    if flag.kind == "strings":
        shown = " ".join(map(repr, flag.default)) or "none"
    name = f"[no]{flag.name}" if is_boolean else flag.name
    body = flag.help + ("" if flag.default is None else f" (default: {shown})")
    indent = " " * 6
    wrapped = textwrap.fill(
        body,
        80,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [f"  --{name}", wrapped]


def _kind(annotation: Any) -> str:
    """The kind of a flag for an argument with this annotation."""
    choices = getattr(annotation, "__args__", (annotation,))  # of `int | None`
    if getattr(annotation, "__origin__", None) is tuple:
        return "strings"
    return next((_KINDS[one] for one in choices if one in _KINDS), "string")
