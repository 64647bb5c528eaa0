"""Writes the parameters of a trial to one file, by readable names.

usage: python -m scripts.export_params FOLDER[:trial] [--out=params.npz]

Without a trial it is the first seed of a run, or of the best setting of a sweep. The
names are as in "Dense_0/kernel"; those of the state of a network, such as the means of
BatchNorm, begin with "model_state/". A file that ends in .safetensors keeps the type of
each leaf, and needs the package safetensors; an .npz holds bfloat16 as float32. Both
can be read by `--init_from=FILE`.
"""

import sys
from pathlib import Path

from gradjax.errors import Refusal
from gradjax.files import named_disk_errors
from gradjax.records import initial, weights
from gradjax.report import terminal
from scripts import parsing


def export(source: str, out: Path) -> int:
    """Writes the parameters of a trial.

    Args:
      source: FOLDER or FOLDER:trial.
      out: the file, which must not exist.

    Returns:
      The number of leaves.

    Raises:
      Refusal: no such trial, its parameters are not stored, `out` exists or has another
        ending, or safetensors is not installed.
    """
    if out.exists():
        raise Refusal(f"--out={out}: exists already")
    _, params, state = initial.of_record(*initial.split(source))
    weights.write(out, params, state)
    return len(params) + len(state)


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    parser = parsing.parser("export_params", __doc__)
    parser.add_argument("source", help="FOLDER[:trial] of a run or a sweep")
    usual = Path("params.npz")
    parser.add_argument("--out", type=Path, default=usual, help=f"a file; {usual}")
    asked = parser.parse_args(arguments)
    try:
        with named_disk_errors(asked.out):
            count = export(asked.source, asked.out)
    except Refusal as error:
        print(f"export_params: {error}", file=sys.stderr)
        return 2
    terminal.say(f"{asked.out}: {count:,} leaves")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
