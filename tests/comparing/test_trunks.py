"""Horizons whose trials begin with the trunk of those of a shorter one."""

import itertools
from typing import Any

import pytest

from gradjax.comparing import call, cells, forecast, trunks
from gradjax.comparing.cells import cells_of, gradients
from gradjax.sweeps.shared import Shared
from gradjax.types import Settings, Space
from tests.comparing.test_compare import DEFAULTS, PROBLEM, TWO

FIXED = "sgd(0.1, momentum=0.9)"
WSD = "wsd(warmup=0, decay=0.25)"
NOT_SHARED = "trunks are not shared, because "


def asked_for(optimizers=TWO, **more):
    own: dict[str, Any] = {**DEFAULTS, "schedule": WSD, "horizons": [1, 2], **more}
    return call.request({}, optimizers, [PROBLEM], **own)


def _cells(optimizers=TWO, **more):
    return cells_of(asked_for(optimizers, **more))


def said(asked):
    lines = forecast.size_lines(asked, cells_of(asked))
    return [one for one in lines if "trunk" in one or one.startswith("  not those")]


def test_a_longer_horizon_shares_the_trunk_of_the_next_shorter_one(tmp_path):
    asked = asked_for([TWO[0], FIXED], horizons=[1, 2, 4])
    found = cells_of(asked)
    # The trunk ends with a block of both horizons, here of 2 and of 4 steps.
    assert [(cell.settings.steps, cell.trunk) for cell in found[::2]] == [
        *((12, 0), (24, 8), (48, 16)),
    ]
    assert [cell.settings.eval_every for cell in found[::2]] == [None, 2, 4]
    folders = [tmp_path / cell.folder for cell in found]
    links = [cells.shared_of(cell, found, tmp_path) for cell in found[::2]]
    assert links == [
        Shared(8, ()),
        Shared(16, (folders[0],)),
        Shared(0, (folders[2], folders[0])),
    ]
    tuned, fixed = gradients(found[2]), gradients(found[3])
    assert (tuned, fixed) == (5 * 24 - 3 * 8, 2 * 24 - 2 * 8)
    total = sum(map(gradients, found))
    assert f"{total:,} gradients" in forecast.size_lines(asked, found)[0]
    saved = (3 + 2) * (8 + 16)
    assert said(asked) == [
        f"the horizons share their trunks: {saved} gradients are computed once"
    ]


def test_trials_with_diagnostics_share_none():
    asked = asked_for(diagnostics="[layer_norms]")
    assert [one.trunk for one in cells_of(asked)] == [0, 0, 0, 0]
    assert "diagnostics are measured from the first step on" in " ".join(said(asked))


def test_one_horizon_and_horizons_without_a_trunk_have_the_folders_as_before():
    alone = [_cells(horizons=[one], num_gradients=20) for one in (1, 2)]
    both = _cells(num_gradients=20)
    assert [one.trunk for one in both] == [0, 0, 12, 6]
    for one, other in zip(both, itertools.chain(*alone), strict=True):
        assert (one.folder, one.settings) == (other.folder, other.settings)
    cosine = _cells(schedule="cosine")
    apart = [_cells(schedule="cosine", horizons=[one]) for one in (1, 2)]
    for one, other in zip(cosine, itertools.chain(*apart), strict=True):
        assert one._replace(task=other.task) == other and not one.trunk


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"schedule": "cosine"}, ""),
        ({"schedule": "cosine", "optimizers": ["adam", "lbfgs"]}, ""),
        ({"horizons": [1]}, ""),
        (
            {"schedule": "wsd", "num_gradients": 200},
            "step 2 of a run of 400 steps has another learning_rate than that of 200",
        ),
        (
            {"schedule": "warmup_constant(warmup=5)", "horizons": [1, 3]},
            "bits are the same for 2, 4, 8, ... times as many",
        ),
        (
            {"ranges": {"schedule.decay": "linear(0.1, 0.5)"}},
            "its search varies schedule.decay",
        ),
        (
            {
                "optimizers": [f"multi_steps({x}, every=1)" for x in ("sgd", "adam")],
                "ranges": {"optimizer.every": [1, 2]},
            },
            "its search varies a static part of the program",
        ),
    ],
)
def test_why_trunks_are_not_shared_is_said_once(more, expected):
    lines = said(asked_for(**more))
    assert len(lines) == bool(expected)
    assert all(one.startswith(NOT_SHARED) and expected in one for one in lines)


def test_optimizers_without_a_trunk_are_named_where_others_have_one():
    lines = said(asked_for([*TWO, FIXED], retune=False))
    assert lines == [
        "the horizons share their trunks: 16 gradients are computed once",
        *(
            f"  not those of {one}, because its setting is chosen at one of them"
            for one in TWO
        ),
    ]
    # Horizon 1 is trained before 0.5, and has no trunk from there.
    found = _cells([TWO[0], FIXED], retune=False, horizons=[0.5, 1, 2])
    fixed = [cell for cell in found if cell.optimizer == FIXED]
    assert [cell.trunk for cell in fixed] == [0, 0, 8]
    lines = said(asked_for([FIXED, "lbfgs"]))
    why = "its steps depend on the length of the run"
    assert lines[1:] == [f"  not those of lbfgs, because {why}"]


def _between(steps, ratio, **more):
    short = Settings("compare", optimizer="sgd(0.1)", schedule=WSD, steps=steps)
    return trunks.between(
        short._replace(**more), short._replace(steps=ratio * steps), Space(()), {}
    )


@pytest.mark.parametrize(
    ("steps", "ratio", "expected"),
    [
        (500, 2, (300, None, 0)),  # blocks of 50 and of 100 steps
        (1719, 2, (1204, None, 2)),  # the points of the curves are those of 2 steps
        (245, 2, (175, 25, 0)),  # usually 49 steps, which are no multiple of 25
        (245, 4, (150, 75, 1)),
        (12, 100, (0, None, 0)),  # the first block is longer than the trunk
    ],
)
def test_intervals_change_only_where_they_do_not_fit(steps, ratio, expected):
    short = Settings("compare", optimizer="sgd(0.1)", schedule=WSD, steps=steps)
    long = short._replace(steps=ratio * steps)
    found = trunks.between(short, long, Space(()), {})
    own = found.settings
    assert (found.steps, own.eval_every, own.trace_every) == expected
    assert bool(found.reason) == (not found.steps)
