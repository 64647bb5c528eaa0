"""A comparison that is killed, and the same command: the same tables, bit for bit."""

import csv

import pytest

from gradjax.records import faults
from tests.comparing.test_compare import PROBLEM

FLAGS = [
    "--optimizers=[sgd(momentum=0.9), adam]",
    f"--problems=[{PROBLEM}]",
    *("--gradients=6", "--trials=2", "--seeds=2", "--workdir=it"),
    *("--horizons=[1, 2]", "--retune=no"),
]
# The two searches are trained and timed, and then the two runs at the other horizon.
# Each cell has a plan and commits, and at its end an event with its time.
KILLS = [
    "open:after_plan:2",  # the second cell is begun
    "commit:mid_write:3",
    "commit:after_rename:2",
    "segment:begun:5",
    "event:mid_journal:2",  # the second time of a gradient is being written
    "open:before_plan:3",  # between the two phases
    "event:before_journal:3",  # while the gradients of the second phase are timed
]
CLOCK = ("seconds_to_target",)


def tables(folder):
    """The rows of the report without the figures of a clock."""
    with (folder / "it" / "report" / "report.csv").open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in CLOCK}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, process):
    pytest.importorskip("jinja2")
    folder = tmp_path_factory.mktemp("whole")
    done = process(folder, "scripts.compare", *FLAGS)
    assert done.returncode == 0, done.stderr
    return tables(folder)


@pytest.mark.slow
@pytest.mark.parametrize("point", KILLS)
def test_a_kill_at_any_instant_and_the_same_command(
    point, whole, process, typed, tmp_path
):
    killed = process(
        tmp_path, "scripts.compare", *FLAGS, **{faults.VARIABLE: f"{point}:kill"}
    )
    assert killed.returncode == -9, killed.stdout + killed.stderr
    again = typed("scripts.compare", *FLAGS)
    assert again.returncode == 0, again.stderr
    assert tables(tmp_path) == whole and len(whole) == 4
