"""Runs the rule that sets the targets of the suites: `python -m scripts.set_targets`.

usage: python -m scripts.set_targets [SUITE ...] [--problem=NAME] [--out=FILE]

For each workload of the named suites (without a name, of all suites) it prints what the
rule found, and the target to write into gradjax/suites. --problem runs only that
problem. --out names a file to which the table is written after each line. The data sets
of `small` must be prepared: mnist, clinc_oos, tiny_shakespeare, tatoeba/tatoeba_de and
movielens/latest-small-ratings; `standard` needs the first three.
"""

import sys
import time
from pathlib import Path

import numpy as np

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors, write_bytes
from gradjax.report import terminal
from gradjax.suites import SUITES, Workload, rule

_FLAGS = ("--out=", "--problem=")
_HEAD = (
    "| problem | batch | steps | metric | best | learning rate | median of 10 fresh"
    " seeds | target | met by other seeds | tried | seconds |\n"
    "|---|---:|---:|---|---|---:|---:|---:|---:|---:|---:|"
)


def row(workload: Workload, found: rule.Found, seconds: float) -> str:
    """Returns a line of the table."""
    search = rule.search_of(workload)
    cells = (
        f"`{workload.problem}`",
        "" if workload.batch_size is None else f"{workload.batch_size}",
        f"{workload.num_steps:,}",
        workload.target.metric,
        f"`{found.optimizer}`",
        f"{found.learning_rate:.3g}",
        f"{np.median(found.values):.5g}",
        f"{found.value:g}",
        f"{found.num_met} of {len(rule.OTHER_SEEDS)}",
        f"{len(rule.OPTIMIZERS)} x {len(search.rates)} x {len(search.seeds)}",
        f"{seconds:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _given_values(arguments: list[str], flag: str) -> list[str]:
    return [one.removeprefix(flag) for one in arguments if one.startswith(flag)]


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    if arguments == ["--help"]:
        terminal.say((__doc__ or "").strip())
        return 0
    outs, only = (_given_values(arguments, flag) for flag in _FLAGS)
    names = [one for one in arguments if not one.startswith(_FLAGS)] or list(SUITES)
    try:
        suites = [expressions.lookup(name, SUITES, "suite") for name in names]
        known = {one.problem: one for suite in suites for one in suite}
        workloads = [expressions.lookup(one, known, "problem") for one in only or known]
        lines = [_HEAD]
        terminal.say(_HEAD)
        for workload in workloads:
            started = time.monotonic()
            found = rule.find(workload)
            lines.append(row(workload, found, time.monotonic() - started))
            terminal.say(lines[-1])
            for out in outs:
                with named_disk_errors(Path(out)):
                    write_bytes(Path(out), ("\n".join(lines) + "\n").encode())
    except (Refusal, rule.Diverged) as error:
        print(f"set_targets: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
