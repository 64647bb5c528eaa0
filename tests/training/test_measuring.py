"""What the loop over the steps keeps for measurements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradjax.training import measuring, stacked_curves


def test_curves_of_several_dtypes_are_stacked_and_found_again():
    curves = {
        "a": jnp.float32(1.0),
        "b": jnp.float16(2.0),
        "c": jnp.float32(3.0),
    }
    found = stacked_curves.stack(curves)
    assert {dtype: x.tolist() for dtype, x in found.items()} == {
        "float32": [1.0, 3.0],
        "float16": [2.0],
    }
    again = stacked_curves.unstack(curves, found)
    assert list(again) == list(curves)
    for name, value in curves.items():
        assert again[name] == value and again[name].dtype == value.dtype


def test_curves_keep_their_names_in_whatever_order_the_dictionary_is():
    curves = {f"a.{k}": jnp.float32(k) for k in range(12)}
    found = stacked_curves.unstack(
        jax.eval_shape(lambda: curves), stacked_curves.stack(curves)
    )
    assert {name: float(x) for name, x in found.items()} == {
        f"a.{k}": k for k in range(12)
    }


def test_there_is_room_for_each_measurement_of_each_curve():
    room = stacked_curves.nan({"a": jnp.float32(0), "b": jnp.float32(0)}, 5)
    assert room["float32"].shape == (5, 2) and np.isnan(room["float32"]).all()


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("is_needed", [True, False])
def test_a_state_is_copied_only_if_it_is_needed(backend, is_needed, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    new, last = (
        {"x": jnp.full(3, value), "key": jax.random.key(value)} for value in (1, 2)
    )
    found = measuring._copied_if(jnp.bool(is_needed), new, last)
    expected = new if is_needed else last
    np.testing.assert_array_equal(found["x"], expected["x"])
    assert found["key"] == expected["key"]
