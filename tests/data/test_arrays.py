import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest

from gradjax import data
from gradjax.data.arrays import source, splits
from gradjax.errors import Refusal

ARRAYS = {"x": np.arange(12.0, dtype=np.float32).reshape(4, 3), "y": np.arange(4)}


def test_a_batch_is_the_rows_asked_for():
    ours = source(ARRAYS)
    batch = jax.jit(ours.take)(ours.arrays, jnp.asarray([2, 0], jnp.uint32))
    assert ours.num_examples == 4
    np.testing.assert_array_equal(batch["x"], ARRAYS["x"][[2, 0]])
    np.testing.assert_array_equal(batch["y"], [2, 0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "without arrays"),
        ({"x": np.float32(1.0)}, r"\['x'\] has shape \(\)"),
        ({"x": np.zeros((0, 3))}, r"\['x'\] has shape \(0, 3\)"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, "'y'.*4.*expected one size"),
        ({"x": np.asarray([0, np.nan, 1])}, r"\['x'\]\[1\] is nan; expected finite"),
        ({"x": np.asarray([[0, np.inf]])}, r"\['x'\]\[0, 1\] is inf"),
        ({"x": jnp.asarray([np.nan], jnp.bfloat16)}, "is nan; .* bfloat16"),
        ({"x": np.asarray([2**40])}, r"1099511627776; expected .* int32"),
        ({"x": np.asarray([1e300])}, r"1e\+300; expected .* float32"),
        ({"x": np.asarray(["a"])}, "type <U1; expected numbers"),
        ([np.asarray([None])], "type object; expected numbers"),
    ],
)
def test_bad_arrays_are_refused(arrays, message):
    with pytest.raises(Refusal, match=message):
        source(arrays)


class Examples:
    """A data set as in torch: `np.asarray` of it would never end."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.zeros(3), 0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (Examples(), r"^the data is .*Examples, which is no array; .* np.stack\("),
        (
            {"x": Examples()},
            r"^the data's leaf \['x'\] is .*Examples, which is no array",
        ),
        ({"x": [1.0, 2.0]}, r"leaf \['x'\]\[0\] is float, .* as in np.asarray"),
        ({"x": "a text"}, r"\['x'\] is str, .* takes no texts"),
        (
            {"x": object()},
            r"\['x'\] is object, which is no array; expected an array \[",
        ),
        (iter([1]), "^the data is list_iterator, which is no array"),
        (pandas.DataFrame({"a": [1.0]}), r"DataFrame.* as in data.to_numpy"),
    ],
)
def test_what_is_no_array_is_refused_at_once(arrays, message):
    with pytest.raises(Refusal, match=message):
        source(arrays)


def test_values_are_checked_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(data.arrays, "_CHECKED", 6)
    path = tmp_path / "x.npy"
    np.save(path, np.arange(40.0, dtype=np.float32).reshape(20, 2))
    found = source({"x": np.load(path, mmap_mode="r")})
    np.testing.assert_array_equal(found.arrays["x"], np.load(path))
    values = np.load(path)
    values[16, 1] = np.inf
    with pytest.raises(Refusal, match=r"\['x'\]\[16, 1\] is inf; expected finite"):
        source({"x": values})


def test_a_data_set_goes_to_the_device_as_it_is():
    dataset = data.load("digits")
    parts = splits(dataset)
    assert [part.num_examples for part in parts] == [1257, 180, 360]
    assert parts.train.arrays["image"].dtype == jnp.uint8
    assert isinstance(parts.test.arrays["image"], jax.Array)
    np.testing.assert_array_equal(parts.test.arrays["label"], dataset.test["label"])


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_out_of_range_are_refused(label):
    dataset = data.load("digits")
    labels = dataset.test["label"].copy()
    labels[5] = label
    test = {**dataset.test, "label": labels}
    with pytest.raises(Refusal, match=f"test split: example 5 has label {label}; .*9"):
        splits(dataset._replace(test=test))
