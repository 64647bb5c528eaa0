"""absl flags <-> gradjax: the only module that knows absl.

Defaults live once, in the fields of an experiment's settings and of Options; the flags
read them from there.
"""

import os
import sys
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import jax
from absl import flags as absl_flags

from gradjax import models, optimizers, schedules
from gradjax.errors import Refusal
from gradjax.files import cache_folder
from gradjax.report import terminal
from gradjax.types import Options

REFUSED, INTERRUPTED = 2, 130  # exit codes


class Flag(NamedTuple):
    """One flag: its name is a field of the command's settings or of Options."""

    name: str
    kind: str  # string, integer, float, boolean, or strings: it may be repeated
    help: str


class Command(NamedTuple):
    """What an experiment is told on its command line."""

    experiment: str
    settings: Any  # a NamedTuple: its first field the experiment, the others flags
    groups: dict[str, list[Flag]]  # the flags, as --help shows them


OPTIMIZER = Flag(
    "optimizer",
    "string",
    "a name, or a call such as 'adamw(b2=0.95, weight_decay=0.1)' or"
    " 'chain(clip_by_global_norm(1.0), sgd(momentum=0.9))', or an import path to your"
    " own: 'my_package.my_module:my_optimizer(b1=0.95)'. Names:"
    f" {', '.join(sorted(optimizers.OPTIMIZERS))}. Around one or more of them:"
    f" {', '.join(sorted(optimizers.WRAPPERS))}. `python -m scripts.list optimizers`"
    " says what each takes, `python -m scripts.list transforms` what else a chain may"
    " hold",
)
LEARNING_RATE = Flag(
    "learning_rate",
    "float",
    "the peak, which the schedule multiplies. Unset: the optimizer's own",
)
SCHEDULE = Flag(
    "schedule",
    "string",
    "the shape of the learning rate over the run: a name, or a call such as"
    " 'warmup_cosine(warmup=0.05)', where a float is a fraction of the run and an int"
    " a number of steps, or numbers such as '[0, 1, 0.5]'. Names:"
    f" {', '.join(sorted(schedules.SCHEDULES))}. `python -m scripts.show_schedule`"
    " draws them",
)
SEED = Flag("seed", "integer", "of initial parameters and batch order")
SEEDS = Flag(
    "seeds",
    "integer",
    "how many runs, with seed, seed + 1, ...: their mean and Student's 95 % interval"
    " are reported",
)
TRACE_EVERY = Flag(
    "trace_every",
    "integer",
    "steps a point of the kept training curves; 0 keeps at most 1,000 points",
)
KEPT = [
    Flag(
        "workdir",
        "string",
        "the run's folder. Unset: runs/<experiment>/<readable-name>",
    ),
    Flag("overwrite", "boolean", "do it again over what is there"),
    Flag("plot", "boolean", "draw the picture"),
]
IMAGES: dict[str, list[Flag]] = {
    "What is trained, on what": [
        Flag("model", "string", f"the network: {', '.join(models.MODELS)}"),
        Flag(
            "dataset",
            "string",
            "digits (bundled with scikit-learn), or the TFDS name of a prepared image"
            " data set: mnist, fashion_mnist, ... Unset: mnist where it is prepared,"
            " else digits",
        ),
        Flag(
            "data_dir",
            "string",
            "where TFDS keeps its data. Unset: $TFDS_DATA_DIR or ~/tensorflow_datasets",
        ),
    ],
    "How": [
        OPTIMIZER,
        LEARNING_RATE,
        SCHEDULE,
        Flag("batch_size", "integer", "examples a step"),
    ],
    "How long": [
        Flag(
            "epochs", "integer", "passes over the training split. Unset: 5; digits: 30"
        ),
        Flag("steps", "integer", "optimizer steps, instead of epochs"),
        Flag(
            "eval_every",
            "integer",
            "steps between two evaluations on the validation split. Unset: an epoch",
        ),
    ],
    "Chance": [SEED, SEEDS],
    "What is kept": [*KEPT, TRACE_EVERY],
}


def run(main: Callable[[Any, Options], Any], command: Command) -> NoReturn:
    """Runs an experiment from the command line and exits.

    Args:
      main: called with the command's settings and the Options.
      command: its flags.

    Exit codes: 0, and a diverged run is a result too; 2 refused, with one line; 130
    interrupted.
    """
    if sys.stdout is None:
        terminal.silence()
    try:
        values = parse(sys.argv, command)
        if values["help"].value:
            terminal.say(help_text(sys.modules["__main__"].__doc__ or "", command))
            sys.exit(0)
        given = _picked(values, command.settings)
        settings = command.settings(command.experiment, **given)
        _keep_compiled_programs()
        main(settings, Options(**_picked(values, Options)))
    except Refusal as error:
        _complain(" ".join(str(error).split()))
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        _complain("interrupted; the same command starts again")
        sys.exit(INTERRUPTED)
    sys.exit(0)


def parse(argv: list[str], command: Command) -> absl_flags.FlagValues:
    """The flags of a command line; `--flagfile` is read, too.

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
    defaults = _defaults(command)
    for flag in [flag for group in command.groups.values() for flag in group]:
        define[flag.kind](flag.name, defaults[flag.name], flag.help, flag_values=values)
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
    return values


def help_text(doc: str, command: Command) -> str:
    """The experiment's own words, then the flags in groups."""
    defaults = _defaults(command)
    lines = [
        doc.strip(),
        "",
        f"usage: python -m experiments.{command.experiment} [--flags]",
        "",
    ]
    for title, group in command.groups.items():
        lines.append(f"{title}:")
        for flag in group:
            lines += _described(flag, defaults[flag.name])
        lines.append("")
    lines.append("--flagfile=FILE reads flags from a file, one a line.")
    return "\n".join(lines)


def _defaults(command: Command) -> dict[str, Any]:
    """Flag name -> what its field holds where the flag is not given."""
    return {**command.settings._field_defaults, **Options._field_defaults}


def _described(flag: Flag, default: Any) -> list[str]:
    shown = str(default).lower() if flag.kind == "boolean" else default
    if flag.kind == "strings":
        shown = " ".join(map(repr, default))
    said = f" (default: {shown})"
    name = f"[no]{flag.name}" if flag.kind == "boolean" else flag.name
    body = flag.help + ("" if default is None else said)
    indent = " " * 6
    wrapped = textwrap.fill(
        body,
        80,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [f"  --{name}", wrapped]


def _picked(values: absl_flags.FlagValues, kind: Any) -> dict[str, Any]:
    """The flags that are fields of a NamedTuple; what was repeated, as a tuple."""
    picked = {name: values[name].value for name in kind._fields if name in values}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in picked.items()
    }


def _keep_compiled_programs() -> None:
    """Keeps compiled programs in the user's cache folder: the next start is faster."""
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _complain(f"compiled programs are not kept: {folder}: {error.strerror}")
        return
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _complain(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except (BrokenPipeError, AttributeError):
        return
