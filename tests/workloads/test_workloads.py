"""Suites: what is in them runs, and their targets are those that the rule found."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import gradjax
from gradjax import Target, problems
from gradjax.workloads import SUITES, Workload, rule
from scripts import set_targets

ROOT = Path(__file__).resolve().parents[2]
WORKLOADS = sorted({workload for suite in SUITES.values() for workload in suite})
BOWL = Workload("quadratic(condition=2)", None, 30, Target("loss", None, "min"))


def test_suites_are_named():
    assert gradjax.suites is SUITES
    assert list(SUITES) == ["toy", "small"]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda one: one.problem)
def test_every_problem_measures_its_target(workload, made):
    found = gradjax.sweep(
        made(workload.problem),
        "sgd",
        {"learning_rate": [1e-3]},
        num_steps=2,
        batch_size=workload.batch_size,
    )
    assert np.isfinite(rule.reached(found, workload)).all()


def test_targets_are_those_of_the_record():
    text = (ROOT / "docs" / "results" / "targets.md").read_text()
    rows = re.findall(r"^\| `(.+?)` \|.*$", text, re.MULTILINE)
    kept = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 11 and cells[0].startswith("`"):
            spent = cells[1], int(cells[2].replace(",", ""))
            kept[cells[0].strip("`")] = (*spent, cells[3], float(cells[7]))
    assert len(kept) == len(rows)
    for suite in SUITES.values():
        for workload in suite:
            batch = "" if workload.batch_size is None else f"{workload.batch_size}"
            goal = workload.target.metric, workload.target.value
            assert kept[workload.problem] == (batch, workload.num_steps, *goal)


def test_targets_are_set_by_a_command(capsys, tmp_path):
    out = tmp_path / "targets.md"
    assert set_targets.main(["toy", "--problem=rosenbrok"]) == 2
    error = capsys.readouterr().err
    assert "did you mean 'rosenbrock'?" in error and error.count("\n") == 1
    assert set_targets.main(["toy", "--problem=rosenbrock", f"--out={out}"]) == 0
    assert "| `rosenbrock` |  | 1,000 | loss |" in out.read_text()


def test_the_rule_tunes_and_takes_the_median_of_fresh_seeds(monkeypatch):
    monkeypatch.setattr(rule, "OPTIMIZERS", ("sgd", "adam"))
    rates = np.asarray([1e-3, 0.5, 1e8])
    found = rule.find(BOWL, rule.Search(rates, range(3)))
    assert found.learning_rate == 0.5, "1e-3 is slow and 1e8 diverges"
    assert len(found.values) == 10
    median = float(np.median(found.values))
    assert median <= found.value <= median * 1.01
    assert found.num_met == sum(
        value <= found.value for value in _other(found.optimizer, found.learning_rate)
    )


def _other(optimizer, rate):
    found = gradjax.sweep(
        problems.make(BOWL.problem),
        optimizer,
        {"learning_rate": [rate]},
        rule.OTHER_SEEDS,
        rule.SCHEDULE,
        num_steps=BOWL.num_steps,
        trace_every=0,
    )
    return rule.reached(found, BOWL)


@pytest.mark.parametrize(
    ("value", "mode", "eased"),
    [
        (0.97654, "max", 0.976),
        (0.13372, "min", 0.134),
        (2.5683e-10, "min", 2.57e-10),
        (-1.2345, "max", -1.24),
        (0.0, "min", 0.0),
    ],
)
def test_a_target_is_rounded_to_the_easier_side(value, mode, eased):
    assert math.isclose(rule._eased(value, mode), eased, rel_tol=1e-12)
