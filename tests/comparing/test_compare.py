"""`gradjax.compare` and `scripts.compare`: tuned optimizers under equal budgets."""

import functools
import json
import shlex
import shutil
import sys

import numpy as np
import optax
import pytest

import gradjax
from gradjax.analysis.comparison import compare as analysed
from gradjax.analysis.power import smallest_effect
from gradjax.comparing import asked as asking
from gradjax.comparing import call, forecast, result, running
from gradjax.errors import Interrupted
from gradjax.pages.content import content
from gradjax.records import comparisons, reading
from gradjax.records.comparisons import outcomes_of
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

PROBLEM = "quadratic(condition=10)"
ASKED = {"num_gradients": 12, "num_trials": 3, "num_seeds": 2}
TWO = ["sgd(momentum=0.9)", "sam(sgd(momentum=0.9))"]
DEFAULTS = ASKED | {
    "ranges": None,
    "batch_size": None,
    "baseline": None,
    "pairs": "baseline",
    "search": "random",
    "schedule": "cosine",
    "seed": 0,
    "horizons": [1],
    "retune": True,
    "studies": 1,
}
THREE = [*TWO, "sgd(0.1)"]
EMPTY = Series(np.empty(0), np.empty(0))
compare = functools.partial(gradjax.compare, problems=[PROBLEM], **ASKED)


def tables(found):
    """Everything but the clock figures, as text, in which NaN equals NaN."""
    return repr([table._replace(outcomes=()) for table in found.tables])


def outcomes(found):
    return [
        (one.optimizer, one.role, one.seed, one.setting, one.value, one.steps)
        for table in found.tables
        for one in table.outcomes
    ]


def journals(folder):
    return {str(one): one.read_bytes() for one in folder.rglob("journal.jsonl")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A comparison that was never interrupted."""
    return compare(TWO, workdir=tmp_path_factory.mktemp("whole") / "it")


def test_all_get_the_same_trials_gradients_and_seeds(whole):
    (table,) = whole.tables
    assert table.problem == f"{PROBLEM}, 12 gradients" and whole.baseline == TWO[0]
    rows = {row.optimizer: row for row in table.rows}
    assert rows.keys() == set(TWO) and rows[TWO[0]].verdict is None
    assert rows[TWO[1]].verdict.second == TWO[0]
    assert all(row.seeds == (2**31, 2**31 + 1) for row in rows.values())
    ended = [one for one in table.outcomes if not one.diverged_step]
    assert {one.num_gradients for one in ended} == {12}
    assert {(one.optimizer, one.steps) for one in ended} == {(TWO[0], 12), (TWO[1], 6)}
    assert all(one.seconds > 0 and one.search == "random" for one in table.outcomes)
    assert all(rule.is_kept for rule in table.rules if "gradients" in rule.text)
    roles = [(one.optimizer, one.role) for one in table.outcomes]
    assert all(roles.count((name, "search")) == 3 for name in TWO)
    assert len(repr(whole)) < 300
    ((title, shown),) = result.shown_tables(whole)
    assert title.endswith("train loss, lower is better, 2 fresh seeds")
    said = " ".join(text for _, text in shown)
    for part in (", baseline", "the chosen setting: ", "tuned again: ", "reached by "):
        assert part in said
    assert said.count(" us a gradient") == 2
    for times in whole.seconds_per_gradient.values():
        assert all(value > 0 for value in times.values()) and times.keys() == {*TWO}


def test_a_seed_that_was_set_aside_is_named_and_counts_as_the_worst(whole, monkeypatch):
    read = reading.rows

    def rows(store):
        found = read(store)
        fresh = [one for one in found.values() if one["round"] == "fresh"]
        if fresh[0]["optimizer"] == TWO[1]:
            fresh[0] |= {"status": "set aside", "train_loss": float("nan")}
        return found

    monkeypatch.setattr(reading, "rows", rows)
    ((metric, found),) = outcomes_of(whole.workdir)
    table = analysed(found, metric, TWO[0])
    row = table.rows[1]
    assert (row.optimizer, row.num_diverged, row.num_failed) == (TWO[1], 0, 1)
    assert np.isnan(row.values[0]) and np.isfinite(row.values[1])
    assert row.verdict.word == "has no result" and row.interval is None
    assert result._value(row) == "has no result in 1 of 2"
    said = (
        "1 of 2 seeds ended the process repeatedly and were set aside (seed 2147483648)"
    )
    assert any(doubt.startswith(said) for doubt in row.doubts)
    answer = content("A title", [table], {})["problems"][0]["answer"]
    assert answer.endswith(f"{TWO[1]}: has no result in 1 of 2.")


def test_an_optimizer_without_fresh_seeds_has_no_cost_and_stays_in_the_table(
    tmp_path, monkeypatch
):
    trial = Outcome("p", "sgd", "search", 0, {"learning_rate": 1.0}, np.nan, EMPTY, 50)
    trial = trial._replace(diverged_step=50, num_gradients=50, seconds=0.5)
    other = trial._replace(optimizer="adam", value=0.5, diverged_step=0)
    fresh = [other._replace(role="fresh", seed=seed) for seed in (7, 8)]
    metric = Metric("loss", "min")
    read = (metric, [trial, other, *fresh])
    monkeypatch.setattr(comparisons, "outcomes", lambda _: read)
    ((_, found),) = outcomes_of(tmp_path)
    never = [one for one in found if one.failure]
    assert [(one.optimizer, one.seed) for one in never] == [("sgd", 7), ("sgd", 8)]
    assert {_cost(one)[3:] for one in never} == {(0, 0, "nan")}
    table = analysed(found, metric, "adam")
    assert [row.optimizer for row in table.rows] == ["adam", "sgd"]
    assert table.rows[1].lost == "has no result in 2 of 2"
    assert "no trial of the search ended" in " ".join(table.rows[1].doubts)
    assert table.unit == "gradients" and table.has_seconds


def test_a_report_knows_times_searches_and_a_command_for_each_row(whole, capsys):
    (table,) = whole.tables
    times = whole.seconds_per_gradient[table.problem]
    for one in table.outcomes:
        assert np.isclose(one.seconds, times[one.optimizer] * one.num_gradients)
        assert one.search == "random"
    assert table.searches.keys() == {*TWO}
    (problem,) = content("A title", [table], {})["problems"]
    assert problem["trials"][-1]["secondsPerStep"] > 0
    command = shlex.split(problem["rows"][0]["command"])
    assert command[:2] == ["python", "-c"]
    exec(command[2], {})
    assert "'loss': Series(" in capsys.readouterr().out


@pytest.mark.slow
def test_an_optimizer_that_is_added_is_the_only_one_that_trains(whole):
    folder = whole.workdir
    before = journals(folder)
    more = compare(THREE, workdir=folder)
    assert outcomes(more)[:10] == outcomes(whole)
    after = journals(folder)
    assert len(after) == 3 and all(after[name] == of for name, of in before.items())
    assert outcomes(compare(THREE, workdir=folder, pairs="all")) == outcomes(more)
    assert journals(folder) == after
    fixed = [row for row in more.tables[0].rows if row.optimizer == THREE[2]]
    assert np.isfinite(fixed[0].values).all() and len(fixed[0].values) == 2
    with pytest.raises(gradjax.Refusal, match=r"num_trials=2: .* holds 3 trials"):
        gradjax.compare(TWO, [PROBLEM], workdir=folder, **ASKED | {"num_trials": 2})


@pytest.mark.slow
def test_all_pairs_are_the_family_of_the_printed_power_and_of_the_tables(whole):
    (table,) = compare(THREE, workdir=whole.workdir, pairs="all").tables
    assert len(table.pairs) == 3
    ((_, shown),) = result.shown_tables(whole._replace(tables=(table,)))
    assert sum(" against " in name for name, _ in shown) == 3
    asked = call.request(
        {}, THREE, [PROBLEM], **DEFAULTS | {"pairs": "all", "num_seeds": 10}
    )
    said = forecast.power_line(asked)
    assert said.startswith("each of the 3 pairs of 3 optimizers: with 10 seeds a ")
    effect = smallest_effect(10, 0.05 / 3)
    assert f"difference of {effect:.2g} standard deviations" in said


@pytest.mark.slow
def test_a_killed_comparison_goes_on_to_the_same_bits(whole, tmp_path, interrupted):
    folder = tmp_path / "it"
    with interrupted(7):
        compare(TWO, workdir=folder)
    with pytest.raises(gradjax.Refusal, match="is not finished"):
        gradjax_report(folder)
    resumed = compare(TWO, workdir=folder)
    assert tables(resumed) == tables(whole) and outcomes(resumed) == outcomes(whole)
    before = journals(folder)
    assert tables(compare(TWO, workdir=folder)) == tables(whole)
    assert journals(folder) == before and len(before) == 2


@pytest.mark.slow
def test_more_trials_and_seeds_train_only_the_new_ones(tmp_path):
    one = compare(TWO, workdir=tmp_path / "it")
    more = ASKED | {"num_trials": 6, "num_seeds": 3}
    grown = gradjax.compare(TWO, [PROBLEM], workdir=tmp_path / "it", **more)
    at_once = gradjax.compare(TWO, [PROBLEM], **more)  # with another lane width
    assert [one[:4] for one in outcomes(grown)] == [
        one[:4] for one in outcomes(at_once)
    ]
    values = [[one[4] for one in outcomes(of)] for of in (grown, at_once)]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-4)
    assert outcomes(grown)[:3] == outcomes(one)[:3] and len(values[0]) == 18


def gradjax_report(folder):
    return outcomes_of(folder)


def _cost(one):
    cost = one.steps, one.num_gradients, str(one.seconds)
    return one.optimizer, one.seed, one.failure, *cost


@pytest.mark.slow
def test_an_optimizer_whose_trials_all_diverge_stays_in_the_table(tmp_path):
    found = compare(
        TWO[:1] + ["sgd"],
        spaces={"sgd_2.learning_rate": "log(1e20, 1e25)"},
        workdir=tmp_path / "it",
    )
    rows = {row.optimizer: row for row in found.tables[0].rows}
    assert rows["sgd"].num_failed == 2 and rows["sgd"].interval is None
    assert rows["sgd"].verdict.word == "has no result"
    (never,) = {one[3:] for one in map(_cost, found.tables[0].outcomes) if one[2]}
    assert never == (0, 0, "nan")
    assert "No fresh seed ran, because" in " ".join(rows["sgd"].doubts)
    assert found.tables[0].rows[-1].optimizer == "sgd"


@pytest.mark.slow
def test_the_command_writes_the_tables_and_the_page(typed, tmp_path):
    pytest.importorskip("jinja2")
    flags = [
        "--optimizers=[sgd(momentum=0.9), sam(sgd(momentum=0.9))]",
        f"--problems=[{PROBLEM}]",
        *("--gradients=12", "--trials=3", "--seeds=2", "--workdir=it"),
    ]
    done = typed("scripts.compare", *flags)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    for part in (
        "2 optimizers on 1 problems: 2 programs, 6 trials and 4 fresh seeds",
        "  sgd(momentum=0.9): learning_rate=log(0.001, 10)",
        "gradients per step: sam(sgd(momentum=0.9)) 2, the others 1",
        "is found with probability 0.8",
        "10 trials and fresh seeds are left: about ",
        f"\n{PROBLEM}, 12 gradients: train loss, lower is better, 2 fresh seeds\n",
        ", baseline\n",
        "the chosen setting: ",
        "the optimizer, tuned again: ",
        " us a gradient\n",
        "report.html",
    ):
        assert part in said, said
    report = tmp_path / "it" / "report"
    page, table = ((report / f"report.{end}").read_text() for end in ("html", "csv"))
    assert "scripts.report it " in page and str(tmp_path) not in page
    assert "better by" in table or "cannot be told apart" in table
    short = typed("scripts.report", "it", "--out=short")
    assert short.returncode == 0, short.stderr
    assert (tmp_path / "short" / "report.csv").read_text() == table
    listed = json.loads((tmp_path / "it" / "comparison.json").read_text())
    assert listed["asked"]["command"].startswith("python -m scripts.compare ")
    again = typed("scripts.compare", *flags)
    assert "everything is stored already" in again.stdout
    shown = [one.stdout.partition("fresh seeds\n")[2] for one in (done, again)]
    assert shown[0] and shown[0] == shown[1]
    plans = [one.read_text() for one in (tmp_path / "it").rglob("plan.json")]
    more = gradjax.compare(
        TWO, [PROBLEM], workdir=tmp_path / "it", **ASKED | {"num_seeds": 3}
    )
    assert all(len(row.seeds) == 3 for row in more.tables[0].rows)
    assert plans == [one.read_text() for one in (tmp_path / "it").rglob("plan.json")]


@pytest.mark.parametrize(
    ("optimizers", "more", "said"),
    [
        (["sgd"], {}, "only sgd; a comparison needs two or more"),
        (["sgd", "sgd"], {}, "sgd is given twice"),
        (TWO, {"problems": "toi"}, "unknown suite 'toi'; did you mean 'toy'"),
        (TWO, {"problems": []}, "problems is empty"),
        (TWO, {"problems": [3]}, "problem 3: expected the name of a problem"),
        (TWO, {"num_gradients": None}, "it has no budget: give num_gradients"),
        (TWO, {"num_gradients": 1}, "sam.* computes 2 gradients in a step"),
        (TWO, {"num_seeds": 1}, "num_seeds=1: must be a whole number, at least 2"),
        (TWO, {"num_gradients": -5}, "num_gradients=-5: must be a whole number"),
        (
            TWO,
            {"horizons": [1, 1.0001]},
            "two of them give the same budget, .* 12 gradients",
        ),
        (TWO, {"baseline": "adam"}, "baseline=adam: expected one of sgd"),
        (TWO, {"pairs": "some"}, "pairs='some': expected baseline or all"),
        (TWO, {"search": "tpe"}, "search='tpe': expected random, halton, sobol"),
        (TWO, {"horizons": [0]}, "horizons=.0.: expected a list of positive numbers"),
        (TWO, {"spaces": {"steps": [3]}}, "space: steps is the same for all"),
        (TWO, {"spaces": {"sgd.momentun": [3]}}, "sgd: unknown argument 'momentun'"),
        (TWO, {"spaces": {"adam.b1": [3]}}, "space: unknown name 'adam.<argument>'"),
    ],
)
def test_what_cannot_be_compared_is_refused(optimizers, more, said):
    with pytest.raises(gradjax.Refusal, match=said) as caught:
        gradjax.compare(optimizers, **{"problems": [PROBLEM], **ASKED} | more)
    assert "--" not in str(caught.value)


def test_the_baseline_is_the_object_that_was_given_and_not_its_namesake():
    objects = {}
    first, second = optax.sgd(0.1), optax.adam(0.1)
    texts = asking.optimizers_of([first, second], objects)
    assert asking.baseline_of(second, texts, objects) == texts[1] != texts[0]
    assert asking.baseline_of(first, texts, objects) == texts[0]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(gradjax.Refusal, match=r"holds 'mine.txt' and no comparison"):
        compare(TWO, workdir=tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine.txt"]


MINE = """
import optax
def mine(learning_rate, momentum=0.9):
    return optax.chain(optax.trace(momentum), optax.scale(-1.0 * learning_rate))
"""


@pytest.mark.slow
def test_an_edited_optimizer_is_refused_and_alone_is_trained_again(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    name, folder = "edited_rule", tmp_path / "it"
    (tmp_path / f"{name}.py").write_text(MINE)
    both = ["sgd(momentum=0.9)", f"{name}:mine(momentum=0.8)"]
    first = compare(both, workdir=folder)
    before = journals(folder)
    (tmp_path / f"{name}.py").write_text(MINE.replace("-1.0", "-0.5"))
    sys.modules.pop(name)
    with pytest.raises(gradjax.Refusal, match=f"{name}.py"):
        compare(both, workdir=folder)
    assert journals(folder) == before
    again = compare(both, workdir=folder, overwrite=True)
    after = journals(folder)
    assert [one for one, of in before.items() if after[one] == of] == [
        one for one in before if "/sgd-momentum" in one
    ]
    assert outcomes(again)[:5] == outcomes(first)[:5] != outcomes(again)[5:]
    assert outcomes(again)[5:] != outcomes(first)[5:]


@pytest.mark.slow
def test_objects_of_a_notebook_and_hostile_names_are_compared_at_two_horizons(
    tmp_path, typed
):
    pytest.importorskip("jinja2")

    def rule(learning_rate):
        return optax.sgd(learning_rate)

    def loss(w, _batch, _key):
        return (w**2).sum(), {}

    name = "../<script>alert(1)</script> \\input{x} =cmd()"
    problems = {name: gradjax.problem(loss, np.ones(3, np.float32))}
    asked = ASKED | {"num_trials": 2, "num_gradients": 4}
    found = gradjax.compare(
        [rule, "sgd(0.1)"], problems, horizons=[2, 1], workdir=tmp_path / "it", **asked
    )
    labels = [table.problem for table in found.tables]
    assert labels == [f"{name}, 4 gradients", f"{name}, 8 gradients"]
    assert found.baseline == "given:rule"
    inside = {
        one.relative_to(tmp_path / "it").parts[0] for one in found.workdir.rglob("*")
    }
    assert inside == {"comparison.json", "script-alert-1-script-input-x-cmd"}
    done = typed("scripts.report", "it")
    assert done.returncode == 0, done.stderr
    assert "<script>alert" not in (tmp_path / "report" / "report.html").read_text()
    own = problems[name]._replace(loss=lambda w, _batch, _key: ((w**4).sum(), {}))
    with pytest.raises(gradjax.Refusal, match="problem.loss"):
        gradjax.compare(
            [rule, "sgd(0.1)"],
            {name: own},
            horizons=[2, 1],
            workdir=tmp_path / "it",
            **asked,
        )


@pytest.mark.slow
def test_a_line_search_spends_as_many_gradients_as_the_others(tmp_path):
    three = ["sgd(1e-3)", "sam(sgd(1e-3))", "lbfgs"]
    asked = {"num_gradients": 40, "num_trials": 1, "num_seeds": 2}
    found = gradjax.compare(three, ["rosenbrock"], workdir=tmp_path / "it", **asked)
    (table,) = found.tables
    spent = {one.optimizer: one.num_gradients for one in table.outcomes}
    assert spent["sgd(0.001)"] == spent["sam(sgd(0.001))"] == 40
    assert 40 <= spent["lbfgs"] <= 40 + 10  # within the gradients of its last step
    (rule,) = [one for one in table.rules if "as many gradients" in one.text]
    assert rule.is_kept, rule
    (one, _) = [one for one in table.outcomes if one.optimizer == "lbfgs"]
    assert one.steps == one.num_gradients  # its steps are gradients
    assert (np.diff(one.curve.steps) >= 0).all() and one.curve.steps[-1] <= one.steps
    assert all(
        value > 0 for of in found.seconds_per_gradient.values() for value in of.values()
    )


def test_a_signal_stops_a_comparison_between_its_parts(whole, tmp_path, monkeypatch):
    folder = shutil.copytree(whole.workdir, tmp_path / "it")
    asked = call.request({}, TWO, [PROBLEM], **DEFAULTS | {"num_seeds": 3})
    monkeypatch.setattr(forecast, "measured", lambda *_: forecast.Cost(1.0, 0.0, 0))
    before = journals(folder)
    with pytest.raises(Interrupted, match="after compiling; the same command") as stop:
        running.run(asked, folder, hooks=running.Hooks(stop_requested=lambda: 15))
    assert stop.value.number == 15 and journals(folder) == before
