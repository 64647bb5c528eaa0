import pytest

from gradjax.report.sweep_table import lines, resolution_note


def _spread(mean, half, values):
    return {"mean": mean, "low": mean - half, "high": mean + half, "values": values}


def _of(mean, half=0.01, values=(0.9, 0.9, 0.9), warnings=(), rate=0.1):
    figures = {
        "seeds": [7, 8, 9],
        "validation_accuracy": _spread(mean, half, list(values)),
        "test_accuracy": _spread(mean + 0.01, half, list(values)),
    }
    return {
        "settings": 8,
        "best": {"learning_rate": rate, "optimizer.weight_decay": 1e-3},
        "searched": figures,
        "fresh": figures,
        "warnings": list(warnings),
    }


def _summary(**optimizers):
    return {
        "metric": "validation_accuracy",
        "num_examples": {"validation": 180, "test": 360},
        "optimizers": optimizers,
    }


def test_an_optimizer_has_one_row_with_both_figures():
    found = lines(_summary(adam=_of(0.95), sgd=_of(0.9)))
    assert len(found) == 4
    heads = ("optimizer", "best of", "best setting", "validation accuracy")
    assert all(head in found[0] for head in heads)
    assert "learning rate 0.1, weight decay 0.001" in found[1]
    assert "0.9500 [0.9400, 0.9600]  0.9600 [0.9500, 0.9700]" in found[1]
    assert found[1].startswith("  adam") and found[2].startswith("  sgd")
    assert found[3] == "  mean [95 % interval] over 3 fresh seeds"


def test_doubts_are_notes_which_rows_share():
    doubt = "the best learning rate is at the upper end of the values tried"
    found = lines(
        _summary(
            adam=_of(0.95, warnings=[doubt]),
            sgd=_of(0.9),
            lion=_of(0.9, warnings=[doubt]),
        )
    )
    assert found[0].endswith("notes")
    assert found[1].endswith("  1") and found[3].endswith("  1")
    assert found[-1] == f"  1: {doubt}"


def test_seeds_that_diverged_are_said_in_place_of_a_mean():
    nan = float("nan")
    lost = _of(nan, values=(0.9, nan, nan))
    (_, row, *_) = lines(_summary(sgd=lost))
    assert row.count("2 of 3 seeds diverged") == 2
    none = {"settings": 3, "best": None, "warnings": ["every trial diverged"]}
    found = lines(_summary(sgd=none))
    assert "none" in found[1] and found[-1] == "  1: every trial diverged"


def test_an_interval_narrower_than_an_example_says_so():
    found = lines(_summary(adam=_of(0.95, half=0.0)))
    assert found[-1] == (
        "  2: test accuracy has steps of 0.0028 (1 of 360 examples), so its interval is"
        " too narrow to mean anything"
    )
    wide = {"mean": 0.9, "low": 0.8, "high": 1.0}
    assert resolution_note(_summary(), "test_accuracy", wide) is None
    narrow = {"mean": 0.9, "low": 0.9, "high": 0.9}
    assert resolution_note(_summary(), "test_loss", narrow) is None


@pytest.mark.parametrize(("seeds", "words"), [([1], "one seed"), ([1, 2], "over 2 ")])
def test_the_last_line_says_how_many_seeds(seeds, words):
    one = _of(0.9)
    one["fresh"] = one["fresh"] | {"seeds": seeds}
    assert words in lines(_summary(adam=one))[-1]
