"""Trials that take over the trunk of a shorter horizon, to the same bits."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradjax
from gradjax.comparing import forecast, running, stored, timing
from gradjax.comparing.cells import cells_of
from gradjax.problems import make
from gradjax.records import faults, opening
from gradjax.records import store as records
from gradjax.sweeps import shared
from gradjax.sweeps.shared import Shared, Trunk
from gradjax.trials import batches, lanes, segment_arrays
from tests.comparing.test_compare import ASKED, PROBLEM, TWO, tables
from tests.comparing.test_trunks import FIXED, WSD, asked_for


def _results(num_steps, eval_every):
    """The results of two trials of which nothing is computed."""
    problem = make("ridge")
    made = gradjax.program(
        problem, "sgd(0.1)", num_steps=num_steps, batch_size=8, eval_every=eval_every
    )
    return batches.start(lanes.lanes(made), [{}, {}], [0, 1], 0).results


@pytest.mark.slow
def test_results_are_taken_over_by_their_steps():
    short, long = _results(12, 2), _results(24, 4)
    for values in (*short.trace.values(), *short.validation.values()):
        values[:] = np.arange(values.size).reshape(values.shape)
    short.validation["loss"][1, 3:] = np.nan
    short.num_gradients[:] = 8
    parts, rows = ((0, 1), (1, 3)), np.arange(2)
    arrays = [segment_arrays.to_arrays(short, rows, one) for one in parts]
    found = Trunk(8, {}, [({}, one) for one in arrays])
    assert shared._fits(long, found) and shared._fits(_results(16, 2), found)
    assert not shared._fits(_results(24, 3), found)  # it has no block that ends there
    assert not shared._fits(_results(8, 2), found)  # as long as the trunk
    assert not shared._fits(long._replace(every=2), found)
    for _, arrays in found.segments:
        shared._record(long, arrays)
    for name, values in long.trace.items():
        np.testing.assert_array_equal(values[:, :8], short.trace[name][:, :8])
        assert np.isnan(values[:, 8:]).all()
    loss = long.validation["loss"]
    np.testing.assert_array_equal(loss[:, :2], short.validation["loss"][:, [1, 3]])
    assert np.isnan(loss[:, 2:]).all() and np.isnan(loss[1, 1])
    assert long.num_gradients.tolist() == [8, 8]


def outcomes(found, problem="gradients"):
    """All values and curves of the trials, as text, in which NaN equals NaN."""
    return repr(
        [
            (table.problem, one[1:6], one.num_gradients, one.curve.values.tolist())
            for table in found.tables
            for one in table.outcomes
            if problem in table.problem
        ]
    )


def trained(folder):
    """The gradients that were computed, and those that were taken over."""
    counts = {False: 0, True: 0}
    for place in sorted(folder.rglob("plan.json")):
        store = opening.open_to_read(place.parent, say=pytest.fail)
        per_step = 2 if "sam" in place.parent.name else 1
        for name, line in records.committed_segments(store).items():
            counts["is_copy" in line] += _steps(records.read(store, name)) * per_step
    return counts[False], counts[True]


def _steps(arrays):
    steps = arrays["trace_step"]  # each is a point
    return len(steps) * len(arrays["rows"])


def quick(folder, **more):
    """Trains a comparison without measuring times."""
    own: dict[str, Any] = {"schedule": WSD, "horizons": [1, 2], **ASKED, **more}
    optimizers = own.pop("optimizers", [*TWO, FIXED])
    problems = own.pop("problems", [PROBLEM])
    with pytest.MonkeyPatch.context() as patch:
        times = lambda runs: [1e-6] * len(runs)  # noqa: E731
        patch.setattr(timing, "interleaved_step_seconds", times)
        patch.setattr(forecast, "measured", lambda *_: forecast.Cost(1.0, 0.0, 0))
        return gradjax.compare(optimizers, problems, workdir=folder, **own)


PAIR = {"optimizers": [TWO[0], FIXED]}


class Whole(NamedTuple):
    """A comparison of PAIR that nothing stopped."""

    folder: Path
    found: Any


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A comparison of PAIR at two horizons; tests do not write into its folder."""
    folder = tmp_path_factory.mktemp("pair") / "whole"
    return Whole(folder, quick(folder, **PAIR))


def unshared(monkeypatch, folder, **more):
    """A comparison of the same cells, of which each is trained from its start."""
    with monkeypatch.context() as patch:
        patch.setattr(running, "shared_of", lambda *_: Shared())
        return quick(folder, **more)


@pytest.mark.slow
def test_shared_trunks_give_the_bits_of_trials_that_are_trained_alone(
    monkeypatch, tmp_path
):
    found = quick(tmp_path / "both")
    alone = quick(tmp_path / "alone", horizons=[2])
    (long,) = alone.tables
    assert outcomes(found, "24 gradients") == outcomes(alone)
    assert repr(found.tables[1]._replace(outcomes=())) == repr(
        long._replace(outcomes=())
    )
    whole = unshared(monkeypatch, tmp_path / "whole")
    assert outcomes(found) == outcomes(whole) and tables(found) == tables(whole)
    (new, copied), (every, none) = map(trained, (tmp_path / "both", tmp_path / "whole"))
    assert new + copied == every and not none
    # At least the trials of the searches and the seeds of the fixed setting.
    assert copied >= 3 * 8 + 3 * 8 + 2 * 8
    spent = {one.num_gradients for one in found.tables[1].outcomes}
    assert spent == {24}
    assert outcomes(quick(tmp_path / "both")) == outcomes(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "own",
    [
        {"problems": ["wine_mlp"], "num_gradients": 20, "horizons": [1, 2]},
        {"num_gradients": 1300, "schedule": "constant", "studies": 3},
        {
            "retune": False,
            "optimizers": TWO,
            "schedule": "warmup_constant(warmup=3)",
            "spaces": {"learning_rate": "log(1e-3, 1e3)"},  # some trials diverge
        },
    ],
)
def test_it_is_so_with_evaluations_and_with_long_curves(own, monkeypatch, tmp_path):
    own = {"horizons": [1, 2, 4], "optimizers": [TWO[0], FIXED]} | own
    found = quick(tmp_path / "both", **own)
    whole = unshared(monkeypatch, tmp_path / "whole", **own)
    assert outcomes(found) == outcomes(whole) and tables(found) == tables(whole)
    assert trained(tmp_path / "both")[1] > 0


POINTS = (
    "snapshot:before_rename",
    "snapshot:after_journal",
    "commit:after_rename",
    "commit:after_journal",
    "segment:begun",  # after it
)


def stop(monkeypatch, folder, point, nth, **own):
    """Stops a comparison at a point while the nth trunk is taken over, or after it."""
    take, begun = shared.take_over, []

    def take_over(*args):
        begun.append(0)
        return take(*args)

    def reach(name):
        if name == point and len(begun) >= nth:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shared, "take_over", take_over)
        patch.setattr(faults, "reach", reach)
        with pytest.raises(KeyboardInterrupt):
            quick(folder, **own)
    assert len(begun) == nth


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*not in the journal, ignored")
@pytest.mark.parametrize(
    ("point", "nth"), [*((one, 1) for one in POINTS), (POINTS[1], 3)]
)
def test_a_kill_while_a_trunk_is_taken_over(point, nth, pair, monkeypatch, tmp_path):
    stop(monkeypatch, tmp_path / "it", point, nth, **PAIR)
    found, expected = quick(tmp_path / "it", **PAIR), pair.found
    assert outcomes(found) == outcomes(expected) and tables(found) == tables(expected)
    assert trained(tmp_path / "it") == trained(pair.folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*not committed any more", "ignore:.*going on from")
def test_states_that_are_lost_after_a_kill(pair, monkeypatch, tmp_path):
    stop(monkeypatch, tmp_path / "it", POINTS[-1], 1, **PAIR)
    short, _, long, _ = (
        tmp_path / "it" / one.folder for one in cells_of(asked_for(**PAIR))
    )
    for one in (long / "snapshots").iterdir():
        one.unlink()
    shutil.copytree(tmp_path / "it", tmp_path / "worse")
    found = quick(tmp_path / "it", **PAIR)
    assert outcomes(found) == outcomes(pair.found)
    assert trained(tmp_path / "it") == trained(pair.folder)
    for one in (tmp_path / "worse" / short.relative_to(tmp_path / "it")).glob(
        "states/*"
    ):
        one.write_bytes(b"damaged")
    with pytest.raises(gradjax.Refusal, match="began with the states of shorter trial"):
        quick(tmp_path / "worse", **PAIR)


@pytest.mark.slow
def test_horizons_that_are_added_later_begin_with_what_is_stored(
    pair, monkeypatch, tmp_path
):
    at_once = quick(tmp_path / "whole", horizons=[1, 2, 4], **PAIR)
    quick(tmp_path / "it", horizons=[1], **PAIR)
    said, asked = [], asked_for(**PAIR)
    monkeypatch.setattr(forecast, "announce", lambda _, left, *__: [1.0] * len(left))
    times = lambda runs: [1e-6] * len(runs)  # noqa: E731
    monkeypatch.setattr(timing, "interleaved_step_seconds", times)
    running.run(asked, tmp_path / "it", hooks=running.Hooks(say=said.append))
    assert trained(tmp_path / "it")[1] == 0  # the first call stored no states
    (alone,) = [one for one in said if "of them compute their trunk" in one]
    assert alone.startswith("2 of them") and alone.count(", 24 gradients") == 2
    later = quick(tmp_path / "it", horizons=[1, 2, 4], **PAIR)
    assert trained(tmp_path / "it")[1] == 0
    assert outcomes(later) == outcomes(at_once)
    shutil.copytree(pair.folder, tmp_path / "other")
    _, before = trained(tmp_path / "other")
    later = quick(tmp_path / "other", horizons=[1, 2, 4], **PAIR)
    assert outcomes(later) == outcomes(at_once)
    assert trained(tmp_path / "other")[1] > before > 0  # those of horizon 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*not committed any more")
def test_states_that_are_lost_are_not_needed(pair, tmp_path):
    shutil.copytree(pair.folder, tmp_path / "it")
    asked = asked_for(**PAIR)
    found = cells_of(asked)
    long = tmp_path / "it" / found[2].folder
    shutil.rmtree(long)
    states = [*(tmp_path / "it" / found[0].folder / "states").iterdir()]
    for one in states:
        one.write_bytes(b"damaged")
    look = stored.look(found[0], asked, tmp_path / "it")
    assert look.summary is not None, "no trial is lost"
    again = quick(tmp_path / "it", **PAIR)
    store = opening.open_to_read(long, say=pytest.fail)
    assert not any("is_copy" in x for x in records.committed_segments(store).values())
    assert outcomes(again) == outcomes(pair.found)
    assert len(states) == 2  # of the search and of the fresh seeds
