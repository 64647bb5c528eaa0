import jax
import numpy as np
import pytest

import gradjax
from gradjax.errors import Refusal

_SMALL = {"num_trials": 2, "num_seeds": 2, "num_gradients": 40}


def num_updates(updates):
    return {"leaves": 1.0 * len(jax.tree.leaves(updates))}


@pytest.mark.slow
def test_every_trial_of_a_comparison_is_measured(tmp_path):
    asked = {"measured": ["layer_norms(every=10)", num_updates], "plain": None}
    for name, diagnostics in asked.items():
        gradjax.compare(
            ["sgd", "adam"],
            ["ridge"],
            workdir=tmp_path / name,
            diagnostics=diagnostics,
            **_SMALL,
        )
    for cell in (tmp_path / "measured" / "ridge").iterdir():
        trials, curves = gradjax.frames(cell)
        own = curves[curves.name == "layer_norms.total_grads_norm"]
        assert set(own.trial) == set(trials.trial) and len(trials) == 4
        assert sorted(set(own.step)) == [1, 11, 21, 31]
        assert set(curves[curves.name == "num_updates.leaves"].value) == {2.0}
        (before,) = (tmp_path / "plain" / "ridge").glob(f"{cell.name[:3]}*")
        plain = gradjax.frames(before).trials
        np.testing.assert_allclose(trials.train_loss, plain.train_loss, rtol=1e-5)
        assert before.name != cell.name, "a record of its own"


def test_a_diagnostic_that_is_none_is_refused():
    with pytest.raises(Refusal, match="did you mean 'sharpness'"):
        gradjax.compare(["sgd", "adam"], ["ridge"], diagnostics="[sharpnes]", **_SMALL)
