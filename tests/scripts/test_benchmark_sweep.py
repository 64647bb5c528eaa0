import importlib.util
import os
import re

import numpy as np
import pytest

import gradjax
from gradjax.errors import Refusal
from scripts import benchmark
from scripts.baselines import Settings
from scripts.baselines.sweeps import (
    Cost,
    Measured,
    Task,
    cases,
    cost_of,
    table,
    total_s,
)
from scripts.baselines.sweeps import contest as contests
from scripts.baselines.sweeps import run as runs
from scripts.baselines.sweeps.contest import Contest, Contestant, Outcome
from scripts.baselines.sweeps.datasets import load, problem_of
from scripts.baselines.sweeps.processes import start
from scripts.baselines.sweeps.widths import Cell, Size, Table

TASK = Task("digits", Settings("mlp", 32, False), 32, 60, None, is_evaluated=True)
TOY = Contest(
    "a toy",
    TASK,
    num_trials=6,
    rates=(1e-2, 1e-1),
    contestants=(
        Contestant("gradjax", "lanes", 6),
        Contestant("one core", "lanes", 4, num_pinned=1),
        Contestant("compiled once", "jit_loop", 2),
        Contestant("two loops", "jit_each_rate", 4, num_pinned=2),
    ),
)


def test_the_first_trial_pays_for_what_is_set_up_once():
    cost = cost_of([5.0, 1.0, 3.0])
    assert cost == (3.0, 2.0)
    assert total_s(cost, 3) == 9.0  # as many as were measured: their sum
    assert total_s(cost, 64) == 5.0 + 63 * 2.0


def test_processes_share_the_trials_and_the_slower_one_counts():
    found = [
        Measured(Cost(1.0, 2.0), Cost(0.5, 0.0), 0.3),
        Measured(Cost(5.0, 3.0), Cost(0.0, 1.0), 0.4),
    ]
    assert contests.scale(found, 64) == (5.0 + 32 * 3.0, 32.0, 0.3)
    assert contests.scale(found[:1], 64) == (129.0, 0.5, 0.3)


def test_everyone_runs_once_a_round_in_an_order_that_rotates(capsys):
    seen = []
    toys = {name: (lambda name=name: seen.append(name) or len(seen)) for name in "abc"}
    found = contests.rounds("a title", toys, 2)
    assert seen == list("abc") + list("bca")
    assert found == {"a": [1, 6], "b": [2, 4], "c": [3, 5]}
    assert "a title: round 2 of 2: b" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("loss", "is_random", "is_refused"),
    [(0.3, False, False), (2.0, False, True), (np.inf, False, True)]
    + [(2.4, True, False), (7.0, True, True)],
)
def test_a_sweep_that_does_not_learn_is_not_timed(loss, is_random, is_refused):
    # The worst round counts.
    outcomes = {"gradjax": [Outcome(1, 1, 0.1)], "it": [Outcome(1, 1, loss)] * 2}
    outcomes["it"].append(Outcome(1, 1, 0.1))
    if not is_refused:
        contests.check_losses(outcomes, is_random)
        return
    with pytest.raises(Refusal, match="it: the best training loss.*expected under"):
        contests.check_losses(outcomes, is_random)


def test_a_ratio_is_of_rounds_with_compiling_and_without():
    # 6 trials of 60 steps: 0.36 s are 1,000 us a trial-step.
    found = {
        "gradjax": [Outcome(0.36, 0.18, 0.1), Outcome(0.72, 0.54, 0.1)],
        "it": [Outcome(0.72, 0.36, 0.2), Outcome(1.44, 1.08, 0.2)],
    }
    asked = TOY._replace(contestants=(TOY.contestants[0], Contestant("it", "x", 2)))
    lines = table.contest_table(asked, found).splitlines()
    assert lines[0] == "## a toy"
    assert lines[-2:] == [
        "| gradjax | 6 trials | 1500.0 [1000.0, 2000.0] | 1000.0 |  |  | 0.100 |",
        "| it | 2 trials | 3000.0 [2000.0, 4000.0] | 2000.0 "
        "| 0.500 [0.500, 0.500] | 0.500 [0.500, 0.500] | 0.200 |",
    ]
    assert len({line.count("|") for line in lines[4:]}) == 1
    speedup = table.speedup_line(found["gradjax"], found["it"])
    assert "2.00 [2.00, 2.00] times as fast, without compiling 2.00" in speedup


def test_flops_are_those_that_xla_counts():
    import jax
    import jax.numpy as jnp

    def loss(weights, x):
        return (jnp.maximum(x @ weights[0], 0) @ weights[1]).sum()

    shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((784, 128), (128, 10))]
    images = jax.ShapeDtypeStruct((32, 784), jnp.float32)
    analysis = jax.jit(jax.grad(loss)).lower(shapes, images).cost_analysis()
    counted = table.flop_count(32, 784, 128, 10)
    assert counted == 32 * (4 * 784 * 128 + 6 * 128 * 10)
    # The last product forward is not needed for the gradient of a sum.
    unneeded = 2 * 32 * 128 * 10
    assert analysis["flops"] == pytest.approx(counted - unneeded, rel=0.01)


def test_the_fraction_of_the_peak_is_flops_over_time_over_peak():
    asked = cases.contest("mlp", cases.Sizes(steps=1000))
    count = table.flop_count(32, 784, 128, 10) * 64 * 1000 / 1e9  # GFLOP
    ours = [Outcome(2 * count, count, 0.1)]  # 0.5 GFLOP/s, and 1 without compiling
    line = table.fraction_line(asked, ours, [2.0])
    assert "13.09 MFLOP" in line
    assert "0.250 [0.250, 0.250]" in line
    assert "without compiling 0.500" in line


def test_the_width_table_names_the_fastest_width():
    cells = (Cell(1, 10, 1.0, 2.0), Cell(16, 32, 1.6, 3.0))
    one = Table("2 x cpu", 28_936, 1, cells)
    text = table.widths_section({Size("a net", 32, 500): [one, one]})
    assert "### a net: 28,936 bytes a step" in text
    assert "| 1 | 10 | 200.00 [200.00, 200.00] | 5,000 | 2.0 |" in text
    assert "| 16 | 32 | 100.00 [100.00, 100.00] | 10,000 | 3.0 |" in text
    assert "28,936 bytes: 16 (gradjax takes 1)" in text


def test_every_contest_names_modules_there_are_and_gradjax_first():
    for name in ("mlp", "digits", "cnn"):
        asked = cases.contest(name, cases.Sizes())
        assert asked.contestants[0].module == "lanes"
        assert asked.contestants[0].num_measured == asked.num_trials
        for one in asked.contestants:
            assert importlib.util.find_spec(f"scripts.baselines.sweeps.{one.module}")
            # What a further trial costs is known from the second on.
            assert one.num_measured // max(1, one.num_pinned) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("is_evaluated", [True, False])
def test_evaluation_is_left_out_only_where_it_is_said(is_evaluated):
    dataset, is_random = load("digits")
    assert not is_random
    problem = problem_of(TASK._replace(is_evaluated=is_evaluated), dataset)
    program = gradjax.program(problem, "adam", num_steps=3, batch_size=32)
    measured = gradjax.run(program).evaluation["validation"]
    assert ("accuracy" in measured) == is_evaluated
    assert (measured["loss"] > 0) == is_evaluated


def test_without_mnist_the_images_are_random_and_known_to_be(monkeypatch):
    monkeypatch.setattr("gradjax.data.is_prepared", lambda _: False)
    dataset, is_random = load("mnist")
    assert is_random
    assert dataset.train["image"].shape == (55_000, 28, 28, 1)
    assert set(dataset.validation["label"]) == set(range(10))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins processes")
@pytest.mark.skipif(len(contests.cores()) < 2, reason="pins to two cores")
def test_all_learn_in_fresh_processes_and_the_parent_is_not_pinned():
    dataset, before = load("digits")[0], os.sched_getaffinity(0)
    found = {
        one.label: [contests.measure(TOY, one, dataset)] for one in TOY.contestants
    }
    assert os.sched_getaffinity(0) == before
    contests.check_losses(found, is_random=False)
    for (outcome,) in found.values():
        assert 0 < outcome.compile_s < outcome.whole_s
    # One loop compiles for each of its trials, the other one once.
    assert found["two loops"][0].compile_s > found["compiled once"][0].compile_s


@pytest.mark.slow
def test_a_process_that_dies_is_named(capfd):
    with (
        pytest.raises(RuntimeError, match="the process of no_such_rival died"),
        start("no_such_rival", ()),
    ):
        pass
    assert "No module named" in capfd.readouterr().err


@pytest.mark.slow
def test_widths_alone_need_no_rivals_and_are_written(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "_is_installed", lambda _: False)
    monkeypatch.setattr(runs, "SIZES", {"digits": (Size("digits 64-32-10", 32, 20),)})
    out = tmp_path / "deep" / "widths.md"
    arguments = ["sweep", "--case=widths", "--trials=4", "--rounds=1", f"--out={out}"]
    assert benchmark.main(arguments) == 0
    text = out.read_text()
    assert "--case=widths --rounds=1" in text
    (touched,) = re.findall(r"### digits 64-32-10: ([\d,]+) bytes a step", text)
    # 2,410 parameters and two moments of each, and what the loss of 32 images computes.
    assert 3 * 4 * 2410 < int(touched.replace(",", "")) < 200_000
    rows = [line for line in text.splitlines() if line.startswith(("| 1 |", "| 4 |"))]
    assert len(rows) == 2
    assert benchmark.main(["sweep", "--case=digits", f"--out={out}"]) == 2
