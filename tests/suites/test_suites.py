"""Suites: what is in them runs, and their targets are those that the rule found."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import gradjax
from gradjax import Target, problems
from gradjax.suites import SUITES, Workload, rule
from gradjax.trials.lanes import lanes
from scripts import run_suite, set_targets

ROOT = Path(__file__).resolve().parents[2]
WORKLOADS = sorted({workload for suite in SUITES.values() for workload in suite})
BUNDLED = ("digits", "wine")  # the other data sets take seconds to be read
LOW = Target("loss", 1e-3, "min")
BOWL = Workload("quadratic(condition=2)", None, 30, LOW, "sgd", 0.5)


def test_suites_are_named():
    assert gradjax.suites is SUITES
    assert list(SUITES) == ["toy", "small", "standard"]


def slow_unless(is_quick):
    """Every workload; those that are not quick are left out of `make test`."""
    return pytest.mark.parametrize(
        "workload",
        [
            pytest.param(one, marks=() if is_quick(one) else pytest.mark.slow)
            for one in WORKLOADS
        ],
        ids=lambda one: one.problem,
    )


def is_toy(workload):
    return workload in SUITES["toy"]


@slow_unless(lambda one: is_toy(one) or one.problem.startswith(BUNDLED))
@pytest.mark.slow
def test_every_problem_has_the_metric_of_its_target(workload, made):
    size = workload.batch_size
    program = gradjax.program(
        made(workload.problem), "sgd", num_steps=2, batch_size=size
    )
    report = lanes(program, 1, 1).shapes[1]
    measured = report.validation or report.final["train"]
    assert workload.target.metric in measured


@slow_unless(lambda one: one.problem in ("rosenbrock", "wine_mlp"))
@pytest.mark.slow
def test_every_problem_measures_its_target(workload, made):
    found = gradjax.sweep(
        made(workload.problem),
        "sgd",
        {"learning_rate": [1e-3]},
        num_steps=2,
        batch_size=workload.batch_size,
    )
    assert np.isfinite(rule.final_values(found, workload)).all()


def test_targets_are_those_of_the_record():
    text = (ROOT / "docs" / "results" / "targets.md").read_text()
    rows = re.findall(r"^\| `(.+?)` \|.*$", text, re.MULTILINE)
    kept = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 11 and cells[0].startswith("`"):
            spent = cells[1], int(cells[2].replace(",", ""))
            tuned = cells[4].strip("`"), float(cells[5])
            kept[cells[0].strip("`")] = (*spent, cells[3], float(cells[7]), *tuned)
    assert len(kept) == len(rows)
    for suite in SUITES.values():
        for workload in suite:
            batch = "" if workload.batch_size is None else f"{workload.batch_size}"
            goal = workload.target.metric, workload.target.value
            tuned = workload.optimizer, workload.learning_rate
            row = (batch, workload.num_steps, *goal, *tuned)
            assert kept[workload.problem] == row


@pytest.mark.parametrize(
    ("suite", "name", "num_steps", "optimizers"),
    [
        ("bowl", BOWL.problem, "30", ("sgd",)),
        ("toy", "rosenbrock", "1,000", rule.OPTIMIZERS),
    ],
)
@pytest.mark.slow
def test_targets_are_set_by_a_command(
    suite, name, num_steps, optimizers, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(rule, "OPTIMIZERS", optimizers)
    monkeypatch.setitem(SUITES, "bowl", (BOWL,))
    out = tmp_path / "targets.md"
    assert set_targets.main([suite, f"--problem={name}", f"--out={out}"]) == 0
    assert f"| `{name}` |  | {num_steps} | loss |" in out.read_text()
    assert out.read_text() in capsys.readouterr().out


def test_targets_of_no_problem_are_not_set(capsys):
    assert set_targets.main(["toy", "--problem=rosenbrok"]) == 2
    error = capsys.readouterr().err
    assert "did you mean 'rosenbrock'?" in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_suite_is_run_by_a_command(capsys):
    assert run_suite.main(["toy"]) == 0
    out = capsys.readouterr().out
    rows = re.findall(r"^\| `.*\| (yes|no) \|.*$", out, re.MULTILINE)
    assert len(rows) == len(SUITES["toy"])
    assert re.search(
        rf"^{rows.count('yes')} of {len(rows)} met, \d+ s in all$", out, re.M
    )
    assert "| `rosenbrock` | `sgd(momentum=0.9) at 0.00215` | loss |" in out
    assert "yes" in rows


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["toi"], "did you mean 'toy'?"),
        (["toy", "--optimizer=adm"], "did you mean 'adam'"),
        (["toy", "--optimizer=adam(3e-3", "--seed=1"], "adam(3e-3"),
    ],
)
def test_a_suite_is_not_run_with_what_there_is_not(given, said, capsys):
    assert run_suite.main(given) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.err.count("\n") == 1 and not printed.out


def test_what_is_not_prepared_is_left_out(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    away = next(one for one in SUITES["small"] if one.problem == "mnist_mlp")
    monkeypatch.setitem(SUITES, "bowl", (away, BOWL))
    assert run_suite.main(["bowl"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("run_suite: mnist_mlp is left out: ")
    assert "not prepared" in printed.err and printed.err.count("\n") == 1
    assert "1 of 1 met, 1 left out, " in printed.out


@pytest.mark.slow
def test_an_optimizer_of_ones_own_is_run(capsys, monkeypatch):
    monkeypatch.setitem(SUITES, "bowl", (BOWL,))
    given = {"sgd(0.5)": "yes", "sgd(1e-6)": "no", "lbfgs": "yes"}  # without a rate
    for expression, met in given.items():
        assert run_suite.main(["bowl", f"--optimizer={expression}"]) == 0
        out = capsys.readouterr().out
        assert f"| `{expression}` | loss |" in out and f"| {met} |" in out


@pytest.mark.slow
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


def test_a_float32_meets_the_target_that_it_equals():
    values = np.asarray([0.913, 0.914, 0.915, np.nan], np.float32).astype(np.float64)
    assert rule.num_met(values, Target("accuracy", 0.914, "max")) == 2
    assert rule.num_met(values, Target("error", 0.914, "min")) == 2
    assert rule.num_met(values, Target("accuracy", None, "max")) == 0


@pytest.mark.parametrize("rates", [[1e-05, 0.001], [0.3, 0.45], [0.9, 1.1]])
@pytest.mark.slow
def test_the_rule_goes_on_beyond_the_rates_while_that_helps(rates, monkeypatch):
    monkeypatch.setattr(rule, "OPTIMIZERS", ("sgd",))
    found = rule.find(BOWL, rule.Search(np.asarray(rates), range(1)))
    ratio = rates[1] / rates[0]
    best = found.values.mean()
    for rate in (found.learning_rate / ratio, found.learning_rate * ratio):
        assert not _other("sgd", rate).mean() < best


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
    return rule.final_values(found, BOWL)


@pytest.mark.parametrize(
    ("value", "mode", "eased"),
    [
        (0.97654, "max", 0.976),
        (0.13372, "min", 0.134),
        (2.5683e-10, "min", 2.57e-10),
        (0.102, "max", 0.102),
        (0.91399997, "max", 0.914),
        (0.110000004, "min", 0.11),
        (1.11, "min", 1.11),
        (100.04, "min", 101.0),
        (-1.2345, "max", -1.24),
        (0.0, "min", 0.0),
    ],
)
def test_a_target_is_rounded_to_the_easier_side(value, mode, eased):
    assert math.isclose(rule._ease(value, mode), eased, rel_tol=1e-12)
