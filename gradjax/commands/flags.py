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

from gradjax.commands import compilation_cache, signals, sweep
from gradjax.commands.catalog import (
    DATA_DIR,
    IMAGES,
    KEPT,
    LEARNING_RATE,
    OPTIMIZER,
    SCHEDULE,
    SEED,
    SEEDS,
    SWEEP,
    TRACE_EVERY,
    Flag,
    training,
)
from gradjax.errors import Interrupted, Refusal
from gradjax.report import terminal
from gradjax.types import Options, Problem, Settings, Sweep

__all__ = [
    "DATA_DIR",
    "IMAGES",
    "KEPT",
    "LEARNING_RATE",
    "OPTIMIZER",
    "SCHEDULE",
    "SEED",
    "SEEDS",
    "SWEEP",
    "TRACE_EVERY",
    "Command",
    "Flag",
    "as_run",
    "by_name",
    "help_text",
    "parse",
    "run",
    "training",
    "with_usual",
]

REFUSED, SET_ASIDE, INTERRUPTED = 2, 3, 130  # exit codes


class Command(NamedTuple):
    """What an experiment is told on its command line."""

    experiment: str
    settings: Any  # a NamedTuple: its first field the experiment, the others flags
    groups: dict[str, list[Flag]]  # the flags, as --help shows them
    state: Callable[..., Any] | None = None
    # (Settings, Options) -> (problem, settings, about data), of one that can be swept


def run(main: Callable[[Any, Options], Any], command: Command) -> NoReturn:
    """Runs an experiment from the command line and exits.

    Args:
      main: called with the command's settings and the Options.
      command: its flags.

    Exit codes: 0, and a diverged run is a result too; 2 refused, with one line; 3 a
    sweep of which trials were set aside; 130 interrupted, 143 by a signal other than
    Ctrl-C's.
    """
    if sys.stdout is None:
        terminal.silence()
    try:
        signals.usual()
        values = parse(sys.argv, command)
        if values["help"].value:
            terminal.say(help_text(sys.modules["__main__"].__doc__ or "", command))
            sys.exit(0)
        given = _picked(values, command.settings)
        settings = command.settings(command.experiment, **given)
        options = Options(**_picked(values, Options))
        asked = Sweep(**_picked(values, Sweep))
        _keep_compiled_programs()
        if command.state is not None and (asked.sweep or asked.space):
            _use_every_core()
            summary = sweep.run(command.state, as_run(settings), asked, options)
            if summary["num_set_aside"]:
                sys.exit(SET_ASIDE)
        else:
            main(settings, options)
    except Refusal as error:
        _complain(" ".join(str(error).split()))
        sys.exit(REFUSED)
    except Interrupted as stop:
        signals.ignored()  # one more Ctrl-C would find nothing to stop
        _complain(str(stop))
        sys.exit(signals.exit_code(stop.number))
    except KeyboardInterrupt:
        signals.ignored()
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
    for flag in [flag for group in _groups(command).values() for flag in group]:
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
    for title, group in _groups(command).items():
        lines.append(f"{title}:")
        for flag in group:
            lines += _described(flag, defaults[flag.name])
        lines.append("")
    lines.append("--flagfile=FILE reads flags from a file, one a line.")
    return "\n".join(lines)


def _defaults(command: Command) -> dict[str, Any]:
    """Flag name -> what its field holds where the flag is not given."""
    own = command.settings._field_defaults
    return {**Sweep._field_defaults, **Options._field_defaults, **own}


def _groups(command: Command) -> dict[str, list[Flag]]:
    return command.groups if command.state is None else {**command.groups, **SWEEP}


def as_run(settings: Any) -> Settings:
    """An experiment's settings as those of a run.

    What a run has and it lacks is None; what it alone has is in `own`.
    """
    values = settings._asdict()
    kept = values.pop("own", ())  # of one whose settings are those of a run
    shared = {name: v for name, v in values.items() if name in Settings._fields}
    own = (*kept, *((name, v) for name, v in values.items() if name not in shared))
    return Settings(**{"model": None, **shared}, own=own)


def with_usual(
    settings: Settings, optimizer: str, rate: float, epochs: int | None = None
) -> Settings:
    """What was not asked for, as an experiment found it to be good.

    Args:
      settings: of a run.
      optimizer: whose learning rate `rate` is; any other one has its own.
      rate: where no learning rate is given.
      epochs: where neither epochs nor steps are given.
    """
    if settings.epochs is None and settings.steps is None:
        settings = settings._replace(epochs=epochs)
    if settings.learning_rate is None and settings.optimizer == optimizer:
        settings = settings._replace(learning_rate=rate)
    return settings


def by_name(
    load: Callable[..., tuple[Problem, dict[str, Any]]],
    kind: Any,
    rate: float,
    epochs: int,
) -> Callable[[Settings, Options], tuple[Problem, Settings, dict[str, Any]]]:
    """The `state` of an experiment whose problem is loaded by names.

    Args:
      load: (dataset, model, **the experiment's own settings, data_dir) -> the problem,
        and what a record must say of its data.
      kind: the experiment's Settings; `rate` is its default optimizer's.
      rate: see `with_usual`.
      epochs: see there.
    """
    optimizer = kind._field_defaults["optimizer"]

    def state(
        settings: Settings, options: Options
    ) -> tuple[Problem, Settings, dict[str, Any]]:
        """The problem of these settings, which then say how long and at which rate."""
        named = settings.dataset or "", settings.model or ""
        own = dict(settings.own)
        problem, about = load(*named, **own, data_dir=options.data_dir)
        return problem, with_usual(settings, optimizer, rate, epochs), about

    return state


def _described(flag: Flag, default: Any) -> list[str]:
    shown = str(default).lower() if flag.kind == "boolean" else default
    if flag.kind == "strings":
        shown = " ".join(map(repr, default)) or "none"
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


def _use_every_core() -> None:
    """One host device a core, before the backend starts; an accelerator's stay."""
    num_cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    )
    jax.config.update("jax_num_cpu_devices", num_cores or os.cpu_count() or 1)


def _keep_compiled_programs() -> None:
    compilation_cache.keep(_complain)


def _complain(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except (BrokenPipeError, AttributeError):
        return
