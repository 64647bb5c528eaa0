"""Diagnostics of stored runs and sweeps: killed and resumed, and extended."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import problems
from gradjax.types import Diagnostic


def distance(params_after, memory):
    """The largest distance from the start so far."""
    start, largest = memory
    moved = jax.tree.map(lambda x, y: jnp.abs(x - y).max(), params_after, start)
    largest = jnp.maximum(largest, jnp.stack(jax.tree.leaves(moved)).max())
    return largest, (start, largest)


farthest = Diagnostic(
    distance, lambda params: (params, jnp.float32(0)), every=4, name="farthest"
)

FLAGS = (
    "--problem=digits_logistic",
    "--batch_size=16",
    "--steps=60",
    "--eval_every=10",
    "--diagnostics=[distances(every=4), layer_norms(every=15), angles(every=7)]",
    "--noplot",
)


def curves(folder):
    found = gradjax.frames(folder).curves
    return found.sort_values(["trial", "name", "step"]).reset_index(drop=True)


def test_an_interrupted_sweep_goes_on_with_its_memories(interrupted, tmp_path):
    def tuned(folder):
        gradjax.tune(
            problems.make("digits_logistic"),
            "sgd",
            {"learning_rate": [0.01, 0.1]},
            num_steps=60,
            batch_size=16,
            eval_every=10,
            num_fresh_seeds=1,
            diagnostics=[farthest, "layer_norms(every=15)", "angles(every=7)"],
            workdir=folder,
        )
        return curves(folder)

    with interrupted(3):
        tuned(tmp_path / "cut")
    expected, found = tuned(tmp_path / "whole"), tuned(tmp_path / "cut")
    assert {"farthest", "layer_norms.total_grads_norm"} <= {*expected.name}
    assert expected.equals(found)


@pytest.mark.slow
def test_a_longer_run_has_the_curves_of_one_that_was_long(typed, tmp_path):
    long = typed("experiments.minimize", *FLAGS, "--workdir=long")
    assert long.returncode == 0, long.stderr
    for steps in (30, 60):
        ended = typed(
            "experiments.minimize", *FLAGS, f"--steps={steps}", "--workdir=short"
        )
        assert ended.returncode == 0, ended.stderr
    expected, found = curves(tmp_path / "long"), curves(tmp_path / "short")
    for name in sorted(set(expected.name)):
        if "." in name:  # a curve of a diagnostic
            np.testing.assert_array_equal(
                found[found.name == name][["step", "value"]],
                expected[expected.name == name][["step", "value"]],
            )
