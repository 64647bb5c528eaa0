"""Runs and sweeps that start at the parameters of a record or of a file."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from experiments import minimize, mnist, recommend
from gradjax import Refusal
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.records import initial
from gradjax.records.plan import read_plan
from gradjax.sweeps import points
from gradjax.types import Options, Settings, Sweep
from scripts import export_params

DIGITS = {"dataset": "digits", "steps": 3, "batch_size": 32}
PROBLEM = """import gradjax
import jax.numpy as jnp
import numpy as np

X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


def loss(params, batch, key):
    found = batch["x"] @ params["w"] + params["b"][None]
    return jnp.square(found - 1.0).mean(), {}


def of(width=2):
    start = {"w": jnp.ones((3, width)), "b": jnp.zeros(width)}
    return gradjax.problem(loss, start, {"x": X}, {"x": X})


def halves():
    start = {"a": [jnp.ones(3, jnp.bfloat16) / 3], "b": jnp.float32(1.0)}
    return gradjax.problem(
        lambda p, _, key: (jnp.sum(p["a"][0] ** 2) * p["b"], {}), start
    )
"""
NET = """import flax.linen as nn


class Net(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, images, train=False):
        hidden = nn.Dense(4)(images.reshape(len(images), -1))
        hidden = nn.BatchNorm(use_running_average=not train, momentum=0.5)(hidden)
        return nn.Dense(self.num_classes)(hidden)


def last(params):
    return {name: {k: name == "Dense_1" for k in params[name]} for name in params}
"""


MEAN = "batch_stats/BatchNorm_0/mean"
OWN = {"problem": "init_mine:of", "steps": 10, "batch_size": 4}


@pytest.fixture(scope="module", autouse=True)
def own_code(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    (folder / "init_mine.py").write_text(PROBLEM)
    (folder / "init_nets.py").write_text(NET)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in ("init_mine", "init_nets"):
        sys.modules.pop(name, None)


def trained(folder, asked=None, what=minimize, **flags):
    settings = settings_of(what.EXPERIMENT, **(OWN if what is minimize else {}) | flags)
    options = Options(workdir=str(folder), plot=False)
    train(what.EXPERIMENT, settings, asked or Sweep(), options)
    return folder


def start_of(folder, trial=None):
    return gradjax.load(folder, trial=trial).params


def ids(folder):
    return gradjax.frames(folder).trials.trial.tolist()


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert values.dtype == expected[name].dtype
        np.testing.assert_array_equal(values, expected[name])


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    rates = Sweep(("learning_rate=[1e-9, 0.1]",), keep_params="all", fresh_seeds=0)
    return trained(tmp_path_factory.mktemp("init") / "swept", rates)


@pytest.fixture(scope="module")
def run(swept):
    """A run that starts at the best trial of the sweep and stays there."""
    return trained(swept.parent / "run", init_from=str(swept), learning_rate=0.0)


@pytest.mark.slow
def test_a_sweep_gives_its_best_trial_or_the_one_that_is_named(swept, run, tmp_path):
    same(start_of(run), start_of(swept, 1))
    by_id = f"{swept}:{ids(swept)[0]}"
    own = trained(tmp_path / "own", init_from=by_id, learning_rate=0.0)
    same(start_of(own), start_of(swept, 0))
    assert ids(own) != ids(run)
    assert initial.read(f"{swept}:0").digest == initial.read(by_id).digest


@pytest.mark.slow
def test_the_contents_decide_a_trial_and_not_their_place(swept, run):
    plan = read_plan(run)
    assert plan["init_from"] == str(swept)
    assert plan["settings"]["init_from"] == initial.read(str(swept)).digest
    # The same contents from elsewhere show the same record, and others are refused.
    before = sorted(path.stat().st_mtime_ns for path in run.glob("*/*.npz"))
    trained(run, init_from=f"{swept}:1", learning_rate=0.0)
    assert sorted(path.stat().st_mtime_ns for path in run.glob("*/*.npz")) == before
    with pytest.raises(Refusal, match="trials start at other parameters than those of"):
        trained(run, init_from=f"{swept}:0", learning_rate=0.0)
    with pytest.raises(Refusal, match=r"settings\.init_from .* there, \(none\) asked"):
        trained(run, learning_rate=0.0)


def test_trials_without_it_keep_their_ids_and_plans(swept):
    trial = points.trial(Settings("mnist", steps=5), {"learning_rate": 0.5}, 3)
    assert trial.id == "85b0e2c94a3b15c6"
    assert "init_from" not in read_plan(swept)
    assert "init_from" not in read_plan(swept)["settings"]


@pytest.mark.slow
def test_a_sweep_starts_all_its_trials_there(run, tmp_path):
    rates = Sweep(("learning_rate=[0.0, 0.01]",), keep_params="all", fresh_seeds=0)
    found = trained(tmp_path / "swept", rates, init_from=str(run), seeds=2)
    trials = gradjax.frames(found).trials
    assert len(trials) == 4
    for row, rate in enumerate(trials.learning_rate):
        is_same = np.array_equal(start_of(found, row)["w"], start_of(run)["w"])
        assert is_same == (rate == 0.0)


def test_a_masked_leaf_keeps_the_bits_of_the_folder(swept, tmp_path):
    frozen = "chain(adam, masked(set_to_zero, mask=matrices))"
    found = trained(tmp_path / "run", init_from=str(swept), optimizer=frozen)
    start, end = start_of(swept), start_of(found)
    np.testing.assert_array_equal(end["w"], start["w"])
    assert not np.array_equal(end["b"], start["b"])


@pytest.mark.parametrize(
    ("source", "more", "words"),
    [
        ("{0}/none", {}, "--init_from={0}/none: no run or sweep in {0}/none"),
        ("{0}/swept:7", {}, "trial=7, but it has 2 trials: 0 to 1"),
        ("{0}/swept:best", {}, "trial='best', but it has 2 trials"),
        ("{0}/none.npz", {}, "none.npz: No such file"),
        (
            "{0}/swept",
            {"problem": "init_mine:of(width=4)"},
            "leaves of params differ: b is [2], expected [4]; w is [3, 2], expected",
        ),
        ("{0}/mine", {}, "is the folder of this command"),
    ],
)
def test_what_cannot_be_a_start_is_one_line(swept, source, more, words, tmp_path):
    workdir = tmp_path / "mine"
    if source.endswith("mine"):
        source, workdir = str(swept), swept
    with pytest.raises(Refusal) as refused:
        trained(workdir, init_from=source.format(swept.parent), **more)
    assert words.format(swept.parent) in str(refused.value)
    assert not (tmp_path / "mine").exists()


def test_a_link_to_the_folder_of_the_command_cannot_be_a_start(swept, tmp_path):
    (tmp_path / "link").symlink_to(swept)
    for source in (tmp_path / "link", swept / ".." / swept.name):
        with pytest.raises(Refusal, match="is the folder of this command"):
            trained(swept, init_from=str(source))


@pytest.mark.slow
def test_a_record_without_parameters_is_no_start(typed, tmp_path):
    bare = trained(tmp_path / "bare", Sweep(keep_params="none"))
    with pytest.raises(Refusal, match="not hold the parameters .* --keep_params=all"):
        trained(tmp_path / "run", init_from=str(bare))
    assert typed("experiments.gradient", "--noplot", "--workdir=lesson").returncode == 0
    with pytest.raises(Refusal, match="is a lesson, which has no parameters"):
        trained(tmp_path / "run", init_from=str(tmp_path / "lesson"))
    online = settings_of(recommend.EXPERIMENT, init_from="x", online=True)
    with pytest.raises(Refusal, match="--online trains from new parameters"):
        recommend._check_online(online, Sweep())


@pytest.mark.slow
def test_the_library_starts_sweeps_and_tuning_there():
    from init_mine import of

    program = gradjax.program(of(), "sgd", num_steps=2)
    params = gradjax.run(program, {"learning_rate": 0.1}).params
    rates = {"learning_rate": [0.0, 0.1]}
    found = gradjax.sweep(of(), "sgd", rates, [0, 1], num_steps=2, params=params)
    same({k: v[1] for k, v in found.params.items()}, params)
    assert not np.array_equal(found.params["w"][2], params["w"])
    tuned = gradjax.tune(
        of(),
        "sgd",
        {"learning_rate": [0.0]},
        num_fresh_seeds=1,
        num_steps=2,
        params=params,
    )
    same(tuned.params, params)
    with pytest.raises(Refusal, match="model_state without params"):
        gradjax.sweep(of(), num_steps=2, model_state=1.0)
    with pytest.raises(Refusal, match="model_state without params"):
        gradjax.tune(of(), "sgd", {"learning_rate": [1]}, num_steps=2, model_state=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_the_state_of_a_network_is_exported_too_and_is_a_start(tmp_path, ending):
    own = DIGITS | {"model": "init_nets:Net", "optimizer": "sgd"}
    first = trained(tmp_path / "first", what=mnist, **own)
    out = tmp_path / f"params.{ending}"
    assert export_params.main([str(first), f"--out={out}"]) == 0
    named = opened(out)
    assert len(named) == 8
    mean = gradjax.load(first).model_state["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_array_equal(named[f"model_state/{MEAN}"], mean)
    kernel = start_of(first)["Dense_0"]["kernel"]
    np.testing.assert_array_equal(named["Dense_0/kernel"], kernel)
    own["optimizer"] = "chain(sgd, masked(set_to_zero, mask=init_nets:last))"
    second = trained(tmp_path / "second", what=mnist, init_from=str(out), **own)
    same(start_of(second)["Dense_1"], start_of(first)["Dense_1"])
    assert not np.array_equal(start_of(second)["Dense_0"]["kernel"], kernel)
    again = trained(tmp_path / "again", what=mnist, init_from=str(first), **own)
    assert ids(again) == ids(second)


def opened(path):
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    import safetensors.numpy

    return safetensors.numpy.load_file(path)


def test_an_exported_file_has_readable_names_and_types(tmp_path, capsys, monkeypatch):
    pytest.importorskip("safetensors")
    own = {"problem": "init_mine:halves", "steps": 2, "batch_size": None}
    run = trained(tmp_path / "run", **own)
    kept = start_of(run)["a"]["0"]
    assert kept.dtype == jnp.bfloat16
    digests = set()
    for ending, kind in (("safetensors", jnp.bfloat16), ("npz", np.float32)):
        out = tmp_path / f"x.{ending}"
        assert export_params.main([f"{run}:0", f"--out={out}"]) == 0
        assert f"x.{ending}: 2 leaves" in capsys.readouterr().out
        named = opened(out)
        assert named["a/0"].dtype == kind and named["b"].dtype == np.float32
        np.testing.assert_array_equal(named["a/0"].astype(kept.dtype), kept)
        digests.add(initial.read(str(out)).digest)
    assert digests == {initial.read(str(run)).digest}
    own |= {"init_from": str(tmp_path / "x.safetensors"), "learning_rate": 0.0}
    again = trained(tmp_path / "again", **own)
    np.testing.assert_array_equal(start_of(again)["a"]["0"], kept)
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    with pytest.raises(Refusal, match="bad.safetensors: damaged"):
        trained(tmp_path / "no", **own | {"init_from": f"{tmp_path}/bad.safetensors"})
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for arguments, words in (
        ([str(run), f"--out={tmp_path}/y.safetensors"], "gradjax[safetensors]"),
        ([str(run), f"--out={tmp_path}/y.pt"], "must end in .npz or .safetensors"),
        ([str(run), f"--out={tmp_path}/x.npz"], "exists already"),
        ([f"{run}:9", f"--out={tmp_path}/y.npz"], "but it has 1 trials"),
    ):
        capsys.readouterr()
        assert export_params.main(arguments) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
