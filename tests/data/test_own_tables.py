"""Tables as people bring them: columns, missing values, labels."""

import numpy as np
import pytest

from gradjax.data import own_tables
from gradjax.errors import Refusal

ROWS = [(k, "ab"[k % 2], 10.0 * k, "yes" if k % 3 else "no") for k in range(30)]
LINES = [",".join(map(str, row)) for row in ROWS]


def put(folder, *lines, name="t.csv"):
    path = folder / name
    path.write_text("\n".join(lines))
    return str(path)


def joined(table, field):
    return np.concatenate([part[field] for part in table.parts.values()])


def test_columns_are_standardised_by_the_train_split(tmp_path):
    table = own_tables.read(put(tmp_path, "n,kind,size,label", *LINES))
    assert [one.name for one in table.features] == ["n", "kind", "size"]
    assert table.features[1].values == ("a", "b")
    assert table.class_names == ("no", "yes")
    x = table.parts["train"]["x"]
    assert x.shape == (21, 4)
    for column in (0, 3):
        assert x[:, column].mean() == pytest.approx(0.0, abs=1e-12)
        assert x[:, column].std() == pytest.approx(1.0)
    assert set(map(tuple, joined(table, "x")[:, 1:3])) == {(0.0, 1.0), (1.0, 0.0)}
    n = joined(table, "x")[:, 0] * table.features[0].scale + table.features[0].mean
    again = joined(table, "y") == (np.round(n) % 3 > 0)
    assert again.all(), "each row keeps its label"
    assert table.understood == (
        "t.csv: CSV with a header, label in column 'label', 3 other columns, 1 of them"
        " categorical, 30 rows, 2 classes"
    )


def test_the_label_is_named_given_or_last(tmp_path):
    named = own_tables.read(put(tmp_path, "y,kind,size,z", *LINES))
    assert named.class_names == () and named.target.scale > 1, "30 whole numbers"
    given = own_tables.read(put(tmp_path, "n,kind,size,z", *LINES), "kind")
    assert given.class_names == ("a", "b")
    last = own_tables.read(put(tmp_path, *LINES))
    assert last.class_names == ("no", "yes")
    assert "CSV without a header, label in column 4" in last.understood
    path = put(tmp_path, "y,kind,size,z", *LINES)
    by_task = own_tables.read(path, None, "classification")
    assert by_task.class_names[:3] == ("0", "1", "2")


def test_missing_values_have_one_rule_each(tmp_path):
    lines = [*LINES, "NA,,?,yes"]
    table = own_tables.read(put(tmp_path, "n,kind,size,label", *lines))
    assert "3 missing values" in table.understood
    sizes = joined(table, "x")[:, -1]
    assert (np.abs(sizes) < 1e-12).sum() >= 1, "the mean of the train split"
    encoded = own_tables.encode(table.features[1], ["a", "", "other"])
    assert encoded[0].sum() == 1.0 and encoded[2].sum() == 0.0
    line = put(tmp_path, "n,kind,size,label", *LINES, "1,a,2,")
    with pytest.raises(Refusal, match="t.csv:32: no label in column 'label'"):
        own_tables.read(line)


def test_an_npz_has_x_and_y(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2, 2)), rng.normal(size=20)
    path = tmp_path / "t.npz"
    np.savez(path, x=x, y=y)
    table = own_tables.read(str(path))
    assert table.class_names == () and joined(table, "x").shape == (20, 4)
    assert table.understood.startswith("t.npz: NumPy arrays, label in column 'y', 4")
    assert "regression" in table.understood
    np.savez(path, x=x, y=(y > 0).astype(int))
    assert own_tables.read(str(path)).class_names == ("0", "1")
    for arrays, said in (
        ({"x": x}, "arrays x; expected x"),
        ({"x": y, "y": y}, r"x \[20\] and y \[20\]; expected x \[examples, ...\]"),
        ({"x": np.array([None] * 3), "y": y}, "damaged"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(Refusal, match=said):
            own_tables.read(str(path))
    path.write_bytes(b"no archive")
    with pytest.raises(Refusal, match="damaged"):
        own_tables.read(str(path))


REFUSED = [
    (("n,label", *["1,a"] * 12), None, None, "one label, 'a'; expected at least two"),
    (("n,label", *["1,a", "2,b"] * 3), None, None, "6 rows; expected at least 10"),
    (("n,kind,n,label", *LINES), None, None, "t.csv:1: 2 columns have the name 'n'"),
    (("n,kind,size,label", *LINES), "lable", None, "did you mean 'label'"),
    (("n,kind,size,label", *LINES), None, "sort", "--task=sort: expected classif"),
    (("n,label", *LINES[:0], *["1,a", "2,b"] * 6), None, "regression", "label 'a'"),
    (("n,label", *["1,a", "-inf,b"] * 6), None, None, "t.csv:3: column 'n' has '-inf'"),
    (("n,y", *["1,0.5", "2,1e999"] * 6), None, None, "t.csv:3: column 'y' has '1e999'"),
    (
        ("name,label", *[f"n{k},{k % 2}" for k in range(200)]),
        None,
        None,
        "column 'name' has 140 different values that are not all numbers",
    ),
]


@pytest.mark.parametrize(("lines", "label", "task", "said"), REFUSED)
def test_a_wrong_table_is_refused(tmp_path, lines, label, task, said):
    with pytest.raises(Refusal, match=said):
        own_tables.read(put(tmp_path, *lines), label, task)
