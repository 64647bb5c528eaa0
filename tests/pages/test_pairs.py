"""Every pair of optimizers on the page, in CSV and in LaTeX."""

import csv
import io

import pytest

from gradjax.analysis.comparison import compare
from gradjax.pages import sentences
from gradjax.pages.content import content
from gradjax.pages.page import page
from gradjax.pages.pairs import pairs_csv
from gradjax.pages.tables import to_latex
from scripts import report
from tests.pages.comparisons import ACCURACY, outcomes

NAMES = ("adam", "<script>b", "=c()", r"\input{d}")


@pytest.fixture(scope="module")
def table():
    found = list(outcomes(NAMES, num_trials=6))
    return compare(found, ACCURACY, pairs="all")


def test_every_pair_is_in_the_page_the_csv_and_the_latex(table):
    pytest.importorskip("jinja2")
    made = content("A title", [table], {})
    (problem,) = made["problems"]
    assert len(problem["pairs"]) == 6
    text = page(made, {})
    body = text[: text.index('id="data"')]
    assert body.count('<th scope="row">&lt;script&gt;b</th><td>') == 2
    assert "<script>b" not in text and "the verdict is on the first" in body
    shares = [pair["share"] for pair in problem["pairs"]]
    assert shares[0] == "0.67 [0.22, 0.96]"
    assert all(f"{share}</td>" in body[body.index("Pairs of") :] for share in shares)
    rows = list(csv.DictReader(io.StringIO(pairs_csv([table]))))
    assert len(rows) == 6 and all(row["verdict"] and row["tuned_p"] for row in rows)
    named = {row["first"] for row in rows} | {row["second"] for row in rows}
    assert "'=c()" in named and "=c()" not in named
    latex = to_latex([table])
    assert latex.count(r"\begin{tabular}{lllllll}") == 1
    assert "P(better)" in latex and all(f"& {share} &" in latex for share in shares)
    assert r"\input" not in latex and r"\textbackslash{}input" in latex


def test_the_answer_and_the_caption_speak_of_all_pairs(table):
    said = sentences.answer(table)
    assert said.startswith("The chosen settings of ")
    assert " of 6 pairs of optimizers can be told apart: adam is better than " in said
    assert "Holm's method over all 6 pairs of optimizers" in sentences.caption(table)


def test_a_report_writes_the_pairs_and_refuses_another_family(tmp_path, capsys):
    pytest.importorskip("jinja2")
    lines = ["optimizer,problem,seed,step,metric,value"]
    lines += [
        f"{n},p,{s},1,loss,{k + s / 9}" for k, n in enumerate("abc") for s in range(3)
    ]
    path = tmp_path / "results.csv"
    path.write_text("\n".join(lines))
    asked = [f"--csv={path}", f"--out={tmp_path / 'it'}"]
    assert report.main([*asked, "--pairs=all"]) == 0
    assert (tmp_path / "it" / "pairs.csv").read_text().count("\n") == 4
    assert report.main([*asked, "--pairs=some"]) == 2
    assert "pairs='some': expected baseline or all" in capsys.readouterr().err


def test_one_pair_is_said_in_the_singular():
    for gain, words in (
        (0.0, "The chosen settings of a and b cannot be told apart."),
        (1.0, "With the chosen settings, b is better than a by 0.986 [0.956, 1.02]."),
    ):
        found = [
            one._replace(value=one.value + gain * (one.optimizer == "b"))
            for one in outcomes("ab", num_trials=0)
        ]
        table = compare(found, ACCURACY, pairs="all")
        assert sentences.answer(table) == words
        assert "over the one pair;" in sentences.caption(table)
