"""Several independent tunings of each optimizer."""

import json
import shlex

import numpy as np
import pytest
from scipy import stats

import gradjax
from gradjax.analysis.power import smallest_effect
from gradjax.comparing import call, forecast, result, running, stored, timing, transfer
from gradjax.comparing.cells import cells_of, gradients, listing
from gradjax.comparing.timing import Trained
from gradjax.records.comparisons import outcomes_of
from tests.comparing.test_compare import (
    ASKED,
    DEFAULTS,
    PROBLEM,
    TWO,
    journals,
    outcomes,
    tables,
)

FIXED = "sgd(0.1, momentum=0.9)"


def _asked(optimizers=TWO, **more):
    return call.request({}, optimizers, [PROBLEM], **DEFAULTS | more)


def _cells(optimizers=TWO, **more):
    return cells_of(_asked(optimizers, **more))


def test_one_study_has_the_folders_that_stored_comparisons_have():
    cells = _cells([*TWO, "sgd(0.1)"])
    assert [cell.folder for cell in cells] == [
        "quadratic-condition-10/sgd-momentum-0.9-27d5cf68",
        "quadratic-condition-10/sam-sgd-momentum-0.9-ef1bb0ed",
        "quadratic-condition-10/sgd-0.1-575a6c60",
    ]
    assert not any("study" in one for one in listing(cells))
    assert {cell.settings.seed for cell in cells} == {0}


def test_study_k_of_every_optimizer_has_its_own_points_and_seeds():
    three = [*TWO, FIXED]
    cells, once = _cells(three, studies=4, seed=7), _cells(three, seed=7)
    assert listing(cells[:3]) == listing(once)
    assert [one.settings for one in cells[:3]] == [one.settings for one in once]
    assert len({cell.folder for cell in cells}) == 12
    assert [cell.study for cell in cells] == sorted(cell.study for cell in cells)
    for study in range(4):
        own = [cell for cell in cells if cell.study == study]
        first = 2**31 + study * 2**20
        assert {cell.seeds for cell in own} == {range(first, first + 2)}
        assert [cell.settings.seed for cell in own] == [7 + study, 7 + study, first]
        assert [one.get("study", 0) for one in listing(own)] == [study] * 3
    other = _cells(three, seed=8)
    assert not {cell.folder for cell in cells} & {x.folder for x in other[:2]}


def test_a_setting_is_taken_at_other_horizons_from_the_same_study():
    cells = _cells(studies=3, horizons=[1, 2], retune=False)
    first = transfer.first_phase(cells)
    chosen = {cell.key: {"learning_rate": 0.1 + cell.study} for cell in first}
    found = transfer.decided(cells, chosen)[6:]
    assert [cell.setting for cell in found] == [
        {"learning_rate": 0.1 + study} for study in (0, 0, 1, 1, 2, 2)
    ]
    assert [cell.settings.seed - 2**31 for cell in found[::2]] == [0, 2**20, 2**21]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"studies": 2}, "studies=2: expected 1, or 3 to 1,000; a paired t test over"),
        ({"studies": 1001}, "studies=1001: expected 1, or 3 to 1,000"),
        ({"studies": 0}, "studies=0: must be a whole number, at least 1"),
        ({"studies": 3, "num_seeds": 2**20 + 1}, "num_seeds at most 1,048,576"),
        ({"studies": 2.5}, "studies=2.5: must be a whole number"),
        (
            {"studies": 3, "seed": 2**31 - 2},
            "would share a seed; seed is at most 2,147",
        ),
    ],
)
def test_an_impossible_number_of_studies_is_refused(more, said):
    with pytest.raises(gradjax.Refusal, match=said) as caught:
        gradjax.compare(TWO, [PROBLEM], **ASKED | more)
    assert "--" not in str(caught.value)


def test_the_forecast_counts_all_studies_and_names_the_unit(tmp_path, monkeypatch):
    asked = _asked(studies=3)
    cells = cells_of(asked)
    said = forecast.size_lines(asked, cells)[0]
    total = 3 * sum(map(gradients, _cells()))
    assert said == (
        "2 optimizers on 1 problems, tuned 3 times: 2 programs, 18 trials and 12 fresh"
        f" seeds, {total:,} gradients"
    )
    power = forecast.power_line(asked)
    assert power.startswith(forecast.power_line(_asked()) + ". ")
    assert f"over 3 independent tunings, finds {smallest_effect(3):.2g} " in power
    looked = [stored.look(cell, asked, tmp_path) for cell in cells]
    makers = running._makers(looked[::2], overwrite=False, may_restart=False)
    assert makers[0]().lanes is makers[1]().lanes is makers[2]().lanes
    left = [forecast.left_of(one, False) for one in looked]
    assert left == [forecast.Left(3, 2)] * 2 + [forecast.Left(3, 2, False)] * 4
    cost, lines = forecast.Cost(1.0, 5.0, 0), []
    monkeypatch.setattr(forecast, "measured", lambda *_: cost)
    estimated = forecast.announce(makers, left[::2], lines.append, lambda _: None)
    assert lines[0].startswith("compiling 1 programs") and "15 trials" in lines[1]
    assert estimated[0] > 6.0 and estimated[1:] == [1.0, 1.0]  # one is timed
    assert looked[4].work.first_fresh_seed == 2**31 + 2**21
    timing.measure([Trained(looked[4], None, None)], pytest.fail, None, pytest.fail)
    assert cells[4].name == f"{PROBLEM}, 12 gradients, {TWO[0]}, tuning 3"


@pytest.mark.slow
def test_more_studies_train_only_the_new_ones_and_are_the_unit(tmp_path, typed):
    pytest.importorskip("jinja2")
    three, folder = [*TWO, FIXED], tmp_path / "it"
    once = gradjax.compare(three, [PROBLEM], workdir=folder, **ASKED)
    before = journals(folder)
    listed = json.loads((folder / "comparison.json").read_text())
    assert "studies" not in listed["asked"] and len(before) == 3
    found = gradjax.compare(three, [PROBLEM], workdir=folder, studies=3, **ASKED)
    after = journals(folder)
    assert len(after) == 9 and {one: after[one] for one in before} == before
    assert outcomes(found) == outcomes(once)
    assert found.seconds_per_gradient == once.seconds_per_gradient
    at_once = gradjax.compare(three, [PROBLEM], studies=3, **ASKED)
    assert tables(at_once) == tables(found)
    ((_, trials),) = outcomes_of(folder)
    assert len(trials) == 3 * 6 + 2 * 3 * 3
    settings = {
        (one.study, one.setting["learning_rate"])
        for one in trials
        if (one.optimizer, one.role) == (TWO[0], "search")
    }
    assert len(settings) == 9  # three points of three searches
    means = {
        name: [
            np.mean([one.value for one in trials if _is_of(one, name, study)])
            for study in range(3)
        ]
        for name in three
    }
    rows = {row.optimizer: row for row in found.tables[0].rows}
    alone = [stats.ttest_rel(means[name], means[TWO[0]]).pvalue for name in three[1:]]
    told = [rows[name].tuned for name in three[1:]]
    assert min(one.p_value for one in told) == pytest.approx(2 * min(alone))
    ((_, shown),) = result.shown_tables(found)
    said = [text for _, text in shown if "the optimizer, " in text]
    assert len(said) == 2 and all("over 3 independent tunings: " in x for x in said)
    flags = [
        f"--optimizers=[{', '.join(three)}]",
        f"--problems=[{PROBLEM}]",
        *("--gradients=12", "--trials=3", "--seeds=2", "--workdir=it"),
    ]
    done = typed("scripts.compare", *flags, "--studies=3")
    assert done.returncode == 0, done.stderr
    assert "everything is stored already" in done.stdout
    assert "3 independent tunings" in done.stdout and journals(folder) == after
    page = (folder / "report" / "report.html").read_text()
    assert "36 trials, 432 gradients" in page  # also of the other studies
    assert "over 3 independent tunings" in page
    listed = json.loads((folder / "comparison.json").read_text())
    assert listed["asked"]["studies"] == 3
    assert "--studies=3" in shlex.split(listed["asked"]["command"])
    done = typed("scripts.compare", *flags, "--studies=2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("compare: --studies=2: expected 1, or 3 to 1,000")
    again = gradjax.compare(three, [PROBLEM], workdir=folder, **ASKED)
    assert tables(again) == tables(once) and journals(folder) == after


def _is_of(one, name, study):
    return (one.optimizer, one.role, one.study) == (name, "fresh", study)
