"""Chooses the columns of a file of rows, and says in one line what was understood."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from gradjax import expressions
from gradjax.data.rows import Rows, normal
from gradjax.errors import Refusal


class Column(NamedTuple):
    """A column that was chosen."""

    place: int  # from 0
    shown: str  # "column 'text'", or "column 2" without a header


class Role(NamedTuple):
    """What a column is for."""

    what: str  # its contents, for the messages
    flag: str  # the flag that chooses it
    wanted: str | None  # the name or the number that was given
    names: tuple[str, ...]  # its usual names, the preferred ones first


Two = tuple[Column, Column]


def two(rows: Rows, roles: tuple[Role, Role], guess: Callable[[Rows], Two]) -> Two:
    """Chooses two columns; in a file of two columns, one of them decides the other.

    Args:
      rows: the file.
      roles: of the two columns.
      guess: chooses both in a file of two columns whose names say nothing.

    Raises:
      Refusal: what `choose` refuses; a column that cannot be found. Both may be the
        same column, which the caller refuses.
    """
    first, second = (choose(rows, role.flag, role.wanted, role.names) for role in roles)
    if first is None and second is None and rows.num_columns == 2:
        first, second = guess(rows)
    if first is None and second is not None:
        first = other(rows, second)
    if second is None and first is not None:
        second = other(rows, first)
    if first is None:
        raise undecided(rows, roles[0].what, roles[0].flag)
    if second is None:
        raise undecided(rows, roles[1].what, roles[1].flag)
    return first, second


def choose(
    rows: Rows, flag: str, wanted: str | None, names: Iterable[str] = ()
) -> Column | None:
    """Chooses a column.

    Args:
      rows: the file.
      flag: the flag that chooses this column, for the messages.
      wanted: the name of the column or its number from 1, as given; None: not given.
      names: the usual names of such a column, as `normal` writes them, the preferred
        ones first.

    Returns:
      The column; None if none was given and the header has none of the usual names.

    Raises:
      Refusal: there is no such column; or two columns have the same name.
    """
    header = rows.header or ()
    if wanted is not None:
        if wanted in header:
            return nth(rows, header.index(wanted))
        if wanted.isdecimal() and 1 <= int(wanted) <= rows.num_columns:
            return nth(rows, int(wanted) - 1)
        known = list(header) or [str(k + 1) for k in range(rows.num_columns)]
        line = expressions.unknown(wanted, known, "column")
        raise Refusal(f"{rows.path}: --{flag}={wanted}: {line}")
    said = [normal(name) for name in header]
    for name in names:
        if (count := said.count(name)) > 1:
            raise Refusal(f"{rows.path}:1: {count} columns have the name {name!r}")
        if count:
            return nth(rows, said.index(name))
    return None


def other(rows: Rows, taken: Column) -> Column | None:
    """Returns the second column of a file of two; None with more columns."""
    if rows.num_columns != 2:
        return None
    return nth(rows, 1 - taken.place)


def undecided(rows: Rows, what: str, flag: str) -> Refusal:
    """Returns the refusal of a file in which a column cannot be found by its name."""
    first = rows.fields[0] if rows.header is None else rows.header
    shown = ", ".join(map(repr, first))
    shown = shown if len(shown) <= 200 else f"{shown[:197]}..."
    where = "first row" if rows.header is None else "header"
    return Refusal(
        f"{rows.path}: which column has the {what}? The {where} is {shown}: say it"
        f" with --{flag}=..."
    )


def described(rows: Rows, said: list[str], counts: list[str]) -> str:
    """Describes in one line what was understood of a file.

    Args:
      rows: the file.
      said: the role of each used column, such as "text in column 'review'".
      counts: such as "60 texts".
    """
    if rows.kind in ("JSON lines", "NumPy arrays"):
        first = rows.kind
    else:
        first = f"{rows.kind} {'without' if rows.header is None else 'with'} a header"
    if rows.num_empty:
        lines = "line" if rows.num_empty == 1 else "lines"
        counts = [*counts, f"{rows.num_empty} empty {lines} left out"]
    return f"{rows.path.name}: {', '.join([first, *said, *counts])}"


def nth(rows: Rows, place: int) -> Column:
    """Returns the column with a place, from 0."""
    name = f"{place + 1}" if rows.header is None else repr(rows.header[place])
    return Column(place, f"column {name}")
