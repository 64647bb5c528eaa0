"""Settings that are chosen at one horizon and taken at the others."""

import numpy as np
import pytest

import gradjax
from gradjax.analysis.horizons import speedups
from gradjax.comparing import call, forecast, result, transfer
from gradjax.comparing.cells import cells_of
from gradjax.pages import sentences
from gradjax.records.comparisons import outcomes_of
from tests.comparing.test_compare import ASKED, DEFAULTS, PROBLEM, TWO, journals

FIXED = "sgd(0.1, momentum=0.9)"
POINT = {"learning_rate": 0.0123456789012345, "optimizer.rho": 0.125}


def _cells(optimizers, **more):
    asked = call.request({}, optimizers, [PROBLEM], **DEFAULTS | more)
    return cells_of(asked)


def test_only_one_horizon_is_tuned_and_the_others_are_runs_of_its_setting():
    cells = _cells([TWO[1], FIXED], retune=False, horizons=[0.5, 2, 1])
    first = transfer.first_phase(cells)
    assert [cell.num_gradients for cell in first] == [12, 12]
    assert [cell.num_trials for cell in cells] == [0, 0, 3, 0, 0, 0]
    assert {cell.chosen_at for cell in cells} == {"", first[0].label}
    assert cells[0].folder.endswith("-undecided")
    found = transfer.decided(cells, {first[0].key: POINT})
    assert found[1:4] == cells[1:4]
    for cell, steps in ((found[0], 3), (found[4], 12)):
        settings = cell.settings
        assert (
            settings.learning_rate == POINT["learning_rate"] and cell.setting == POINT
        )
        assert settings.optimizer == "sam(inner=sgd(momentum=0.9), rho=0.125)"
        assert (settings.seed, settings.seeds, settings.steps) == (2**31, 2, steps)
        assert not cell.folder.endswith("-undecided") and not cell.space.dimensions
    other = transfer.decided(cells, {first[0].key: {**POINT, "learning_rate": 0.1}})
    assert other[0].folder != found[0].folder
    shortest = _cells(TWO, retune=False, horizons=[0.5, 2])
    assert {cell.num_gradients for cell in transfer.first_phase(shortest)} == {6}


def test_what_the_other_horizons_will_take_is_printed_beforehand():
    cells = _cells(TWO, retune=False, horizons=[1, 2])
    first = transfer.first_phase(cells)
    left = [forecast.Left(3, 2)] * 2
    said = forecast.later_line(cells, first, left, [5.0, 15.0])
    assert said == (
        "then 4 fresh seeds of the same settings at the other horizons: about 16 s"
    )
    assert forecast.later_line(first, first, left, [5.0, 15.0]) == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"retune": 0, "horizons": [1, 2]}, "retune=0: expected True or False"),
        ({"retune": False}, "retune=False: needs two horizons or more"),
    ],
)
def test_an_impossible_retune_is_refused(more, said):
    with pytest.raises(gradjax.Refusal, match=said):
        gradjax.compare(TWO, [PROBLEM], **ASKED | more)


@pytest.mark.slow
def test_a_setting_that_was_not_tuned_for_its_length_is_flagged(tmp_path):
    asked = ASKED | {"horizons": [1, 2], "retune": False}
    three, folder = [*TWO, FIXED], tmp_path / "it"
    found = gradjax.compare(three, [PROBLEM], workdir=folder, **asked)
    short, long = found.tables
    assert len(short.searches) == 2 and not long.searches
    rows = [{row.optimizer: row for row in table.rows} for table in found.tables]
    for name in three:
        assert rows[0][name].setting == rows[1][name].setting or name == three[2]
        flagged = [one for one in rows[1][name].doubts if "not for this length" in one]
        assert len(flagged) == (name in TWO)
    (rule,) = [one for one in long.rules if "for the length" in one.text]
    assert rule.is_kept is False and all(name in rule.detail for name in TWO)
    (rule,) = [one for one in short.rules if "for the length" in one.text]
    assert rule.is_kept
    assert any(
        "not for this length" in text for _, text in result.shown_tables(found)[1][1]
    )
    said = [sentences.speedup(one) for one in speedups(found.tables)]
    assert said and all("tuned at one length alone." in one for one in said)
    rate = rows[1][TWO[0]].setting["learning_rate"]
    alone = gradjax.compare(
        [f"sgd({rate!r}, momentum=0.9)", FIXED],
        [PROBLEM],
        **ASKED | {"num_gradients": 24},
    )
    fixed = {row.optimizer: row.values for row in alone.tables[0].rows}
    np.testing.assert_allclose(
        rows[1][TWO[0]].values, fixed[f"sgd({rate!r}, momentum=0.9)"], rtol=1e-5
    )
    before = journals(folder)
    again = gradjax.compare(three, [PROBLEM], workdir=folder, **asked)
    assert journals(folder) == before and len(before) == 6
    assert [len(own) for _, own in outcomes_of(folder)] == [12, 6]
    assert repr(again.tables[1].rows) == repr(long.rows)
