import csv

import numpy as np
import pytest

from gradjax.analysis.arrivals import summary
from gradjax.errors import Refusal
from gradjax.records import comparisons
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


def test_the_baselines_of_several_comparisons_must_agree(tmp_path, capsys):
    for name in ("adam", "sgd"):
        (tmp_path / name).mkdir()
        comparisons.write(tmp_path / name, {"baseline": name}, [])
    folders = [str(tmp_path / name) for name in ("adam", "sgd")]
    assert report.main(folders) == 2
    assert capsys.readouterr().err == (
        "report: the folders have several values of baseline: give --baseline=one of"
        " adam, sgd\n"
    )
    assert report.main([*folders, "--baseline=sgd"]) == 2
    assert "needs a folder" in capsys.readouterr().err


def test_a_value_that_is_not_finite_means_that_the_run_diverged(tmp_path):
    path = _results(tmp_path, "sgd,p,0,10,loss,1.0\nsgd,p,0,20,loss,\n")
    ((metric, (found,)),) = outcomes_csv(path)
    assert (metric.name, metric.direction) == ("loss", "min")
    assert np.isnan(found.value)
    assert found.diverged_step == 20


@pytest.mark.slow
def test_several_problems_have_a_picture_and_a_table_of_profiles(tmp_path, capsys):
    lines = "".join(
        f"{name},{problem},{seed},{step},loss,{1 / step + (name == 'b') / 100}\n"
        for name in ("=a()", "b")
        for problem in ("p", "q")
        for seed in (0, 1)
        for step in (1, 2, 3)
    )
    out = tmp_path / "report"
    path = _results(tmp_path, lines)
    asked = ["--target=p=0.5", "--target=q=0.4", f"--out={out}"]
    assert report.main([f"--csv={path}", *asked]) == 0
    capsys.readouterr()
    assert (out / "profiles.svg").read_text().startswith("<?xml")
    scores = (out / "report.tex").read_text().split("% all problems")[1]
    assert "optimizer & mean rank & integral of the profile" in scores
    assert "=a() & 1.0000 & 1.0000 & 1.0000" in scores
    assert (out / "report.html").read_text().count("data:image/svg+xml") == 3


def test_gradients_and_seconds_may_be_in_the_file(tmp_path):
    path = tmp_path / "spent.csv"
    lines = "adam,p,0,10,loss,1.0,20,0.5\nadam,p,0,20,loss,0.5,40,1.5\n"
    path.write_text(HEADER.strip() + ",gradients,seconds\n" + lines)
    ((_, (found,)),) = outcomes_csv(path)
    assert (found.num_gradients, found.seconds) == (40, 1.5)
    path.write_text(path.read_text() + "adam,p,0,30,loss,0.1,-1,\n")
    with pytest.raises(Refusal, match="line 4: .* must be at least 0"):
        outcomes_csv(path)


def test_the_target_is_given_by_a_flag_or_by_the_suite(tmp_path):
    named = "digits_mlp, 500 steps, batch size 32"
    lines = "".join(
        f'adam,"{problem}",{seed},10,validation_accuracy,0.{seed + 8}\n'
        for problem in (named, "p")
        for seed in (0, 1)
    )
    found = report.gather([], str(_results(tmp_path, lines)))
    tables = report.tables_of(found, None)
    assert [table.metric.target for table in tables] == [0.972, None]
    tables = report.tables_of(found, None, ["p=0.85", "digits_mlp=0.5"])
    assert [table.metric.target for table in tables] == [0.5, 0.85]
    told = [summary(table.rows[0].arrivals) for table in tables]
    assert [one and one.num_reached for one in told] == [2, 1]
    tables = report.tables_of({key: found[key] for key in [*found][1:]}, None, ["0.9"])
    assert tables[0].metric.target == 0.9


def test_a_column_says_that_larger_is_better_and_heads_may_have_spaces(tmp_path):
    path = tmp_path / "results.csv"
    head = "Optimizer, problem, seed, step, metric, value, direction\n"
    path.write_text(head + "adam, p, 0.0, 1e1, f1, 0.5, max\n")
    ((metric, (found,)),) = outcomes_csv(path)
    assert (metric.name, metric.direction, found.steps) == ("f1", "max", 10)
    for more, words in (("upwards", "expected min or max"), ("min", "two directions")):
        path.write_text(head + f"a,p,0,1,f1,1,max\na,p,0,2,f1,1,{more}\n")
        with pytest.raises(Refusal, match=f"line 3: .*{words}"):
            outcomes_csv(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER, "has no rows"),
        ("optimizer,seed\nadam,0\n", "no column 'problem'"),
        (HEADER + "adam,p,zero,1,loss,0.5\n", "line 2: seed and step must be whole"),
        (HEADER + "adam,p,0,1\n", "line 2: has 4 fields, but there are 6 columns"),
        (HEADER + "adam,p,0,1,loss,0.5,9\n", "line 2: has 7 fields"),
        (HEADER + 'adam,p,0,1,loss,"0.5\n', "cannot be read as CSV"),
        (HEADER + f'"{"x" * 200_000}",p,0,1,loss,1\n', "cannot be read as CSV"),
        (HEADER + "adam,p,0,-1,loss,0.5\n", "the step at least 0"),
        (HEADER + "adam,p,0,1.5,loss,0.5\n", "must be whole numbers"),
        (HEADER + "adam,p,0,inf,loss,0.5\n", "must be whole numbers"),
        (HEADER + " ,p,0,1,loss,0.5\n", "optimizer '' is no name"),
        (HEADER + 2 * "adam,p,0,1,loss,0.5\n", "line 3: adam has a second value"),
        (HEADER + "adam,p,0,1,f1,0.5\n", "'f1' does not say whether larger"),
        (HEADER + "adam,p,0,1,loss,-1e308\n", "line 2: the value -1e308 is beyond 1e"),
        (HEADER.replace(",", ";") + "a;p;0;1;loss;1\n", "separated by commas"),
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
        ([f"--csv={path}", "--target=q=1"], "say of which problem; there are p"),
        ([f"--csv={path}", "--target=p=one"], "'one' is not a finite number"),
    ):
        assert report.main(arguments) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
