"""Verdicts on optimizers over independent tunings."""

import numpy as np
import pytest
from scipy import stats

from gradjax.analysis import verdicts
from gradjax.analysis.comparison import compare, study_means
from gradjax.analysis.tuned_verdicts import (
    StudyMeans,
    describe_tuned,
    study_verdicts,
)
from gradjax.pages import sentences
from gradjax.pages.cells import columns
from gradjax.pages.content import content
from gradjax.types import Series
from gradjax.types.comparisons import NEVER_RUN, Metric, Outcome

LOSS = Metric("test_loss", "min", chosen_by="validation_loss")
EMPTY = Series(np.empty(0), np.empty(0))
NAMES = ("a", "b", "c")


def outcomes(num_studies=5, lost=(), failure="", shifts=(0.0, 0.5, 0.01)):
    """Two fresh seeds and two trials of each study; `lost` has (optimizer, study)."""
    random = np.random.default_rng(0)
    for study in range(num_studies):
        common = random.normal(0.0, 1.0)
        for name, shift in zip(NAMES, shifts, strict=True):
            values = 3 + common + shift + random.normal(0.0, 0.05, 4)
            for k, value in enumerate(values):
                is_lost = k == 0 and (name, study) in lost
                yield Outcome(
                    "p",
                    name,
                    "fresh" if k < 2 else "search",
                    1000 * study + k,
                    {"rate": study if k < 2 else study + k},
                    np.nan if is_lost else value,
                    EMPTY,
                    study=study,
                    failure=failure if is_lost else "",
                )


def means(found, name, num_studies=5):
    return [
        np.mean(
            [x.value for x in found if (x.optimizer, x.role) == (name, "fresh")][i:j]
        )
        for i, j in ((2 * k, 2 * k + 2) for k in range(num_studies))
    ]


@pytest.mark.parametrize("family", ["baseline", "all"])
def test_the_verdict_is_a_paired_t_test_over_the_means_of_studies(family):
    found = list(outcomes())
    table = compare(found, LOSS, "a", pairs=family)
    alone = {
        pair: stats.ttest_rel(*(means(found, name) for name in pair)).pvalue
        for pair in (("b", "a"), ("c", "a"), ("b", "c"))
        if family == "all" or "a" in pair
    }
    told = {(row.optimizer, "a"): row.tuned for row in table.rows if row.tuned}
    if table.pairs:
        told = {(x.first, x.second): x.tuned for x in table.pairs}
    alone = {pair: alone.get(pair) or alone[pair[::-1]] for pair in told}
    order, before = sorted(alone, key=lambda pair: alone[pair]), 0.0
    assert len(told) == (3 if family == "all" else 2)
    for k, pair in enumerate(order):  # Holm's method
        before = max(before, min(1.0, (len(order) - k) * alone[pair]))
        assert told[pair].p_value == pytest.approx(before)
    assert told["b", "a"].word == "worse" and told["b", "a"].num_studies == 5
    difference = np.mean(means(found, "a")) - np.mean(means(found, "b"))
    assert told["b", "a"].interval.estimate == pytest.approx(difference)
    assert told["b", "a"].num_trials == (2, 2)
    assert told["c", "a"].word == "cannot be told apart"


def test_all_but_this_verdict_is_of_the_first_study():
    found = list(outcomes())
    table = compare(found, LOSS, "a")
    once = compare([one for one in found if not one.study], LOSS, "a")
    assert table.num_studies == 5 and once.num_studies == 1
    assert {one.num_studies for row in once.rows if (one := row.tuned)} == {1}
    assert table.outcomes == once.outcomes
    for own, alone in zip(table.rows, once.rows, strict=True):
        assert repr(own._replace(tuned=None)) == repr(alone._replace(tuned=None))
    assert study_means(once.outcomes) == {}


def test_the_page_and_the_words_name_the_unit():
    table = compare(list(outcomes()), LOSS, "a")
    said = sentences.caption(table)
    assert "over 5 independent tunings: paired t tests of the mean test loss" in said
    assert "another search" not in said and "of the first tuning." in said
    told = {row.optimizer: row.tuned for row in table.rows if row.tuned}
    assert describe_tuned(told["b"]).startswith("over 5 independent tunings: worse by ")
    assert describe_tuned(told["c"]).endswith(" tunings")
    (column,) = [one for one in columns(table) if one["head"] == "optimizers"]
    texts = [cell["text"] for cell in column["cells"]]
    assert sum(one.startswith("over 5 independent tunings: ") for one in texts) == 2
    assert "over 5 independent tunings" in str(content("T", [table], {}))


@pytest.mark.parametrize(
    ("failure", "word"), [("", "diverges"), (NEVER_RUN, "has no result")]
)
def test_a_study_with_a_seed_that_has_no_value_is_never_left_out(failure, word):
    lost = (("b", 1), ("b", 3), ("c", 2))
    table = compare(list(outcomes(lost=lost, failure=failure)), LOSS, "a")
    told = {row.optimizer: row.tuned for row in table.rows if row.tuned}
    said = f"over 5 independent tunings: {word} in "
    assert describe_tuned(told["b"]) == said + "2 of 5"
    assert describe_tuned(told["c"]) == said + "1 of 5"
    assert np.isnan(told["b"].p_value) and np.isnan(told["b"].interval.estimate)
    assert all(row.verdict.word != word for row in table.rows if row.verdict)
    alone = compare(list(outcomes(lost=lost[2:], failure=failure)), LOSS, "a")
    (other,) = [row.tuned for row in alone.rows if row.optimizer == "b"]
    assert other.word == "worse"  # its family is one test


def test_optimizers_of_other_studies_are_not_compared_over_them():
    found = [one for one in outcomes() if one.optimizer != "c" or not one.study]
    table = compare(found, LOSS, "a")
    told = {row.optimizer: row.tuned for row in table.rows}
    assert told["c"] is None and told["b"].num_studies == 5
    only = [one for one in found if one.optimizer in ("b", "c")]
    assert all(row.tuned is None for row in compare(only, LOSS, "b").rows)


def test_alike_optimizers_are_told_apart_in_one_of_twenty_comparisons(monkeypatch):
    monkeypatch.setattr(verdicts, "seeds_needed", lambda *_: None)  # it is slow
    random = np.random.default_rng(0)
    count = 0
    for _ in range(500):
        common, own = random.normal(size=5), random.normal(size=(2, 5))
        studies = {
            name: StudyMeans(tuple(range(5)), common + of, 0)
            for name, of in zip("ab", own, strict=True)
        }
        (found,) = study_verdicts(studies, [("a", "b")], "max")
        count += found.word in ("better", "worse")
    assert 13 <= count <= 37  # 99 % limits of a test at 5 %
