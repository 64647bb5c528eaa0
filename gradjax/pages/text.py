"""Texts that a spreadsheet and LaTeX do not interpret."""

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
