"""The main function of `python -m experiments.<name>`, and its exit codes."""

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from gradjax.commands import allocation, compilation_cache, parsing, signals
from gradjax.commands.experiment import Experiment, Lesson, groups_of, settings_of
from gradjax.commands.train import train as train_and_store
from gradjax.errors import Interrupted, Refusal
from gradjax.report import terminal
from gradjax.types import Options, Sweep

REFUSED, SET_ASIDE, INTERRUPTED = 2, 3, 130  # exit codes
_NO_BACKEND = "Unable to initialize backend"  # JAX, for instance with JAX_PLATFORMS=x
Train = Callable[..., dict[str, Any]]


def main(what: Experiment | Lesson, train: Train = train_and_store) -> NoReturn:
    """Runs an experiment from the command line and exits.

    Args:
      what: the experiment or the lesson.
      train: the function that trains; it has the arguments of `commands.train.train`.

    Exit codes: 0: finished, also if a run diverged; 2: refused, with one line; 3: some
    trials were set aside; 128 and the number of a signal that stopped it, which on
    Linux is 130 for Ctrl-C, 143 for SIGTERM, 138 for SIGUSR1 and 129 for SIGHUP.
    """
    if sys.stdout is None:
        terminal.silence()
    terminal.replace_unprintable()
    try:
        signals.usual()
        summary = _run(what, train)
        if summary.get("num_set_aside"):
            sys.exit(SET_ASIDE)
    except Refusal as error:
        complain(" ".join(str(error).split()))
        sys.exit(REFUSED)
    except RuntimeError as error:
        if not str(error).startswith(_NO_BACKEND):
            raise
        complain(f"JAX cannot start: {' '.join(str(error).split())}")
        sys.exit(REFUSED)
    except Interrupted as stop:
        signals.ignore()  # another Ctrl-C must not disturb the exit
        complain(str(stop))
        sys.exit(signals.exit_code(stop.number))
    except KeyboardInterrupt:
        signals.ignore()
        complain("interrupted; the same command starts again")
        sys.exit(INTERRUPTED)
    sys.exit(0)


def complain(line: str) -> None:
    """Prints one line on stderr."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (BrokenPipeError, AttributeError):
        return


def _run(what: Experiment | Lesson, train: Train) -> dict[str, Any]:
    groups = groups_of(what)
    values = parsing.parse(sys.argv, groups)
    if values.pop("help"):
        doc = sys.modules["__main__"].__doc__ or ""
        terminal.say(parsing.help_text(doc, what.name, groups))
        sys.exit(0)
    options = Options(**_pick(values, Options))
    if values.get("stream"):
        allocation.use_one_arena()
    compilation_cache.keep(complain)
    if isinstance(what, Lesson):
        settings = what.settings(what.name, **_pick(values, what.settings))
        return what.run(settings, options)
    asked = Sweep(**_pick(values, Sweep))
    others = {*Sweep._fields, *Options._fields}
    own = {name: value for name, value in values.items() if name not in others}
    return train(what, settings_of(what, **own), asked, options, may_restart=True)


def _pick(values: dict[str, Any], kind: Any) -> dict[str, Any]:
    """Returns the values of the flags that are fields of a NamedTuple."""
    return {name: values[name] for name in kind._fields if name in values}
