import numpy as np
import pytest

import gradjax
from gradjax.report.summary import summarize, table_rows
from gradjax.types import Report, Result, Series, Target

PROBLEM = gradjax.Problem(None, None, target=Target("accuracy", None, "max"))


def result(accuracies, status="finished", run_s=2.0):
    steps = np.arange(1, len(accuracies) + 1) * 10
    trace = {"validation_accuracy": Series(steps, np.asarray(accuracies, np.float32))}
    evaluation = {"test": {"loss": 0.5, "accuracy": accuracies[-1]}}
    diverged = 7 if status == "diverged" else None
    return Result(
        {}, None, trace, evaluation, status, diverged, 30, 30, 1.5, run_s, 0.1
    )


def summary_of(*results, reports=None):
    said = reports or [Report({}) for _ in results]
    return summarize(list(results), PROBLEM, {"problem": "p"}, 4, 10, said)


def test_one_trial():
    summary = summary_of(result([0.5, 0.9, 0.9]))
    assert summary["status"] == "finished"
    assert summary["best_epoch"] == 2.0, "the first among equals"
    assert summary["best_validation_accuracy"] == pytest.approx(0.9)
    assert summary["examples_per_s"] == 30 * 4 / 2.0
    assert summary["compile_s"] == 1.5
    assert summary["intervals"] == {}


def test_several_trials_give_means_and_students_interval():
    summary = summary_of(result([0.8]), result([0.9]))
    assert summary["test_accuracy"] == pytest.approx(0.85)
    spread = summary["intervals"]["test_accuracy"]
    half = 12.7062 * np.std([0.8, 0.9], ddof=1) / np.sqrt(2)  # t(1) at 0.975
    assert spread["high"] - spread["mean"] == pytest.approx(half, rel=1e-4)
    assert dict(table_rows(summary))["test accuracy"].startswith("0.8500  (std 0.0707")


def test_what_a_problem_reports_is_in_the_means_and_in_the_table():
    reports = [Report({"bleu": 20.0}, {"samples": ["a", "b"]}), Report({"bleu": 22.0})]
    summary = summary_of(result([0.8]), result([0.9]), reports=reports)
    assert summary["bleu"] == 21.0
    assert [one["bleu"] for one in summary["trials"]] == [20.0, 22.0]
    assert summary["texts"] == {"samples": ["a", "b"]}
    assert dict(table_rows(summary))["bleu"].startswith("21")


def test_a_report_is_missing_where_the_first_trial_diverged():
    reports = [Report({}), Report({"bleu": 22.0})]
    results = [result([np.nan], "diverged"), result([0.9])]
    assert summary_of(*results, reports=reports)["bleu"] == 22.0


def test_a_diverged_trial_is_counted_and_left_out_of_the_means():
    summary = summary_of(result([0.8]), result([np.nan], "diverged"))
    assert (summary["status"], summary["num_diverged"]) == ("finished", 1)
    assert summary["test_accuracy"] == pytest.approx(0.8)
    assert [trial["diverged_step"] for trial in summary["trials"]] == [None, 7]


def test_when_all_diverge_the_summary_says_so():
    summary = summary_of(result([np.nan, np.nan], "diverged"))
    assert summary["status"] == "diverged"
    assert np.isnan(summary["best_epoch"])
    assert dict(table_rows(summary))["test accuracy"] == "not finite"


def test_nan_never_ranks_best():
    assert summary_of(result([0.3, np.nan]))["best_epoch"] == 1.0
