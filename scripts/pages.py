"""The place of a page that a script writes."""

from pathlib import Path

from gradjax.errors import Refusal

COMMITTED, USUAL = Path("docs/results"), Path("runs/results")
HELP = "write the page of docs/results, which is committed"


def place(name: str, out: Path | None = None, is_committed: bool = False) -> Path:
    """Returns where a page is written: below runs/, unless something else is asked for.

    Args:
      name: of the page's file.
      out: the value of --out; None: not given.
      is_committed: whether --write was given.

    Raises:
        Refusal: both are given.
    """
    if out is not None and is_committed:
        raise Refusal(f"--write and --out={out} are both given; give one")
    return out or (COMMITTED if is_committed else USUAL) / name
