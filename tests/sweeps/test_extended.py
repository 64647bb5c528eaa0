"""A finished run that is extended to more steps has the bits of a long run."""

import shutil

import jax
import numpy as np
import pandas
import pytest

import gradjax
from gradjax import Refusal
from gradjax.records import extension, faults, journal, opening, plan, reading, store
from gradjax.types import Sweep
from tests.sweeps.runs import trained

pytestmark = pytest.mark.optimized


def check_same(found, expected):
    """Compares everything that a reader sees of two records, but the times."""
    for ours, theirs in zip(
        gradjax.frames(found)[:2], gradjax.frames(expected)[:2], strict=True
    ):
        keys = [name for name in ("trial", "name", "step") if name in ours]
        ours, theirs = (
            one.sort_values(keys).reset_index(drop=True) for one in (ours, theirs)
        )
        pandas.testing.assert_frame_equal(ours, theirs, check_exact=True)
    for trial in gradjax.frames(found).trials.trial:
        ours, theirs = (gradjax.load(one, trial=trial) for one in (found, expected))
        jax.tree.map(np.testing.assert_array_equal, ours.params, theirs.params)
        assert ours.config["settings"] == theirs.config["settings"]
    assert store.verify(found) == []


def stopped(monkeypatch, point, folder, **own):
    """Trains until a point at which the process is stopped."""
    faults.forget()
    with monkeypatch.context() as patch:
        patch.setenv(faults.VARIABLE, f"{point}:raise")
        with pytest.raises(RuntimeError, match="fault at"):
            trained(folder, **own)


@pytest.mark.slow
def test_a_run_goes_on_from_its_last_state(tmp_path, capsys):
    own = {"problem": "rosenbrock", "batch_size": None}
    trained(tmp_path / "run", **own, steps=100)
    losses = gradjax.load(tmp_path / "run").trace["loss"].values
    capsys.readouterr()
    long = trained(tmp_path / "run", **own, steps=200)
    said = capsys.readouterr().out
    assert "goes on from step 100 to step 200, with evaluations as before" in said
    assert "unfinished" not in said
    run = gradjax.load(tmp_path / "run")
    assert run.config["settings"]["steps"] == 200
    loss = run.trace["loss"]
    assert loss.steps[-1] == 200 and len(loss.values) == 2 * len(losses)
    np.testing.assert_array_equal(loss.values[: len(losses)], losses)
    assert run.config["settings"]["eval_every"] == 10  # a tenth of the shorter run
    (trial,) = gradjax.frames(tmp_path / "run").trials.itertuples()
    assert trial.steps == 200 and trial.status == "finished"
    assert store.verify(tmp_path / "run") == []
    assert trained(tmp_path / "run", **own, steps=200)["request"] == long["request"]
    assert "is finished already" in capsys.readouterr().out
    with pytest.raises(Refusal, match=r"settings.steps 200 there, 100 asked"):
        trained(tmp_path / "run", **own, steps=100)


def whole(folder, extended, **flags):
    """A run that was as long as the extended one from the start."""
    settings = gradjax.load(extended).config["settings"]
    kept = {name: settings[name] for name in ("eval_every", "trace_every")}
    trained(folder, **flags | kept)
    return folder


CASES = {
    "best of three seeds": (
        {"eval_every": 50, "keep": "best", "patience": 4, "seeds": 3},
        (130, 310, 450),
    ),
    "warmup in steps": ({"schedule": "wsd(warmup=20, decay=0.3)"}, (100, 200)),
    "accumulated": (
        {
            "optimizer": "multi_steps(adamw(weight_decay=constant(peak=0.1)), every=3)",
            "schedule": "wsd(warmup=0)",
        },
        (100, 160),
    ),
    "diverged": ({"optimizer": "sgd", "learning_rate": 1e4}, (100, 150)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_it_has_the_bits_of_a_run_that_was_long_from_the_start(case, tmp_path):
    flags, lengths = CASES[case]
    asked = Sweep(lane_width=2) if "seeds" in flags else None
    for steps in lengths:
        trained(tmp_path / "run", asked, **flags, steps=steps)
    flags = flags | {"steps": lengths[-1], "asked": asked}
    check_same(tmp_path / "run", whole(tmp_path / "whole", tmp_path / "run", **flags))


@pytest.mark.slow
def test_a_sweep_with_all_parameters_goes_on_and_chooses_again(tmp_path):
    varied = ("optimizer=[adam, sgd]", "learning_rate=[0.0003, 0.03]")
    asked = Sweep(varied, keep_params="all", fresh_seeds=1, lane_width=2)
    own = {"asked": asked, "schedule": "wsd(warmup=0)", "learning_rate": None}
    for steps in (40, 100):
        trained(tmp_path / "sweep", **own, steps=steps, seeds=2)
    own |= {"steps": 100, "seeds": 2}
    check_same(tmp_path / "sweep", whole(tmp_path / "whole", tmp_path / "sweep", **own))
    trials = gradjax.frames(tmp_path / "sweep").trials
    assert (trials.steps == 100).all() and len(trials) == 10


@pytest.mark.slow
def test_fresh_seeds_of_the_shorter_sweep_are_not_listed_without_new_ones(tmp_path):
    asked = Sweep(("learning_rate=[0.001, 0.01]",), keep_params="all", fresh_seeds=1)
    own = {"problem": "rosenbrock", "batch_size": None, "learning_rate": None}
    trained(tmp_path / "sweep", asked, **own, steps=20)
    assert (gradjax.frames(tmp_path / "sweep").trials["round"] == "fresh").sum() == 1
    trained(tmp_path / "sweep", asked._replace(fresh_seeds=0), **own, steps=40)
    trials = gradjax.frames(tmp_path / "sweep").trials
    assert (trials.steps == 40).all() and len(trials) == 2


def test_rounds_of_shorter_trials_are_those_before_the_last_extension():
    fresh = [{"round": "fresh", "number": number} for number in range(3)]
    listed = {"round": "search", "number": 0}
    events = [listed, fresh[0], {"extended": {}}, fresh[1]]
    assert extension.continued(events[:2]) == set()
    assert extension.continued(events) == {"fresh-0"}
    again = [{"extended": {}}, listed | {"number": 1, "continues": "search-0"}]
    expected = {"fresh-0", "fresh-1", "search-0"}
    assert extension.continued([*events, *again, fresh[2]]) == expected


@pytest.mark.slow
def test_seeds_may_be_added_with_the_steps(tmp_path):
    trained(tmp_path / "run", steps=100)
    trained(tmp_path / "run", steps=200, seeds=3)
    trained(tmp_path / "run", steps=300)  # all seeds that are there go on
    own = {"steps": 300, "seeds": 3}
    check_same(tmp_path / "run", whole(tmp_path / "whole", tmp_path / "run", **own))


MANY = Sweep(  # more trials than a cohort has
    ("learning_rate=log(0.001, 0.03)",),
    search="random",
    trials=66,
    fresh_seeds=0,
    keep_params="all",
    lane_width=8,
)


@pytest.mark.slow
def test_a_sweep_of_several_cohorts_takes_more_seeds(tmp_path):
    own = {"asked": MANY, "problem": "rosenbrock", "batch_size": None}
    own |= {"learning_rate": None, "steps": 4}
    trained(tmp_path / "sweep", **own)
    trained(tmp_path / "sweep", **own, seeds=3)
    assert len(gradjax.frames(tmp_path / "sweep").trials) == 3 * 66


@pytest.mark.slow
def test_a_sweep_of_several_cohorts_takes_more_seeds_and_steps(tmp_path):
    own = {"asked": MANY, "problem": "rosenbrock", "batch_size": None}
    own |= {"learning_rate": None}
    trained(tmp_path / "sweep", **own, steps=20)
    trained(tmp_path / "sweep", **own, steps=40, seeds=3)
    opened = opening.open_to_read(tmp_path / "sweep", say=str)
    trunks = {
        name.split("-")[-2]: record["interval"]
        for name, record in reading.segment_records(opened).items()
        if name.startswith("search-1-") and name.endswith("-000000")
    }
    assert trunks == {"0000": [0, 10], "0001": [0, 10]}, "taken over"
    trials = gradjax.frames(tmp_path / "sweep").trials
    assert len(trials) == 3 * 66 and (trials.steps == 40).all()


POINTS = (
    "event:before_journal:1",  # the extension
    "event:after_journal:1",
    "event:after_journal:2",  # the list of the longer trials
    "snapshot:after_journal:1",
    "commit:after_journal:1",  # the trunk
    "commit:after_journal:2",
)


@pytest.mark.slow
def test_it_may_be_killed_at_any_point(tmp_path, monkeypatch):
    own = {"problem": "rosenbrock", "batch_size": None, "seeds": 2}
    trained(tmp_path / "short", **own, steps=100)
    own |= {"steps": 200}
    shutil.copytree(tmp_path / "short", tmp_path / "kept")
    trained(tmp_path / "kept", **own)
    for point in POINTS:
        folder = tmp_path / point.replace(":", "-")
        shutil.copytree(tmp_path / "short", folder)
        stopped(monkeypatch, point, folder, **own)
        trained(folder, **own)
        check_same(folder, tmp_path / "kept")


@pytest.mark.slow
def test_an_extension_that_was_killed_may_be_longer_still(tmp_path, monkeypatch):
    own = {"problem": "rosenbrock", "batch_size": None}
    trained(tmp_path / "run", **own, steps=20)
    stopped(monkeypatch, "event:after_journal:1", tmp_path / "run", **own, steps=40)
    trained(tmp_path / "run", **own, steps=80)
    opened = opening.open_to_read(tmp_path / "run", say=str)
    records = reading.segment_records(opened)
    assert min(records).startswith("run-1-")
    assert records[min(records)]["interval"] == [0, 10], "taken over"
    assert len(gradjax.frames(tmp_path / "run").trials) == 1


@pytest.mark.slow
def test_what_is_lost_of_a_shorter_run_is_trained_again(tmp_path, capsys, monkeypatch):
    own = {"problem": "rosenbrock", "batch_size": None}
    trained(tmp_path / "run", **own, steps=20)
    stopped(monkeypatch, "event:after_journal:2", tmp_path / "run", **own, steps=40)
    shutil.copytree(tmp_path / "run", tmp_path / "segments")
    lines = (tmp_path / "run" / journal.FILE).read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"number":0' not in line]
    assert len(kept) == len(lines) - 1
    (tmp_path / "run" / journal.FILE).write_bytes(b"".join(kept))
    for path in (tmp_path / "segments" / "segments").iterdir():
        path.write_bytes(b"damaged")
    for name, words in (
        ("run", "the list of the trials of run-0 is lost"),
        ("segments", "segments of run-0 are damaged"),
    ):
        capsys.readouterr()
        trained(tmp_path / name, **own, steps=40)
        assert f"{words}; its trials are trained again" in "".join(capsys.readouterr())
        (row,) = reading.rows(opening.open_to_read(tmp_path / name, say=str)).values()
        assert row["steps"] == 40 and row["status"] == "finished"


@pytest.mark.slow
def test_epochs_may_be_raised_and_the_plan_never_changes(tmp_path):
    trained(tmp_path / "run", epochs=1)
    before = (tmp_path / "run" / plan.PLAN).read_bytes()
    trained(tmp_path / "run", epochs=3)
    assert (tmp_path / "run" / plan.PLAN).read_bytes() == before
    (tmp_path / "run" / plan.PLAN).unlink()
    trained(tmp_path / "run", epochs=3)  # restored from the journal
    own = {"epochs": 3}
    check_same(tmp_path / "run", whole(tmp_path / "whole", tmp_path / "run", **own))
