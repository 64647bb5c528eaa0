import csv

import numpy as np
import pytest

from gradjax.errors import Refusal
from gradjax.records.outcomes_csv import outcomes_csv
from scripts import report

HEADER = "optimizer,problem,seed,step,metric,value\n"


def _results(tmp_path, lines):
    path = tmp_path / "results.csv"
    path.write_text(HEADER + lines)
    return path


def test_anyones_results_become_a_report(tmp_path, capsys):
    random = np.random.default_rng(0)
    lines = ""
    for seed in range(6):
        common = random.normal(0.9, 0.01)
        for name, gain in (("adam", 0.0), ('mine, "new"', 0.02)):
            quoted = '"' + name.replace('"', '""') + '"'
            for step in (10, 20):
                value = common + gain + step / 1_000 + random.normal(0, 0.001)
                lines += f"{quoted},digits,{seed},{step},accuracy,{value}\n"
    path = _results(tmp_path, lines)
    out = tmp_path / "report"
    arguments = [f"--csv={path}", "--baseline=adam", f"--out={out}"]
    assert report.main(arguments) == 0
    assert "report.html: 0." in capsys.readouterr().out
    with (out / "report.csv").open() as file:
        rows = {row["optimizer"]: row for row in csv.DictReader(file)}
    assert rows['mine, "new"']["verdict"].startswith("better by 0.0")
    assert rows["adam"]["verdict"] == ""
    assert (out / "report.tex").read_text().count(r"\\") == 3
    assert (out / "curves-0.svg").read_text().startswith("<?xml")
    assert "<!doctype html>" in (out / "report.html").read_text()


def test_two_metrics_of_one_problem_are_two_tables_with_their_own_trials(tmp_path):
    lines = "".join(
        f"adam,digits,{seed},10,{metric},{value + seed / 100}\n"
        for seed in range(5)
        for metric, value in (("accuracy", 0.9), ("loss", 0.1))
    )
    tables = report.tables_of(report.gather([], str(_results(tmp_path, lines))), None)
    assert [(one.metric.name, len(one.outcomes)) for one in tables] == [
        ("accuracy", 5),
        ("loss", 5),
    ]
    found = report.content("A title", tables, {})
    assert [len(one["trials"]) for one in found["problems"]] == [5, 5]


def test_a_value_that_is_not_finite_means_that_the_run_diverged(tmp_path):
    path = _results(tmp_path, "sgd,p,0,10,loss,1.0\nsgd,p,0,20,loss,\n")
    ((metric, (found,)),) = outcomes_csv(path)
    assert (metric.name, metric.direction) == ("loss", "min")
    assert np.isnan(found.value)
    assert found.diverged_step == 20


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER, "has no rows"),
        ("optimizer,seed\nadam,0\n", "no column 'problem'"),
        (HEADER + "adam,p,zero,1,loss,0.5\n", "line 2: seed and step must be integers"),
        (HEADER + "adam,p,0,1\n", "line 2"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path, text, words):
    path = tmp_path / "results.csv"
    path.write_text(text)
    with pytest.raises(Refusal, match=words):
        outcomes_csv(path)


def test_wrong_requests_are_refused_in_one_line(tmp_path, capsys):
    path = _results(tmp_path, "adam,p,0,1,loss,0.5\n")
    for arguments, words in (
        ([], "a report needs a folder"),
        ([str(tmp_path / "none")], "no run or sweep"),
        ([f"--csv={tmp_path / 'none.csv'}"], "cannot be read"),
        ([f"--csv={path}", "--out=/proc/none"], "cannot write in /proc/none"),
        ([f"--csv={path}", "--baseline=sgd"], "--baseline=sgd: there are adam"),
    ):
        assert report.main(arguments) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
