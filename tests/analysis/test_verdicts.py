import numpy as np
import pytest
from scipy import stats

from gradjax.analysis.power import seeds_needed
from gradjax.analysis.verdicts import describe, verdicts
from gradjax.errors import Refusal


def _values(shifts, num_seeds=10, seed=0):
    random = np.random.default_rng(seed)
    common = random.normal(size=num_seeds)
    return {
        name: common + random.normal(shift, 0.1, num_seeds)
        for name, shift in shifts.items()
    }


def test_a_clear_difference_is_better_by_its_interval():
    values = _values({"mine": -1.0, "adam": 0.0})
    (found,) = verdicts(values, [("mine", "adam")], "min")
    test = stats.ttest_rel(values["adam"], values["mine"])
    assert found.word == "better"
    assert found.p_value == pytest.approx(test.pvalue)
    assert found.difference is not None
    np.testing.assert_allclose(
        found.difference.interval[1:], test.confidence_interval()
    )
    assert describe(found, 2).startswith(
        "better by 0.9"
    ) or "better by 1.0" in describe(found, 2)
    (mirrored,) = verdicts(values, [("mine", "adam")], "max")
    assert mirrored.word == "worse"
    assert describe(mirrored, 2) == describe(found, 2).replace("better", "worse")


def test_no_difference_cannot_be_told_apart_and_says_how_many_seeds():
    (found,) = verdicts(_values({"a": 0.0, "b": 0.02}), [("a", "b")], "max")
    assert found.word == "cannot be told apart"
    assert found.seeds_needed is not None
    assert found.seeds_needed > 10
    assert f"about {found.seeds_needed:,} seeds" in describe(found)


@pytest.mark.slow
def test_the_interval_excludes_0_exactly_where_the_family_rejects():
    random = np.random.default_rng(3)
    for study in range(40):
        shifts = {name: random.choice([0.0, 0.1]) for name in "abcde"}
        pairs = [(name, "a") for name in "bcde"]
        for one in verdicts(_values(shifts, 6, study), pairs, "min"):
            assert one.difference is not None
            _, low, high = one.difference.interval
            assert (one.word == "better") == (low > 0)
            assert (one.word == "worse") == (high < 0)
            assert (one.p_value <= 0.05) == (one.word != "cannot be told apart")


@pytest.mark.parametrize("count", [1, 9, 10])
def test_diverged_seeds_are_never_dropped(count):
    values = _values({"mine": -5.0, "adam": 0.0})
    values["mine"][:count] = np.nan
    (found,) = verdicts(values, [("mine", "adam")], "min")
    assert found.word == "diverges"
    assert found.num_diverged == (count, 0)
    assert found.difference is None
    assert describe(found) == f"diverges in {count} of 10"
    assert (found.median_difference > 0) == (count == 1)
    assert np.isneginf(found.median_difference) == (count > 5)
    (found,) = verdicts(values, [("adam", "mine")], "min")
    assert describe(found) == f"mine diverges in {count} of 10"


def test_one_seed_has_no_verdict():
    (found,) = verdicts({"a": [1.0], "b": [2.0]}, [("a", "b")], "min")
    assert found.word == "cannot be told apart"
    assert describe(found) == "cannot be told apart: one seed has no spread"


@pytest.mark.slow
def test_one_setting_under_two_names_is_seldom_better():
    random = np.random.default_rng(0)
    draws = random.normal(size=(1_000, 2, 10))
    words = [
        verdicts({"a": one, "b": other}, [("a", "b")], "min")[0].word
        for one, other in draws
    ]
    assert words.count("better") + words.count("worse") <= 67


@pytest.mark.slow
def test_a_shift_of_one_standard_deviation_is_found_as_often_as_computed():
    # The power of the test with 10 pairs is 0.803: 770 to 835 of 1,000 are its 99 %.
    random = np.random.default_rng(1)
    draws = random.normal(1.0, 1.0, size=(1_000, 10))
    words = [
        verdicts({"a": one, "b": np.zeros(10)}, [("a", "b")], "max")[0].word
        for one in draws
    ]
    assert 770 <= words.count("better") <= 835


def test_wrong_input_is_refused():
    with pytest.raises(Refusal, match="no values of 'c'"):
        verdicts({"a": [1.0]}, [("a", "c")], "min")
    with pytest.raises(Refusal, match="one value per common seed"):
        verdicts({"a": [1.0], "b": [1.0, 2.0]}, [("a", "b")], "min")


def test_settings_with_one_value_on_all_seeds_are_not_tested():
    values = {"a": np.full(5, 1.0), "b": np.full(5, 1.5), "c": np.arange(5.0)}
    fixed, varied = verdicts(values, [("a", "b"), ("c", "b")], "min")
    assert fixed.word == "not tested" and np.isnan(fixed.p_value)
    assert describe(fixed, 2) == (
        "not tested: a difference of +0.50 on every seed, without a spread"
    )
    (alone,) = verdicts(values, [("c", "b")], "min")
    assert varied.p_value == alone.p_value, "it is no part of the family"


def test_the_seeds_that_an_open_verdict_needs_are_at_the_level_of_its_step():
    """With ten pairs the first step has a level of 0.005."""
    drawn = np.random.default_rng(0).normal(size=10)
    unit = (drawn - drawn.mean()) / drawn.std(ddof=1)
    values = {"a": np.zeros(10), "mine": unit + 0.9}  # p = 0.02
    values |= {f"b{k}": np.roll(unit, k) for k in range(9)}  # p = 1
    pairs = [(name, "a") for name in values if name != "a"]
    found = {one.first: one for one in verdicts(values, pairs, "max")}["mine"]
    (alone,) = verdicts(values, [("mine", "a")], "max")
    assert alone.word == "better" and found.word == "cannot be told apart"
    effect = found.difference.effect
    assert found.seeds_needed == seeds_needed(effect, 0.005) > seeds_needed(effect)
