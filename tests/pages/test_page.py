import csv
import io
import json
import re

import numpy as np
import pytest

from gradjax.analysis.comparison import compare
from gradjax.pages import page as pages
from gradjax.pages.content import content
from gradjax.pages.tables import to_csv, to_latex
from gradjax.plots.comparison import learning_curves
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

HOSTILE = "</script><script>alert(1)</script>"
FORMULA = "=cmd()"
INPUT = r"\input{/etc/passwd} $x_1$ 50%"


def _outcomes(names, num_seeds=6, num_points=20, num_trials=4):
    random = np.random.default_rng(0)
    steps = np.arange(1, num_points + 1) * 10
    for name in names:
        for seed in range(num_seeds + num_trials):
            is_fresh = seed < num_seeds
            values = 1 / np.sqrt(steps) + random.normal(0, 0.01, num_points)
            yield Outcome(
                "digits",
                name,
                "fresh" if is_fresh else "search",
                seed,
                {"learning_rate": 0.1 if is_fresh else 10.0 ** -(seed - num_seeds)},
                float(values[-1]),
                Series(steps, values),
                int(steps[-1]),
                0,
                f"runs/{name}",
            )


def _page(names=("adam", "sgd"), **sizes):
    outcomes = list(_outcomes(names, **sizes))
    tables = [compare(outcomes, Metric("test_loss", "min"), names[0])]
    found = content("A title", tables, {"Command": "python -m x"})
    return tables, found, pages.page(found, learning_curves(tables))


def test_the_page_holds_everything_and_may_load_nothing():
    _, _, html = _page()
    assert "default-src &#39;none&#39;;" in html
    markup = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", markup)
    assert len(html) < 1_500_000
    assert "cannot be told apart" in html


def test_the_policy_names_the_hash_of_every_script():
    _, _, html = _page()
    policy = re.search(r"script-src (.*?); style-src", html)
    assert policy is not None
    assert policy[1].count("sha256-") == html.count("<script>")


def test_hostile_names_come_out_inert():
    tables, found, html = _page((HOSTILE, FORMULA, INPUT))
    assert "<script>alert" not in html
    assert json.loads(pages.as_script(found)) == found
    rows = list(csv.reader(io.StringIO(to_csv(tables))))
    names = {row[rows[0].index("optimizer")] for row in rows[1:]}
    assert names == {HOSTILE, f"'{FORMULA}", INPUT}
    text = to_latex(tables)
    assert r"\input" not in text
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\_1\$ 50\%" in text


@pytest.mark.slow
def test_500_curves_of_200_points_fit():
    names = [f"optimizer_{k}" for k in range(10)]
    _, _, html = _page(names, num_seeds=50, num_points=1_000, num_trials=0)
    assert len(html) < 1_500_000


def test_diverged_seeds_and_missing_verdicts_are_shown_as_such():
    outcomes = list(_outcomes(["adam", "sgd"]))
    outcomes[7] = outcomes[7]._replace(role="search")
    outcomes[12] = outcomes[12]._replace(value=np.nan, diverged_step=30)
    tables = [compare(outcomes, Metric("test_loss", "min"), "adam")]
    html = pages.page(content("A title", tables, {}), {})
    assert "diverges in 1 of 6" in html
    assert "1 of 6 seeds diverged, so there is no mean." in html
    assert "diverges in 1 of 6 & 6 &" in to_latex(tables)


def test_a_damaged_library_is_refused(monkeypatch):
    monkeypatch.setitem(pages.LIBRARIES, "d3-7.9.2.min.js", "0" * 64)
    with pytest.raises(pages.Refusal, match="is damaged"):
        pages.library("d3-7.9.2.min.js")
