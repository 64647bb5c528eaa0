import base64
import csv
import io
import re

import numpy as np
import pytest

from gradjax.analysis import tuning_curves
from gradjax.analysis.comparison import compare
from gradjax.analysis.horizons import HorizonSpeedup
from gradjax.analysis.speedup import Speedup
from gradjax.pages import sentences
from gradjax.pages.cells import columns
from gradjax.pages.content import content
from gradjax.pages.page import page
from gradjax.pages.searches import basins, best_of, overtakings, sensitivities
from gradjax.pages.tables import to_csv, to_latex
from gradjax.types import Series
from gradjax.types.comparisons import Metric
from tests.pages.comparisons import ACCURACY, outcomes, table

EMPTY = np.empty(0)
HOSTILE = ("</script><script>alert(1)</script>", "=cmd()", r"\input{x} $y_1$ 50%")


@pytest.fixture(scope="module")
def tables():
    names = ("adam", "sgd(momentum=0.9)")
    problems = ("digits", "wine")
    return [table(names, problem=one, num_trials=15) for one in problems]


def _cells(one, head):
    return next(column["cells"] for column in columns(one) if column["head"] == head)


def test_the_table_says_both_verdicts_the_spread_and_the_time_to_target(tables):
    one = tables[0]
    heads = [column["head"] for column in columns(one)]
    assert heads == [
        "setting",
        "mean",
        "median",
        "spread",
        "diverged",
        "settings",
        "P(better)",
        "optimizers",
        "to target",
        "p of the target",
    ]
    said = [cell["text"] for cell in _cells(one, "optimizers")]
    assert said[0] == "baseline"
    assert said[1].startswith("cannot be told apart: -0.0")
    assert re.search(r"\] \(p = 0\.\d+\)$", said[1])
    assert "trials are not independent (halton)." in sentences.caption(one)
    assert "; test set 0.01" in _cells(one, "spread")[0]["text"]
    time = _cells(one, "to target")[0]["text"]
    assert time == "80 gradients (0.800 s), 6 of 6"
    assert _cells(one, "p of the target")[0]["value"] < 0.05
    assert "one-sided t test" in sentences.caption(one)
    assert "t test" not in sentences.caption(table(("a", "b"), Metric("loss", "min")))


def test_the_interquartile_mean_appears_from_twenty_seeds_on():
    few, many = (table(("adam",), num_seeds=n) for n in (19, 20))
    heads = [[column["head"] for column in columns(one)] for one in (few, many)]
    assert ["interquartile mean" in one for one in heads] == [False, True]
    cell = _cells(many, "interquartile mean")[0]
    assert cell["text"].count(",") == 1
    low, high = (
        float(text) for text in cell["text"].strip("]").split("[")[1].split(",")
    )
    assert low < cell["value"] < high


def test_the_answer_is_one_sentence_with_intervals_and_counts():
    found = list(outcomes(("adam", "sgd", "wild"), num_trials=0))
    found = [
        one._replace(value=np.nan, diverged_step=50)
        if one.optimizer == "wild" and one.seed < 2
        else one._replace(value=one.value - 0.1 * (one.optimizer == "sgd"))
        for one in found
    ]
    said = sentences.answer(compare(found, ACCURACY, "adam"))
    assert said.startswith(
        "The chosen settings compared with that of adam: sgd is worse by 0.1"
    )
    assert said.endswith("; wild: diverges in 2 of 6.")
    said = sentences.answer(compare(found, ACCURACY))
    assert said == (
        "adam has the best median test accuracy of 3 optimizers, 0.9403; without a "
        "baseline there is no verdict."
    )


def test_what_is_not_compared_is_named_with_the_reason():
    found = list(outcomes(("adam", "sgd", "late"), num_trials=0))
    moved = [
        one._replace(seed=one.seed + 100 * (one.optimizer == "late")) for one in found
    ]
    table_ = compare(moved, ACCURACY, "adam")
    said = "; late not compared, because the seeds differ."
    assert sentences.answer(table_).endswith(said)
    assert sentences.answer(compare(found[:6], ACCURACY, "adam")).startswith(
        "The median test accuracy of adam is"
    )
    bare = [one._replace(curve=Series(EMPTY, EMPTY)) for one in found[6:12]]
    both = [
        compare([one._replace(problem=name) for one in own], ACCURACY, "adam")
        for name, own in (("p", found), ("q", [*found[:6], *bare]))
    ]
    notes = content("A title", both, {})["across"]["notes"]
    assert "because the curves of sgd on q are not known." in notes[0]


def test_a_basin_has_its_width_in_decades(tables):
    found = basins(tables[0])[0]
    assert found["optimizer"] == "adam"
    assert 0.01 < found["low"] <= found["best"] <= found["high"] < 1
    assert found["decades"] == pytest.approx(np.log10(found["high"] / found["low"]))
    assert found["text"].startswith(f"adam: {found['decades']:.2f} decades, from 0.")


def test_the_sensitivity_stands_beside_the_basin_and_missing_ones_are_named(tables):
    one, other = sensitivities(tables[0])
    assert one["text"].startswith(f"{one['optimizer']}: sensitivity 0.0")
    assert "over the rates from 0.0" in one["text"] and 0 < other["value"] < 1
    rows = list(csv.DictReader(io.StringIO(to_csv(tables[:1]))))
    assert float(rows[0]["sensitivity"]) == one["value"]
    assert float(rows[0]["basin_decades"]) > 0
    changed = [
        one._replace(value=np.nan, diverged_step=50) if one.optimizer == "adam" else one
        for one in tables[0].outcomes
        if one.optimizer == "adam" or one.role == "fresh"
    ]
    bare = compare(changed, ACCURACY, "adam")
    (problem,) = content("A title", [bare], {})["problems"]
    said = {one["optimizer"]: one["text"] for one in problem["sensitivities"]}
    assert said["adam"] == "adam: no basin, because no trial of its search ended"
    assert "tried fewer than two learning rates" in said["sgd(momentum=0.9)"]
    assert problem["withoutBestOf"] == [
        "sgd(momentum=0.9): no curve, because fewer than two settings were tried.",
        "adam: no curve, because no trial ended.",
    ]


def test_a_basin_that_reaches_the_end_of_the_range_says_so(tables):
    flat = [
        one._replace(value=0.9 if one.role == "search" else 0.9 + one.seed / 100)
        for one in tables[0].outcomes
    ]
    text = basins(compare(flat, ACCURACY))[0]["text"]
    assert "at least" in text and text.endswith(
        "still good at the low and the high end"
    )


def test_best_of_k_has_a_band_only_if_the_trials_are_independent(tables, monkeypatch):
    assert {one["low"] for one in best_of(tables[0])} == {None}

    def shares(count, _):  # the band of opda takes seconds
        share = np.arange(count + 1) / count
        return np.maximum(share - 0.3, 0), np.minimum(share + 0.3, 1)

    monkeypatch.setattr(tuning_curves, "_band_shares", shares)
    drawn = [one._replace(search="random") for one in tables[0].outcomes]
    found = best_of(compare(drawn, ACCURACY))[0]
    assert found["low"][0] < found["median"][0]
    tried = [one.value for one in drawn if one.role == "search"]
    assert found["median"][-1] == np.nanmax(tried[:15])
    assert None in found["high"]  # the best trials do not bound the best of many


def test_the_number_of_trials_from_which_one_is_ahead_is_listed():
    values = {"steady": [0.5, 0.5, 0.5, 0.5], "lucky": [0.1, 0.1, 0.1, 0.9]}
    trials = [
        one._replace(role="search", setting={"x": k}, value=values[one.optimizer][k])
        for one in outcomes(("steady", "lucky"), num_seeds=4, num_trials=0)
        for k in [one.seed]
    ]
    fresh = list(outcomes(("steady", "lucky"), num_trials=0))
    found = overtakings(compare([*trials, *fresh], ACCURACY))
    assert [(one["first"], one["second"]) for one in found] == [("lucky", "steady")]
    assert found[0]["trials"] == 3  # the median best of 3 of 4 is the best


def test_departures_and_the_rules_that_were_kept_are_on_the_page(tables):
    html = page(content("A title", tables[:1], {}), {})
    assert "Departures from the protocol:" in html
    assert "Not kept: adam: momentum" in html
    assert "<strong>kept</strong>: The runs of all optimizers compute" in html
    command = "python -c &#39;show 0&#39;"
    assert f"<code>{command}</code>" in html
    assert 'data-optimizer="adam">curves</button>' in html


def test_several_problems_have_profiles_scores_and_ranks(tables):
    found = content("A title", tables, {})["across"]
    assert found["heads"] == [
        "optimizer",
        "mean rank",
        "integral of the profile",
        "AlgoPerf's score",
        "5 x 3 rule: integral of the profile",
        "5 x 3 rule: AlgoPerf's score",
    ]
    assert [one["name"] for one in found["profiles"]] == [
        "tuned settings on fresh seeds",
        "AlgoPerf's rule",
    ]
    few = [table(("adam", "sgd"), problem=one) for one in ("digits", "wine")]
    notes = content("A title", few, {})["across"]["notes"]
    assert "AlgoPerf's rule does not apply: it needs 15 trials" in " ".join(notes)
    assert content("A title", tables[:1], {})["across"] is None


def test_hostile_names_are_inert_in_every_part():
    found = [
        one._replace(
            setting={HOSTILE[0]: HOSTILE[1], HOSTILE[1]: one.setting["learning_rate"]},
            source=HOSTILE[0],
            command=HOSTILE[1],
            search=HOSTILE[0],
        )
        if one.role == "search"
        else one._replace(setting={HOSTILE[2]: HOSTILE[0]}, command=HOSTILE[1])
        for one in outcomes(HOSTILE, problem=HOSTILE[0])
    ]
    other = [one._replace(problem=HOSTILE[2]) for one in found]
    metric = Metric(HOSTILE[0], "max", target=0.5)
    made = [compare(own, metric, HOSTILE[0]) for own in (found, other)]
    html = page(content(HOSTILE[0], made, {HOSTILE[0]: HOSTILE[0]}), {})
    assert "<script>alert" not in html
    rows = list(csv.reader(io.StringIO(to_csv(made))))
    assert not [cell for row in rows for cell in row if cell.startswith("=")]
    assert r"\input" not in to_latex(made)


def test_many_curves_have_fewer_points_each():
    many = table(("adam",), num_seeds=600, num_points=300, num_trials=0)
    trials = content("A title", [many], {})["problems"][0]["trials"]
    assert len(base64.b64decode(trials[0]["values"])) == 4 * (100_000 // 600)
    few = table(("adam",), num_points=300)
    trials = content("A title", [few], {})["problems"][0]["trials"]
    assert len(base64.b64decode(trials[0]["values"])) == 4 * 200
    assert "values" not in trials[-1]  # no chart shows the curves of a search


def test_horizons_give_a_speed_up_in_a_sentence():
    made = [
        table(("adam", "sgd"), problem=f"p, {n} gradients", num_points=points)
        for n, points in ((100, 10), (1_600, 160))
    ]
    (said,) = content("A title", made, {})["speedups"]
    start = "p: sgd does not reach the end of adam at 1,600 gradients within 1,600"
    assert said.startswith(f"{start} gradients; it is at most ")
    (said,) = content("A title", _swapped(made), {})["speedups"]
    assert re.match(r"p: sgd is \d\.\d+ \[\d.*\] times as fast as adam at", said)
    html = page(content("A title", _swapped(made), {}), {})
    assert f"<li>{said}</li>" in html


def test_a_speed_up_beyond_the_horizons_is_bounded_on_one_side():
    about = ("p", "sgd", "adam", 400, "gradients", (100, 400))
    said = sentences.speedup(HorizonSpeedup(*about, Speedup(np.nan, 3.5, np.inf)))
    assert said == (
        "p: sgd reaches the end of adam at 400 gradients at 100 gradients already; "
        "it is at least 3.50 times as fast."
    )
    said = sentences.speedup(HorizonSpeedup(*about, Speedup(np.nan, 0.0, np.inf)))
    assert said.endswith("cannot be bounded on both sides.")


def _swapped(tables):
    """The same comparisons with the names of the two optimizers exchanged."""
    other = {"adam": "sgd", "sgd": "adam"}
    return [
        compare(
            [
                one._replace(optimizer=other[one.optimizer])
                for one in sorted(of.outcomes, key=lambda one: one.optimizer)
            ],
            ACCURACY,
            "adam",
        )
        for of in tables
    ]
