"""A longer run that does not begin as the shorter one is refused with the reason."""

import pytest

from gradjax import Refusal
from gradjax.records import faults
from gradjax.types import Sweep
from tests.sweeps.runs import trained


def refused(folder, asked=None, **flags):
    before = {path: path.read_bytes() for path in sorted(folder.glob("*.json*"))}
    with pytest.raises(Refusal) as found:
        trained(folder, asked, **flags)
    assert before == {path: path.read_bytes() for path in before}
    return str(found.value)


def test_another_shape_is_refused_with_the_way_on(tmp_path):
    folder, own = tmp_path / "run", {"problem": "rosenbrock", "batch_size": None}
    trained(folder, steps=20, schedule="cosine", **own)
    said = refused(folder, steps=40, schedule="cosine", **own)
    assert "the schedule cosine depends on the number of steps" in said
    assert f"--init_from={folder} with another --workdir starts at its" in said
    assert said.count("\n") == 0


@pytest.mark.slow
def test_a_sweep_of_the_number_of_steps_is_refused(tmp_path):
    asked = Sweep(("steps=[4, 8]",), keep_params="all", fresh_seeds=0)
    own = {"problem": "rosenbrock", "batch_size": None}
    trained(tmp_path / "sweep", asked, **own, steps=4)
    said = refused(tmp_path / "sweep", asked, **own, steps=16)
    assert "the sweep varies the number of steps; --init_from=" in said


@pytest.mark.slow
def test_what_cannot_go_on_is_refused_with_the_reason(tmp_path, monkeypatch):
    rates = Sweep(("learning_rate=[0.01, 0.1]",), fresh_seeds=0)
    trained(tmp_path / "sweep", rates, steps=20)
    assert "a sweep without --keep" in refused(tmp_path / "sweep", rates, steps=40)
    for more, words in (
        ({"halving": 2}, "--halving stops trials at parts of the number of steps"),
        ({"search": "tpe", "trials": 2}, "tpe has chosen its points by the results"),
    ):
        if "search" in more:
            pytest.importorskip("optuna")
        own = rates._replace(**more)
        folder = tmp_path / next(iter(more))
        trained(folder, own, steps=20)
        assert words in refused(folder, own, steps=40)
    bare = Sweep(keep_params="none")
    trained(tmp_path / "bare", bare, steps=20)
    assert not list((tmp_path / "bare" / "states").iterdir())
    assert "does not hold the states" in refused(tmp_path / "bare", bare, steps=40)
    trained(tmp_path / "run", steps=20)
    assert "optimizer" in refused(tmp_path / "run", steps=40, optimizer="sgd")
    assert "eval_every" in refused(tmp_path / "run", steps=40, eval_every=5)
    trained(tmp_path / "seldom", steps=20, eval_every=50)
    said = refused(tmp_path / "seldom", steps=40, eval_every=50)
    assert "a longer run would have another eval_every than 20 steps" in said
    (states,) = (tmp_path / "run" / "states").iterdir()
    states.write_bytes(b"damaged")
    assert "does not hold the states" in refused(tmp_path / "run", steps=40)
    monkeypatch.setenv(faults.VARIABLE, "segment:begun:2:raise")
    faults.forget()
    with pytest.raises(RuntimeError, match="fault at"):
        trained(tmp_path / "killed", steps=200)
    monkeypatch.delenv(faults.VARIABLE)
    assert "has not finished its steps" in refused(tmp_path / "killed", steps=400)
