"""A mesh of devices computes the run of one device, up to rounding.

Run as a script, this file trains on 8 devices of a CPU and prints what it found.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, problems
from gradjax.training import mesh
from gradjax.training.program import with_mesh
from gradjax.trials import lanes
from gradjax.types import Mesh

ROOT = Path(__file__).resolve().parents[2]
BATCH, NUM_STEPS, WIDTH = 16, 12, 32
CASES = {  # name -> (mesh, optimizer, more arguments of the program)
    "data": ("data=8", "adam", {}),
    "fsdp": ("fsdp=8", "sgd(momentum=0.9)", {"keep": "best"}),
    "muon": ("data=2,fsdp=4", "muon", {}),
    "line search": ("data=2,fsdp=2", "lbfgs", {}),
    "diagnostics": ("fsdp=2", "adam", {"diagnostics": "[sharpness(every=4)]"}),
}


class Network(nn.Module):
    """A network with a state, and with dropout."""

    @nn.compact
    def __call__(self, inputs, train=False):
        hidden = nn.relu(nn.Dense(WIDTH)(inputs))
        hidden = nn.BatchNorm(use_running_average=not train)(hidden)
        hidden = nn.Dropout(0.2, deterministic=not train)(nn.relu(hidden))
        return nn.Dense(1)(hidden)[:, 0]


def program_of(optimizer="adam", network=None, **more):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(70, 6)).astype(np.float32)
    data = {"x": x, "y": np.square(x).sum(axis=1)}

    def loss(outputs, batch):
        return jnp.square(outputs - batch["y"])

    network = Network() if network is None else network
    problem = problems.from_linen(network, loss, data, data)
    sizes: dict[str, Any] = {
        "num_steps": NUM_STEPS,
        "batch_size": BATCH,
        "eval_every": 6,
    }
    return gradjax.program(problem, optimizer, **({"eval_every": 6} | sizes | more))


def _distance(a, b):
    """The largest difference; a value that is none must be none in both."""
    assert np.array_equal(np.isnan(a), np.isnan(b))
    return float(np.abs(np.nan_to_num(a) - np.nan_to_num(b)).max())


def compared(name):
    """The largest difference of each part of the results with and without a mesh."""
    given, optimizer, more = CASES[name]
    program = program_of(optimizer, **more)
    alone, found = (gradjax.run(one) for one in (program, with_mesh(program, given)))

    def most(part):
        a, b = (jax.tree.leaves(part(one)) for one in (alone, found))
        return max(map(_distance, a, b))

    return {
        "curves": most(lambda one: {k: s.values for k, s in one.trace.items()}),
        "evaluation": most(lambda one: one.evaluation),
        "params": most(lambda one: one.params),
        "learned": float(np.ptp(alone.trace["loss"].values)),
    }


def bytes_of_a_device(given):
    """The bytes of the arguments of a segment on one device: data and state."""
    network = nn.Sequential([nn.Dense(512), nn.Dense(512), lambda x: x[:, 0]])
    program = program_of(network=network, mesh=given)
    return lanes.lanes(program).ready().bytes


def test_an_expression_of_a_mesh_is_read():
    assert mesh.read("data=4, fsdp=2") == Mesh(4, 2) == mesh.read(Mesh(4, 2))
    assert mesh.read("fsdp=3") == Mesh(1, 3)
    assert mesh.read(None) is None
    assert mesh.text_of(Mesh(fsdp=3)) == "data=1,fsdp=3"


@pytest.mark.parametrize(
    "text", ["model=2", "data=0", "data=2,data=2", "data", "data=2.5", "8", "fsdp=-1"]
)
def test_another_expression_is_refused(text):
    with pytest.raises(Refusal, match="expected data=N, fsdp=N or both"):
        mesh.read(text)


def test_a_mesh_that_divides_nothing_is_refused_before_anything_is_compiled():
    count = jax.device_count() + 1
    with pytest.raises(Refusal, match=f"{count} devices do not divide the"):
        program_of(mesh=f"data={count}")
    with pytest.raises(Refusal, match="lane_width=2: all devices of mesh=data=1"):
        lanes.lanes(program_of(mesh="data=1"), 2)
    for number in ("lane_width", "num_devices"):
        asked = {"num_steps": 2, "batch_size": 8, "mesh": "data=1", number: 2}
        with pytest.raises(Refusal, match=f"{number}=2: "):
            gradjax.tune(program_of().plan.problem, "adam", RATES, **asked)


@pytest.fixture(scope="module")
def found():
    """What the script finds on 8 devices."""
    flags = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    )
    ended = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_run_on_a_mesh_is_the_run_of_one_device(found, name):
    most = found["compared"][name]
    assert most.pop("learned") > 1e-2
    assert max(most.values()) < 2e-4, most


@pytest.mark.slow
@pytest.mark.parametrize("how", ["sweep", "tune"])
def test_the_trials_of_a_sweep_on_a_mesh_are_those_of_one_device(found, how):
    alone, divided = (np.asarray(one) for one in found[how])
    assert alone.shape == (2,) and abs(alone[0] - alone[1]) > 1e-2
    np.testing.assert_allclose(divided, alone, atol=2e-4)


@pytest.mark.slow
def test_devices_of_fsdp_hold_a_part_of_the_state(found):
    alone, divided = found["bytes"]
    assert divided < 0.5 * alone


@pytest.mark.slow
def test_a_batch_that_the_devices_do_not_divide_is_refused(found):
    assert found["refused"] == (
        "mesh=data=8,fsdp=1: its 8 devices do not divide a batch of 20 examples;"
        " batch_size=16 or 24 can be divided"
    )
    assert found["without data"] == (
        "mesh=data=2,fsdp=1: this problem has no data, so there is no batch to divide;"
        " only fsdp can be larger than 1"
    )
    assert found["specs"] == [[None, None, "fsdp"], [None, None, None]]


RATES = {"learning_rate": [1e-3, 3e-2]}
SWEPT = {"num_steps": NUM_STEPS, "batch_size": BATCH, "accumulate": 2}


def swept(given):
    """The final losses of a sweep of two rates on a mesh; None: on one device."""
    problem = program_of().plan.problem
    trials = gradjax.sweep(problem, "adam", RATES, mesh=given, **SWEPT)
    return trials.evaluation["validation"]["loss"].tolist()


def tuned(given):
    """The losses by which `gradjax.tune` chooses, on a mesh or on one device."""
    problem, more = program_of().plan.problem, {"mesh": given, "num_fresh_seeds": 0}
    found = gradjax.tune(problem, "adam", RATES, **more, **SWEPT)
    return gradjax.frames(found).trials["validation_loss"].tolist()


def refused(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Refusal as refusal:
        return str(refusal)
    return None


def main():
    """Prints what the tests compare."""
    shapes = (1, 4, 12), (1, 6, 9)
    specs = [mesh.sharding_of(Mesh(2, 4), shape, 1).spec for shape in shapes]
    surface = problems.make("booth")
    said = {
        "compared": {name: compared(name) for name in CASES},
        "bytes": [bytes_of_a_device("data=1"), bytes_of_a_device("fsdp=8")],
        "sweep": [swept(None), swept("data=2")],
        "tune": [tuned(None), tuned("fsdp=2")],
        "refused": refused(program_of, batch_size=20, mesh="data=8"),
        "without data": refused(gradjax.program, surface, num_steps=1, mesh="data=2"),
        "specs": list(map(list, specs)),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
