"""The check of the stability gauge: bounds, its page, and what it refuses."""

import numpy as np
import pytest

from scripts import check_gauge
from scripts.check_gauge import RULES, Row


def row(*headroom, name="gd"):
    values = np.asarray(headroom)
    return Row(RULES[name], 0.1, values, -values, np.full_like(values, 0.5))


def test_the_median_decides_and_a_rule_without_bounds_is_never_wrong():
    assert row(0.2, 0.96, 7.0).is_right is True
    assert row(0.2, 0.94, 7.0).is_right is False
    assert row(0.2, name="adam").is_right is None


def test_the_page_has_a_row_for_each_run():
    text = check_gauge.table([row(0.9, 1.1), row(0.5, name="soap")], 3.0, "it")
    assert "| `sgd` | 0.1 | 1.000 | 0.900 to 1.100 | -0.9 ± 0.500i | yes |" in text
    assert "| `soap` | 0.1 | 0.500 | 0.500 to 0.500 | -0.5 ± 0.500i | none |" in text


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ["--optimizers=gd,sophia"],
            "--optimizers: unknown 'sophia'; expected some of",
        ),
        (["--write", "--out=x"], "--write and --out=x are both given"),
    ],
)
def test_a_wrong_flag_is_one_line(flags, expected, capsys):
    assert check_gauge.main(flags) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.optimized
def test_a_run_far_from_the_edge_misses_the_bounds(tmp_path, monkeypatch, capsys):
    short = RULES["gd"]._replace(rates=(0.01,), num_steps=12)
    monkeypatch.setitem(RULES, "gd", short)
    page = tmp_path / "page.md"
    flags = ["--optimizers=gd", "--measurements=2", "--num_products=8"]
    assert check_gauge.main([*flags, f"--out={page}"]) == 1
    (line,) = [
        one for one in page.read_text().splitlines() if one.startswith("| `sgd`")
    ]
    assert float(line.split("|")[3]) > 10 and line.endswith("| no |")
    assert str(page) in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_diverges_is_refused(monkeypatch, capsys):
    short = RULES["gd"]._replace(rates=(1e6,), num_steps=12)
    monkeypatch.setitem(RULES, "gd", short)
    flags = ["--optimizers=gd", "--measurements=2", "--num_products=2"]
    assert check_gauge.main(flags) == 2
    assert "sgd at the rate 1e+06: diverged" in capsys.readouterr().err
