import re
from pathlib import Path

import numpy as np
import pytest

from gradjax.optimizers import OPTIMIZERS
from scripts import optimizer_table

PAGE = Path(__file__).parents[2] / "docs" / "results" / "optimizers.md"


def row(expression="adam", accuracy=0.97, rate=0.01):
    interval = (accuracy, accuracy - 0.01, accuracy + 0.01)
    values = (expression, rate, 1e-3, 0.98, interval, 20_000.0, 1.0, 2.0)
    return optimizer_table.Row(*values)


def test_the_page_has_every_optimizer_and_a_reason_for_each_that_fails():
    text = PAGE.read_text()
    rows = re.findall(r"^\| `(\w+).*?\| ([\d.]+) \[", text, re.MULTILINE)
    assert {name for name, _ in rows} == OPTIMIZERS.keys()
    below = {name for name, accuracy in rows if float(accuracy) < 0.90}
    assert below <= set(re.findall(r"^`(\w+)` does not: ", text, re.MULTILINE))


def test_best_first_with_a_line_for_each_below():
    page = optimizer_table.document(
        [row(), row("acprop", 0.1), row("sgd", 0.98)], 3, ""
    )
    places = [page.index(f"| `{name}`") for name in ("sgd", "adam", "acprop")]
    assert places == sorted(places)
    assert "2 of 3 optimizers reach 0.90" in page
    assert "`acprop` does not: its denominator" in page


@pytest.mark.slow
def test_a_small_table_is_measured_and_nothing_is_written(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(optimizer_table, "_STEPS", 200)
    assert optimizer_table.main(["--optimizers=optax:adam", "--seeds=2"]) == 0
    (line,) = [
        x
        for x in capsys.readouterr().out.splitlines()
        if x.startswith("| `optax:adam`")
    ]
    assert float(line.split("|")[5].split("[")[0]) > 0.85
    assert not list(tmp_path.iterdir())


def test_expressions_and_import_paths_are_optimizers():
    text = "adam(b1=0.8, b2=0.9),optax:sgd(momentum=0.5),chain(clip(1.0),sgd)"
    assert optimizer_table._names(text) == [
        "adam(b1=0.8, b2=0.9)",
        "chain(clip(1.0), sgd)",
        "optax:sgd(momentum=0.5)",
    ]


@pytest.mark.slow
def test_the_rate_is_that_of_the_expression(monkeypatch):
    monkeypatch.setattr(optimizer_table, "_run", lambda *one: ran.append(one) or Found)
    monkeypatch.setattr(optimizer_table, "_STEPS", 4)
    ran = []

    class Found:
        status, compile_s, run_s, num_steps, num_gradients = "finished", 1.0, 1.0, 4, 4
        evaluation = {
            "validation": {"accuracy": np.float32(0.5)},
            "test": {"accuracy": np.float32(0.5)},
        }

    own = "optax:sgd(learning_rate=0.5, momentum=0.5)"
    found = optimizer_table.measure(own, num_seeds=2)
    assert found.default == 0.5
    assert {rate for _, rate, _ in ran} >= {0.0005, 0.5, 50.0}


@pytest.mark.parametrize(
    "flag",
    [
        *("--optimizers=adma", "--optimizers=adam(", "--optimizers=0.1"),
        *("--optimizers=no_such:rule", "--optimizers=", "--seeds=1", "--seeds=x"),
    ],
)
def test_refuses_in_one_line(flag, capsys):
    with pytest.raises(SystemExit) as stopped:
        optimizer_table.main([flag])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_that_diverged_never_ranks_best():
    class Found:
        status, evaluation = "diverged", {"validation": {"accuracy": np.float32(1.0)}}

    assert optimizer_table._score(Found) < 0.0
