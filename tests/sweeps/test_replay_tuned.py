"""A window of a trial of `gradjax.tune`, computed again."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax import Refusal

pytestmark = pytest.mark.optimized
X = np.linspace(-1.0, 1.0, 60, dtype=np.float32).reshape(30, 2)


def problem(scale=1.0):
    def loss(params, batch, _key):
        return jnp.mean((batch["x"] @ params - scale) ** 2), {}

    return gradjax.problem(loss, jnp.zeros(2), {"x": X})


def heavy_ball(learning_rate, momentum=0.5):
    return optax.chain(optax.trace(momentum), optax.scale(-1.0 * learning_rate))


def tuned(folder, optimizers=("sgd",), **more):
    return gradjax.tune(
        problem(),
        list(optimizers),
        {"learning_rate": [0.01, 0.1]},
        num_steps=60,
        batch_size=8,
        num_fresh_seeds=0,
        workdir=folder,
        **more,
    )


@pytest.mark.slow
def test_a_window_has_the_losses_of_the_record(tmp_path):
    own = [lambda learning_rate: heavy_ball(learning_rate)]
    tuned(tmp_path, ("sgd", *own))
    for trial in (0, 3):
        made = gradjax.replay(
            problem(),
            tmp_path,
            (20, 25),
            trial=trial,
            diagnostics="[layer_norms]",
            objects=own,
        )
        assert made.num_equal == made.num_compared > 0
        assert made.changes == []
        assert made.trace["loss"].steps.tolist() == list(range(20, 26))
        norms = made.trace["layer_norms.total_grads_norm"].values
        assert np.isfinite(norms).all()


@pytest.mark.slow
def test_it_starts_at_given_parameters_and_at_a_kept_snapshot(tmp_path):
    start = jnp.asarray([1.0, -1.0])
    tuned(tmp_path, keep_snapshots=2, params=start)
    again = {"trial": 1, "params": start}
    made = gradjax.replay(problem(), tmp_path, (45, 50), **again)
    assert made.start > 0 and made.changes == []
    assert made.num_equal == made.num_compared > 0
    with pytest.raises(Refusal, match="start at other parameters"):
        gradjax.replay(problem(), tmp_path, (45, 50), trial=1)
    with pytest.raises(Refusal, match="problem.loss has other data or numbers"):
        gradjax.replay(problem(2.0), tmp_path, (45, 50), **again)
    with pytest.raises(Refusal, match="expected a window within 1:60"):
        gradjax.replay(problem(), tmp_path, (45, 61), **again)
