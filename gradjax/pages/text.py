"""Tables as CSV and LaTeX, with texts that a spreadsheet and LaTeX do not interpret."""

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a spreadsheet recognises a formula
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\n": " ",
    "\r": " ",
}


def latex(text: str) -> str:
    """Returns a text with every character that LaTeX interprets escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


def csv_cell(value: object) -> str:
    """Returns a cell of a CSV; a text that is a formula begins with an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return repr(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns rows as CSV below a header; each value is written by `csv_cell`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return out.getvalue()


def booktabs(about: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""Returns a table for \usepackage{booktabs}, below a comment.

    Args:
      about: the comment, a plain text.
      heads: of the columns, as LaTeX.
      rows: the cells, plain texts.
    """
    lines = [
        f"% {latex(about)}",
        rf"\begin{{tabular}}{{{'l' * len(heads)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(" & ".join(map(latex, row)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)
