import csv
import io

import numpy as np
import pytest

from gradjax.analysis.comparison import compare
from gradjax.analysis.horizons import speedups
from gradjax.pages.content import content
from gradjax.pages.speedups import speedups_csv
from gradjax.pages.tables import to_latex
from gradjax.types import Series
from gradjax.types.comparisons import Metric, Outcome

EMPTY = Series(np.empty(0), np.empty(0))
LOSS = Metric("test_loss", "min")


def _table(horizon, factors, lost=(), baseline="adam"):
    """Ends of runs whose loss is 1 over the gradients times the factor."""
    random = np.random.default_rng(horizon)
    outcomes = []
    for seed in range(8):
        noise = 1 + 0.01 * random.normal()
        for name, factor in factors.items():
            value = noise / (factor * horizon)
            one = Outcome(
                f"p, {horizon:,} gradients", name, "fresh", seed, {}, value, EMPTY
            )
            if name in lost and seed == 0:
                one = one._replace(value=np.nan, diverged_step=3)
            outcomes.append(one)
    return compare(outcomes, LOSS, baseline)


def test_a_true_speed_up_lies_in_its_interval():
    tables = [_table(n, {"adam": 1.0, "mine": 1.3}) for n in (2_000, 1_000, 4_000)]
    (found,) = speedups(tables)
    assert found[:5] == ("p", "mine", "adam", 4_000, "gradients")
    assert found.horizons == (1_000, 2_000, 4_000)
    assert found.speedup.low < found.speedup.estimate < found.speedup.high
    assert found.speedup.estimate == pytest.approx(1.3, rel=0.1)


def test_an_optimizer_without_a_speed_up_is_named_with_the_reason():
    both = {"adam": 1.0, "mine": 1.3}
    late = {**both, "late": 1.0}
    lost = [_table(1_000, both, ["mine"]), _table(2_000, late)]
    found = {one.optimizer: one for one in speedups(lost)}
    assert {name: one.reason for name, one in found.items()} == {
        "mine": "it diverges in 1 of 8 seeds at 1,000 gradients",
        "late": "it was not run at 1,000 gradients",
    }
    assert {one.speedup for one in found.values()} == {None}
    (told,) = [one for one in content("t", lost, {})["speedups"] if "mine" in one]
    assert told == (
        "p: mine has no speed-up over adam, because it diverges in 1 of 8 seeds at"
        " 1,000 gradients."
    )
    rows = list(csv.DictReader(io.StringIO(speedups_csv(list(found.values())))))
    assert rows[0]["speedup"] == "" and "diverges in 1 of 8" in rows[0]["reason"]
    assert "none: it diverges in 1 of 8" in to_latex(lost)
    (gone,) = speedups([_table(n, both, ["adam"]) for n in (1_000, 2_000)])
    assert gone.reason == "adam diverges in 1 of 8 seeds at 2,000 gradients"


def test_one_horizon_or_no_baseline_has_no_speed_up():
    both = {"adam": 1.0, "mine": 1.3}
    assert speedups([_table(1_000, both)]) == []
    none = [_table(n, both, baseline=None) for n in (1_000, 2_000)]
    assert speedups(none) == []
