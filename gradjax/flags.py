"""absl flags <-> gradjax: the only module that knows absl.

Defaults live once, in the fields of Settings and Options; the flags read them from
there.
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
from gradjax.types import Options, Settings

REFUSED, INTERRUPTED = 2, 130  # exit codes


class Flag(NamedTuple):
    """One flag: its name is a field of Settings or Options."""

    name: str
    kind: str  # string, integer, float or boolean
    help: str


GROUPS: dict[str, list[Flag]] = {
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
        Flag(
            "optimizer",
            "string",
            "a name, or a call such as 'adamw(b2=0.95, weight_decay=0.1)' or"
            " 'chain(clip_by_global_norm(1.0), sgd(momentum=0.9))', or an import path"
            " to your own: 'my_package.my_module:my_optimizer(b1=0.95)'. Names:"
            f" {', '.join(sorted(optimizers.OPTIMIZERS))}. Inside chain(...) also:"
            f" {', '.join(sorted(optimizers.TRANSFORMS))}",
        ),
        Flag(
            "learning_rate",
            "float",
            "the peak, which the schedule multiplies. Unset: the optimizer's own",
        ),
        Flag(
            "schedule",
            "string",
            "the shape of the learning rate over the run: a name, or a call such as"
            " 'warmup_cosine(warmup=0.05)', where a float is a fraction of the run and"
            " an int a number of steps. Names:"
            f" {', '.join(sorted(schedules.SCHEDULES))}",
        ),
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
    "Chance": [
        Flag("seed", "integer", "of initial parameters and batch order"),
        Flag(
            "seeds",
            "integer",
            "how many runs, with seed, seed + 1, ...: their mean and Student's 95 %"
            " interval are reported",
        ),
    ],
    "What is kept": [
        Flag(
            "workdir",
            "string",
            "the run's folder. Unset: runs/<experiment>/<readable-name>",
        ),
        Flag("overwrite", "boolean", "train again over a run that is there"),
        Flag("plot", "boolean", "draw curves.png"),
        Flag(
            "trace_every",
            "integer",
            "steps a point of the kept training curves; 0 keeps at most 1,000 points",
        ),
    ],
}
_DEFAULTS = {**Settings._field_defaults, **Options._field_defaults}


def run(main: Callable[[Settings, Options], Any], experiment: str) -> NoReturn:
    """Runs an experiment from the command line and exits.

    Exit codes: 0, and a diverged run is a result too; 2 refused, with one line; 130
    interrupted.
    """
    if sys.stdout is None:
        terminal.silence()
    try:
        values = parse(sys.argv)
        if values["help"].value:
            terminal.say(help_text(sys.modules["__main__"].__doc__ or "", experiment))
            sys.exit(0)
        settings = Settings(experiment, **_picked(values, Settings))
        _keep_compiled_programs()
        main(settings, Options(**_picked(values, Options)))
    except Refusal as error:
        _complain(" ".join(str(error).split()))
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        _complain("interrupted; the same command starts again")
        sys.exit(INTERRUPTED)
    sys.exit(0)


def parse(argv: list[str]) -> absl_flags.FlagValues:
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
    }
    for flag in [flag for group in GROUPS.values() for flag in group]:
        define[flag.kind](
            flag.name, _DEFAULTS[flag.name], flag.help, flag_values=values
        )
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


def help_text(doc: str, experiment: str) -> str:
    """The experiment's own words, then the flags in groups."""
    lines = [
        doc.strip(),
        "",
        f"usage: python -m experiments.{experiment} [--flags]",
        "",
    ]
    for title, group in GROUPS.items():
        lines.append(f"{title}:")
        for flag in group:
            lines += _described(flag)
        lines.append("")
    lines.append("--flagfile=FILE reads flags from a file, one a line.")
    return "\n".join(lines)


def _described(flag: Flag) -> list[str]:
    default = _DEFAULTS[flag.name]
    said = f" (default: {str(default).lower() if flag.kind == 'boolean' else default})"
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
    """The flags that are fields of Settings or Options."""
    return {name: values[name].value for name in kind._fields if name in values}


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
