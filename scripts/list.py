"""Lists optimizers, schedules, problems and more: `python -m scripts.list optimizers`.

usage: python -m scripts.list KIND [NAME ...]

A KIND is optimizers, wrappers, transforms, schedules, problems, masks or diagnostics.
Each name is shown as a call with all of its arguments and their defaults, and with its
source. If names follow the kind, only these are shown.
"""

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from gradjax import expressions, optimizers, problems, schedules
from gradjax.diagnostics import context
from gradjax.diagnostics.registry import DIAGNOSTICS
from gradjax.errors import Refusal
from gradjax.optimizers.arguments import settable
from gradjax.optimizers.defined import RESTRICTIONS
from gradjax.report import terminal
from gradjax.types import Diagnostic, Entry

_WIDTH = 88


def optimizer(name: str, entry: Entry) -> Iterator[str]:
    """Yields the paragraph of an optimizer, a wrapper or a transform."""
    defaults = {} if entry.rate is None else {entry.rate[0]: entry.rate[1]}
    yield from _call(name, list(settable(entry).values()), defaults)
    if entry.paper:
        yield entry.paper
    if entry.differs:
        yield f"differs: {entry.differs}"
    static = [one for one in entry.static if one in settable(entry)]
    if static:
        yield f"part of the program, another value compiles anew: {', '.join(static)}"
    if isinstance(entry.num_gradients, int):
        spent = f"{entry.num_gradients} gradients a step"
    else:
        spent = "more than one gradient a step, counted as they are spent"
    if entry.num_gradients != 1:
        yield spent
    if entry.space:
        ranges = ", ".join(f"{argument}={text}" for argument, text in entry.space)
        yield f"a comparison tunes {ranges}"
    if entry.step_size is not None:
        yield "its own step size is in the trace: step_size"
    if entry.eval_params is not None:
        yield "evaluated at parameters of its own, not at the last iterate"
    for restriction in RESTRICTIONS:
        if restriction.is_of(entry):
            yield f"not on every problem: {restriction.why}"


def describe(name: str, function: Callable[..., Any], skip: int) -> Iterator[str]:
    """Yields the paragraph of a function: its call and the start of its docstring."""
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    yield from _call(name, parameters, {})
    yield (inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " ")


def diagnostic(name: str, one: Diagnostic) -> Iterator[str]:
    """Yields the paragraph of a diagnostic: its call, its docstring and its names."""
    known = context.names(has_memory=True)
    parameters = context.parameters(name, one.measure)
    shared = [("every", one.every), ("on", one.on)]
    options = [p for p in parameters if p.name not in known]
    given = dict(one.options)
    said = [f"{key}={_value(value)}" for key, value in shared]
    said += [f"{p.name}={_value(given.get(p.name, p.default))}" for p in options]
    yield f"{name}({', '.join(said)})"
    yield (inspect.getdoc(one.measure) or "").partition("\n\n")[0].replace("\n", " ")


KINDS: dict[str, dict[str, Callable[[], Iterator[str]]]] = {
    **{
        kind: {
            name: lambda name=name, entry=entry: optimizer(name, entry)
            for name, entry in entries.items()
        }
        for kind, entries in (
            ("optimizers", optimizers.OPTIMIZERS),
            ("wrappers", optimizers.WRAPPERS),
            ("transforms", optimizers.TRANSFORMS),
        )
    },
    **{
        kind: {
            name: lambda name=name, made=made, skip=skip: describe(name, made, skip)
            for name, made in registry.items()
        }
        for kind, registry, skip in (
            ("schedules", schedules.SCHEDULES, 1),  # the user does not give progress
            ("problems", problems.PROBLEMS, 0),
            ("masks", optimizers.MASKS, 1),
        )
    },
    "diagnostics": {
        name: lambda name=name, one=one: diagnostic(name, one)
        for name, one in DIAGNOSTICS.items()
    },
}


def list_lines(arguments: list[str]) -> list[str]:
    """Returns the lines to print.

    Raises:
        Refusal: no kind, an unknown kind or an unknown name.
    """
    if not arguments:
        raise Refusal(f"usage: python -m scripts.list {'|'.join(KINDS)} [NAME ...]")
    kind, *names = arguments
    known = expressions.lookup(kind, KINDS, "kind")
    lines = []
    for name in names or sorted(known):
        lines += [*expressions.lookup(name, known, kind.removesuffix("s"))(), ""]
    return [*lines, f"{len(names or known)} {kind}"]


def _call(
    name: str, parameters: list[inspect.Parameter], defaults: dict[str, Any]
) -> Iterator[str]:
    shown = []
    for one in parameters:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            shown.append("...")
        elif one.name in defaults:
            shown.append(f"{one.name}={defaults[one.name]:g}")
        elif one.default is one.empty:
            shown.append(f"{one.name}=...")
        else:
            shown.append(f"{one.name}={_value(one.default)}")
    yield f"{name}({', '.join(shown)})" if shown else name


def _value(default: Any) -> str:
    if isinstance(default, tuple) and any(map(callable, default)):
        return "..."
    if callable(default):
        return getattr(default, "__name__", "...").replace("<lambda>", "...")
    return f"{default:g}" if isinstance(default, float) else repr(default)


def _wrap(line: str, is_first: bool) -> str:
    indent = "" if is_first else "    "
    return textwrap.fill(
        line,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent="    ",
        break_on_hyphens=False,
    )


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    if "--help" in arguments:
        terminal.say((__doc__ or "").strip())
        return 0
    try:
        lines = list_lines(arguments)
    except Refusal as error:
        print(f"list: {error}", file=sys.stderr)
        return 2
    starts = [True, *(line == "" for line in lines[:-1])]
    terminal.say("\n".join(map(_wrap, lines, starts)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
