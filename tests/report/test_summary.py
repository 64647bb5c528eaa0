"""The figures of a summary, and the rows of the table that shows them."""

import numpy as np
import pytest

import gradjax
from gradjax.report.summary import Setup, summarize
from gradjax.report.table import run_rows
from gradjax.sweeps import choose, points
from gradjax.sweeps.choose import GroupResult
from gradjax.trials.collect import best_evaluations
from gradjax.types import Report, Series, Settings, Target, Trials

TARGET = Target("accuracy", None, "max")
PROBLEM = gradjax.Problem(None, None, target=TARGET)
ABOUT = {"problem": "p", "space": [], "num_changes": 0}


def group(*seen, status=None, losses=None, run_s=2.0, point=None, seeds=None):
    """One setting: accuracies of each seed's evaluations, of 10 steps each."""
    values = np.asarray(seen, np.float32)
    count, num_evaluations = values.shape
    steps = np.arange(1, num_evaluations + 1) * 10
    ended = np.asarray(status or ["finished"] * count)
    is_over = ended == "diverged"
    trace = {"validation_accuracy": Series(steps, values)}
    if losses is not None:
        trace["validation_loss"] = Series(steps, np.asarray(losses, np.float32))
    last = np.where(is_over, np.nan, values[:, -1])
    evaluation = {
        "validation": {"accuracy": last},
        "test": {"loss": np.where(is_over, np.nan, 0.5), "accuracy": last},
    }
    found = Trials(
        {},
        np.arange(count, dtype=np.uint32),
        None,
        None,
        trace,
        evaluation,
        ended,
        np.where(is_over, 7, steps[-1]),
        np.where(is_over, 7, 0),
        np.full(count, steps[-1]),
        np.full(count, steps[-1]),
        *best_evaluations(trace, TARGET, count),
        1.5,
        run_s,
    )
    base, own = Settings("e", optimizer="sgd"), seeds or range(count)
    trials = [points.trial(base, point or {}, seed) for seed in own]
    return GroupResult(trials, found, choose.trial_scores(trials, found, TARGET))


def summary_of(*done, fresh=(), reports=None, keep="last", patience=None, **about):
    setup = Setup(PROBLEM, ABOUT | about, keep, patience, 4, 10)
    said = dict(zip([one.id for one in done[0].trials], reports or (), strict=False))
    return ABOUT | summarize(setup, list(done), list(fresh), said)


def rows_of(summary):
    return dict(run_rows(summary))


def test_one_trial():
    summary = summary_of(group([0.5, 0.9, 0.9]))
    assert summary["status"] == "finished"
    assert summary["best_epoch"] == 2.0, "the first among equals"
    assert summary["best_validation_accuracy"] == pytest.approx(0.9)
    assert summary["examples_per_s"] == 30 * 4 / 2.0
    assert summary["compile_s"] == 1.5
    assert summary["intervals"] == {}


def test_several_trials_give_means_and_students_interval():
    summary = summary_of(group([0.8], [0.9]))
    assert summary["test_accuracy"] == pytest.approx(0.85)
    spread = summary["intervals"]["test_accuracy"]
    half = 12.7062 * np.std([0.8, 0.9], ddof=1) / np.sqrt(2)  # t(1) at 0.975
    assert spread["high"] - spread["mean"] == pytest.approx(half, rel=1e-4)
    assert rows_of(summary)["test accuracy"].startswith("0.8500  (std 0.0707")


def test_what_a_problem_reports_is_in_the_means_and_in_the_table():
    reports = [Report({"bleu": 20.0}, {"samples": ["a", "b"]}), Report({"bleu": 22.0})]
    summary = summary_of(group([0.8], [0.9]), reports=reports)
    assert summary["bleu"] == 21.0
    assert [one["bleu"] for one in summary["trials"]] == [20.0, 22.0]
    assert summary["texts"] == {"samples": ["a", "b"]}
    assert rows_of(summary)["bleu"].startswith("21")


def test_a_report_is_missing_where_the_first_trial_diverged():
    reports = [Report({}), Report({"bleu": 22.0})]
    both = group([np.nan], [0.9], status=["diverged", "finished"])
    assert summary_of(both, reports=reports)["bleu"] == 22.0


def test_a_diverged_trial_is_counted_and_left_out_of_the_means():
    summary = summary_of(group([0.8], [np.nan], status=["finished", "diverged"]))
    assert (summary["status"], summary["num_diverged"]) == ("finished", 1)
    assert summary["test_accuracy"] == pytest.approx(0.8)
    assert [trial["diverged_step"] for trial in summary["trials"]] == [None, 7]
    assert rows_of(summary)["diverged"] == "1 of 2 seeds, which the figures leave out"


def test_when_all_diverge_the_summary_says_so():
    summary = summary_of(group([np.nan, np.nan], status=["diverged"]))
    assert summary["status"] == "diverged"
    assert np.isnan(summary["best_epoch"])
    rows = rows_of(summary)
    assert rows["diverged"] == "at step 7"
    assert "test accuracy" not in rows
    assert "best evaluation" not in rows


def test_nan_never_ranks_best():
    assert summary_of(group([0.3, np.nan]))["best_epoch"] == 1.0


def test_the_best_setting_is_reported_on_its_fresh_seeds():
    rates = [group([0.5, seen], point={"learning_rate": seen}) for seen in (0.1, 0.7)]
    seeds = {"point": {"learning_rate": 0.7}, "seeds": (7, 8)}
    again = group([0.4, 0.6], [0.4, 0.5], **seeds)
    summary = summary_of(*rates, fresh=[again], space=["learning_rate"])
    assert summary["point"] == {"learning_rate": 0.7}
    assert summary["seeds"] == [7, 8]
    assert summary["test_accuracy"] == pytest.approx(0.55)
    (found,) = summary["optimizers"].values()
    assert found["searched"]["validation_accuracy"]["mean"] == pytest.approx(0.7)
    assert found["fresh"]["test_accuracy"]["mean"] == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("keep", "patience", "advice"),
    [
        ("last", None, ": --keep=best keeps the best parameters"),
        ("best", None, ": --patience=N would stop the run"),
        ("best", 3, ""),
    ],
)
def test_a_rising_validation_loss_is_warned_of(keep, patience, advice):
    falls, rises = np.linspace(1.0, 0.5, 10), np.linspace(0.5, 2.0, 11)[1:]
    losses = [[*falls, *rises]]
    summary = summary_of(group([0.8] * 20, losses=losses), keep=keep, patience=patience)
    (line,) = summary["warnings"]
    assert line == (
        "the validation loss has been rising since step 100, from 0.5000 to 2.0000"
        f"{advice}"
    )
    assert rows_of(summary)["warning"] == line
    assert summary_of(group([0.8] * 10, losses=[falls]))["warnings"] == []


@pytest.mark.parametrize(
    ("keep", "words"), [("last", "the last, step 20"), ("best", "best on validation")]
)
def test_the_table_says_which_parameters_were_kept(keep, words):
    rows = rows_of(summary_of(group([0.9, 0.8]), keep=keep))
    assert rows["parameters kept"].startswith(words)
    best = "validation accuracy 0.9000 at step 10 (epoch 1)"
    assert rows["best evaluation"] == best
    assert rows["last evaluation"] == "validation accuracy 0.8000 at step 20"
