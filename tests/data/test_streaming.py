import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.data import arrays, streaming
from gradjax.data.mapped_rows import Rows
from gradjax.data.order import order
from gradjax.data.streaming import Staged
from gradjax.errors import Refusal
from gradjax.records import contents

X = np.random.default_rng(0).normal(size=(37, 3))
DATA = {"x": X, "y": np.arange(37)}


def read(indices):
    return {"x": X[indices], "y": np.arange(37)[indices]}


def test_the_batches_are_those_of_the_split_in_memory():
    source = gradjax.stream(read, 37)
    whole = arrays.source(DATA)
    seed, batch, steps = 7, 8, range(3, 12)  # across the ends of two epochs
    found = streaming.read_steps(source, batch, seed, steps, capacity=12)
    staged = Staged(
        jax.tree.map(lambda x: np.concatenate([np.zeros_like(x), x]), found),
        np.asarray([5, seed], np.uint32),
        np.uint32(steps.start),
    )
    for step in steps:
        positions = step * batch + np.arange(batch)
        epochs, within = np.divmod(positions, 37)
        indices = order(seed, epochs.astype(np.uint32), within.astype(np.uint32), 37)
        expected = whole.take(whole.arrays, jnp.asarray(indices))
        own = (np.uint32(seed), np.uint32(step), 1, batch)
        places = streaming.places(jax.tree.map(jnp.asarray, staged), *own)
        given = source.take(staged.examples, places[0])
        for name in ("x", "y"):
            np.testing.assert_array_equal(given[name], expected[name])
            assert given[name].dtype == expected[name].dtype


def test_rows_of_a_mapped_file_are_sent_as_its_name(tmp_path):
    np.save(tmp_path / "x.npy", X)
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    for part in (whole, whole[5:30], whole[10:][2:]):
        sent = pickle.dumps(Rows({"x": part, "y": np.ones(3)}))
        assert len(sent) < X.nbytes
        again = pickle.loads(sent)
        assert isinstance(again.arrays["x"], np.memmap)
        np.testing.assert_array_equal(again.arrays["x"], part)


@pytest.mark.parametrize("how", ["truncated", "written", "sent"])
def test_a_mapped_file_that_changes_while_it_is_read_is_refused(tmp_path, how):
    path = tmp_path / "x.npy"
    np.save(path, X)
    rows = Rows({"x": np.load(path, mmap_mode="r")[2:]})
    np.testing.assert_array_equal(rows(np.uint32([1]))["x"], X[[3]])
    os.utime(path, ns=(0, 0))
    rows = Rows(rows.arrays)
    if how == "truncated":
        os.truncate(path, 200)
    else:
        np.lib.format.open_memmap(path, "r+")[:] = 0
        os.utime(path)
    with pytest.raises(Refusal, match=r"x\.npy: has changed (while|since)"):
        (pickle.loads(pickle.dumps(rows)) if how == "sent" else rows)(np.uint32([1]))


def rows_of_a_replaced_file(folder, values):
    """Rows that have mapped X, and the path that now has other values."""
    path, other = folder / "x.npy", folder / "y.npy"
    np.save(path, X)
    np.save(other, values)
    rows = Rows({"x": np.load(path, mmap_mode="r")})
    os.replace(other, path)
    return rows, path


def test_a_mapped_file_that_was_replaced_is_not_sent_to_another_process(tmp_path):
    rows, path = rows_of_a_replaced_file(tmp_path, X[:9] + 1)
    other = tmp_path / "y.npy"
    with pytest.raises((Refusal, ValueError)):
        pickle.loads(pickle.dumps(rows))
    np.save(other, X + 1)
    os.utime(other, ns=(0, 0))
    os.replace(other, path)
    with pytest.raises(Refusal, match="has changed since the run began"):
        pickle.loads(pickle.dumps(rows))


def test_the_time_of_a_mapped_file_does_not_decide_what_a_run_is(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, X)
    found = []
    for seconds in (1, 2):
        os.utime(path, (seconds, seconds))
        rows = Rows({"x": np.load(path, mmap_mode="r")})
        found.append(contents.digest(rows, "rows"))
    assert found[0] == found[1]


def test_a_mapped_file_may_be_replaced_or_deleted_while_it_is_read(tmp_path):
    rows, path = rows_of_a_replaced_file(tmp_path, X[:2] + 1)
    np.testing.assert_array_equal(rows(np.uint32([9]))["x"], X[[9]])
    path.unlink()
    np.testing.assert_array_equal(rows(np.uint32([8]))["x"], X[[8]])


def test_a_mapped_file_is_not_copied(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    problem = gradjax.problem(
        lambda params, batch, _key: (((batch["x"] @ params) ** 2).mean(), {}),
        jnp.ones(3),
        {"x": mapped},
        {"x": mapped},
    )
    assert problem.data.train.arrays["x"] is mapped
    streamed = gradjax.streamed(problem)
    assert jax.tree.map(np.shape, streamed.data.train.arrays) == {"x": (1, 3)}
    assert streamed.data.train.read.arrays["x"] is mapped
    chosen = streaming.examples(streamed.data.train, [3, 1])
    np.testing.assert_array_equal(chosen["x"], X[[3, 1]].astype(np.float32))


def test_a_mapped_file_of_the_other_byte_order_is_read(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(">f4"))
    source = arrays.source(np.load(tmp_path / "x.npy", mmap_mode="r"))
    found = source.take(source.arrays, jnp.asarray([3, 1]))
    np.testing.assert_array_equal(found, X[[3, 1]].astype(np.float32))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda i: X[i, 0] if len(i) == 1 else X[i], "has shape .*expected"),
        (lambda _: X[:1], "has shape .*expected"),
        (lambda i: X[i] if len(i) == 1 else [X[i]], "expected PyTreeDef"),
        (
            lambda i: np.where(i[:, None] == 3, np.inf, X[i]),
            r"the array\[0\] of example 3 is inf; expected finite values of type fl",
        ),
        (lambda i: np.where(i == 3, 1e300, 1.0), r"of example 3 is 1e\+300; expected"),
        (
            lambda i: np.where(i == 3, 2**40, 1),
            "of example 3 is 1099511627776; .*i",
        ),
        # What Python's lists give, if only the first number is whole.
        (lambda i: np.asarray([k / 2 if k else 0 for k in i.tolist()]), "type float64"),
        (lambda i: np.asarray([1.0 if len(i) == 1 else "a"] * len(i)), "type <U1"),
        (lambda i: np.ones(1) if len(i) == 1 else [np.ones(1)], "expected PyTreeDef"),
    ],
)
def test_examples_of_another_form_are_refused(wrong, expected):
    source = gradjax.stream(wrong, 37)
    with pytest.raises(Refusal, match=expected):
        streaming.read_steps(source, 8, 0, range(5), capacity=5)
    with pytest.raises(Refusal, match=expected):
        streaming.examples(source, np.arange(37))


def test_examples_have_the_type_of_the_first_one(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = gradjax.stream(lambda i: np.take(mapped, i, axis=0), 37)
    assert source.arrays.dtype == np.float32
    whole = gradjax.stream(lambda i: X[i] if len(i) == 1 else np.ones((len(i), 3)), 37)
    assert streaming.examples(whole, [1, 2]).dtype == np.float32


def test_an_error_of_a_reader_outside_a_run_is_one_line():
    source = gradjax.stream(lambda i: X[i] if len(i) == 1 else 1 / 0 * i, 37)
    with pytest.raises(Refusal, match="read.*fails.*division"):
        streaming.examples(source, [1, 2])


def test_splits_that_are_evaluated_are_not_streamed():
    """A held-out split would be evaluated on its sample of one example."""

    def program(train, *held_out):
        problem = gradjax.problem(
            lambda params, batch, _key: (((batch["x"] @ params) ** 2).mean(), {}),
            jnp.ones(3),
            train,
            *held_out,
        )
        gradjax.program(problem, num_steps=2, batch_size=4)

    stream = gradjax.stream(read, 37)
    program(stream, DATA)
    with pytest.raises(Refusal, match="the validation split is streamed"):
        program(stream, stream)
    with pytest.raises(Refusal, match="the test split is streamed"):
        program(DATA, DATA, stream)
    with pytest.raises(Refusal, match="no validation split"):
        program(stream)


def test_what_cannot_be_streamed_is_refused():
    with pytest.raises(Refusal, match=r"expected 1 to"):
        gradjax.stream(read, 0)
    with pytest.raises(Refusal, match=r"workers=-1"):
        gradjax.stream(read, 37, workers=-1)
    with pytest.raises(Refusal, match=r"read of 1 index gives 2 examples"):
        gradjax.stream(lambda _: X[:2], 37)
    with pytest.raises(Refusal, match="read.*fails.*division"):
        gradjax.stream(lambda i: 1 / 0 * i, 37)
