"""Snapshots that are kept over a run, from which a replay starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from experiments.minimize import EXPERIMENT
from gradjax import Refusal, records
from gradjax.commands.replay import replay
from gradjax.records import faults, kept, opening, store
from gradjax.sweeps import execute, planning
from gradjax.sweeps import replay as replays
from gradjax.types import Space, Sweep
from tests.sweeps.runs import trained

pytestmark = pytest.mark.optimized
RUN = {"problem": "ridge", "steps": 200, "eval_every": 10, "trace_every": 1}


def states_of(folder):
    """Returns name -> arrays of each kept snapshot."""
    opened = opening.open_to_read(folder, say=lambda line: pytest.fail(line))
    names = store.committed_states(opened, "kept_snapshot")
    return {name: store.read(opened, name) for name in names}


def kept_of(folder, trial=None):
    found = replays.recorded(folder, trial)
    return [one.steps for one in kept.of_trial(found.store, found.trial.id)]


def replayed(folder, steps, trial=None, diagnostics="[distances]"):
    return replay(EXPERIMENT, replays.recorded(folder, trial), steps, diagnostics)


def check_alike(ours, theirs):
    """Checks that two replays of a window have the same bits."""
    assert ours.trace.keys() == theirs.trace.keys()
    for name, (steps, values) in ours.trace.items():
        np.testing.assert_array_equal(steps, theirs.trace[name].steps)
        np.testing.assert_array_equal(values, theirs.trace[name].values)


def test_places_are_even_and_before_the_end():
    program = gradjax.program(
        gradjax.problem(lambda params, _batch, _key: (params**2, {}), jnp.float32(1.0)),
        "sgd",
        num_steps=95,
        eval_every=10,
    )
    assert execute.kept_blocks(program.plan, None) == ()
    assert execute.kept_blocks(program.plan, 1) == (5,)
    assert execute.kept_blocks(program.plan, 4) == (2, 4, 6, 8)
    assert execute.kept_blocks(program.plan, 10**6) == tuple(range(1, 10))


@pytest.mark.slow
def test_a_replay_starts_at_the_last_one_before_the_window(tmp_path):
    trained(tmp_path / "plain", **RUN)
    trained(tmp_path / "run", Sweep(keep_snapshots=3), **RUN)
    params = [gradjax.load(tmp_path / name).params for name in ("plain", "run")]
    jax.tree.map(np.testing.assert_array_equal, *params)
    assert kept_of(tmp_path / "run") == [50, 100, 150]
    assert store.verify(tmp_path / "run") == []
    assert replayed(tmp_path / "run", (50, 60), diagnostics="[]").start == 0
    made = replayed(tmp_path / "run", (149, 171))
    assert made.start == 100 and made.changes == []
    assert made.num_compared == made.num_equal == 180 - 100
    check_alike(made, replayed(tmp_path / "plain", (149, 171)))


@pytest.mark.slow
def test_a_damaged_one_is_left_out(tmp_path):
    trained(tmp_path / "run", Sweep(keep_snapshots=3), **RUN)
    name = sorted((tmp_path / "run" / "kept_snapshots").iterdir())[1]
    name.write_bytes(name.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="a replay starts before it"):
        made = replayed(tmp_path / "run", (120, 121), diagnostics="[]")
    assert made.start == 50 and made.num_equal == made.num_compared > 0


def test_another_instruction_set_is_said(tmp_path, monkeypatch):
    trained(tmp_path / "run", **RUN)
    with monkeypatch.context() as patch:
        now = records.environment() | {"cpu": "B", "instruction_set": "x86_64 avx"}
        patch.setattr(records, "environment", lambda _: now)
        made = replayed(tmp_path / "run", (20, 21), diagnostics="[]")
    assert len(made.changes) == 1
    assert made.changes[0].startswith("instruction set ")
    assert made.changes[0].endswith(" there, x86_64 avx here")
    assert made.num_equal == made.num_compared > 0


def test_a_wrong_number_is_refused():
    with pytest.raises(Refusal, match="--keep_snapshots=0: must be at least 1"):
        planning.searched(Sweep(keep_snapshots=0), Space(()), "sgd")


@pytest.mark.slow
def test_a_stopped_sweep_ends_with_the_same_ones(tmp_path, monkeypatch):
    """Trials end at patience, at rungs, and by divergence, in other steps each."""
    asked = Sweep(
        ("learning_rate=[0.001, 0.003, 0.01, 1e30]",),
        fresh_seeds=1,
        halving=2,
        keep_snapshots=9,
        lane_width=2,
    )
    own = RUN | {"optimizer": "sgd", "keep": "best", "patience": 3}
    trained(tmp_path / "whole", asked, **own)
    whole = states_of(tmp_path / "whole")
    assert len({len(arrays["trial"]) for arrays in whole.values()}) > 1
    for point in ("commit:after_rename:5", "commit:before:9", "snapshot:before:4"):
        faults.forget()
        with monkeypatch.context() as patch:
            patch.setattr(execute, "_SNAPSHOT_S", 0.0)
            patch.setattr(execute, "_SNAPSHOT_PART", 0.0)
            patch.setenv(faults.VARIABLE, f"{point}:raise")
            with pytest.raises(RuntimeError, match="fault at"):
                trained(tmp_path / "mine", asked, **own)
    faults.forget()
    trained(tmp_path / "mine", asked, **own)
    mine = states_of(tmp_path / "mine")
    assert mine.keys() == whole.keys()
    for name, arrays in mine.items():
        for key, values in arrays.items():
            np.testing.assert_array_equal(values, whole[name][key])
    last = kept_of(tmp_path / "mine", 2)[-1]
    made = replayed(tmp_path / "mine", (last + 1, last + 5), 2, "[]")
    assert made.start == last and made.num_equal == made.num_compared > 0


@pytest.mark.slow
def test_a_longer_run_has_those_of_the_shorter_one(tmp_path):
    asked, own = Sweep(keep_snapshots=3), {"schedule": "wsd(warmup=0, decay=0.5)"}
    trained(tmp_path / "run", asked, **RUN | own)
    trained(tmp_path / "run", asked, **RUN | own | {"steps": 400})
    assert kept_of(tmp_path / "run") == [50, 100, 200, 300]  # the trunk ends at 100
    for steps, start in (((170, 180), 100), ((390, 400), 300)):
        made = replayed(tmp_path / "run", steps, diagnostics="[]")
        assert made.start == start and made.num_equal == made.num_compared > 0
