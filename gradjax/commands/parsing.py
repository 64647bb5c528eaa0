"""Reads the values of flags from a command line (absl), and writes their help."""

import textwrap
from collections.abc import Callable
from typing import Any

from absl import flags as absl_flags

from gradjax.commands.flags import Flag, Groups
from gradjax.errors import Refusal


def parse(argv: list[str], groups: Groups) -> dict[str, Any]:
    """Reads the values of all flags, "help" included, from a command line.

    `--flagfile` names a file with further flags.

    Raises:
        Refusal: an unknown flag, a value of the wrong kind, a word that is not a flag.
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
        if flag.words:
            _define_with_words(flag, values)
            continue
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
    return {name: _checked(name, values[name].value) for name in (*names, "help")}


class _WithWords(absl_flags.ArgumentParser):
    """Parses a boolean flag that also takes some words: --plot, --noplot, --plot=w."""

    def __init__(self, words: tuple[str, ...]):
        super().__init__()
        self._words = words

    def parse(self, argument: Any) -> bool | str:
        """Returns True, False or one of the words."""
        if argument in self._words:
            return argument
        try:
            return absl_flags.BooleanParser().parse(argument)
        except ValueError as error:
            words = ", ".join(("true", "false", *self._words))
            raise ValueError(f"expected one of {words}") from error


def _define_with_words(flag: Flag, values: absl_flags.FlagValues) -> None:
    parser = _WithWords(flag.words)
    one = absl_flags.Flag(
        parser, None, flag.name, flag.default, flag.help, boolean=True
    )
    absl_flags.DEFINE_flag(one, values)


def _checked(name: str, value: Any) -> Any:
    """Returns the value of a flag, a list as a tuple; refuses one without a text."""
    if isinstance(value, list):
        return tuple(_checked(name, one) for one in value)
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise Refusal(f"--{name}={value!r}: the value is empty, or not a text")
    return value


def help_text(doc: str, name: str, groups: Groups) -> str:
    """Returns the docstring of the experiment, then its flags in groups."""
    lines = [doc.strip(), "", f"usage: python -m experiments.{name} [--flags]", ""]
    for title, group in groups.items():
        lines.append(f"{title}:")
        for flag in group:
            lines += _describe(flag)
        lines.append("")
    lines.append("--flagfile=FILE reads flags from a file, one per line.")
    return "\n".join(lines)


def _describe(flag: Flag) -> list[str]:
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
