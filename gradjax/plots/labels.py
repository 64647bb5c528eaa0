"""Texts in figures that matplotlib must show as they are."""


def plain(text: str) -> str:
    r"""Escapes the `$` that begins a formula, and a first `_`, which hides a label."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
