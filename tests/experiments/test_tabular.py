"""The command on tables of its user, and what its records predict."""

import numpy as np
import pytest

import gradjax
from experiments import tabular
from gradjax.commands.experiment import settings_of
from gradjax.commands.train import train
from gradjax.errors import Refusal
from gradjax.types import Options, Sweep


def trained(folder, lines, **flags):
    path = folder / "t.csv"
    path.write_text("\n".join(lines))
    options = Options(workdir=str(folder / "run"), plot=False)
    settings = settings_of(tabular.EXPERIMENT, dataset=str(path), **flags)
    train(tabular.EXPERIMENT, settings, Sweep(), options)
    return gradjax.load(folder / "run")


def test_a_regression_predicts_in_the_units_of_the_table(tmp_path):
    lines = ["size,kind,price"]
    lines += [f"{k},{'ab'[k % 2]},{100 * k + 500 * (k % 2) + 0.5}" for k in range(80)]
    flags = {"model": "logistic", "epochs": 60, "learning_rate": 0.05}
    run = trained(tmp_path, lines, **flags)
    assert run.summary["test_squared_error"] < 50.0**2
    found = run.predict([{"size": 10, "kind": "a"}, {"size": "10", "kind": "b"}])
    np.testing.assert_allclose(found, [1000.0, 1500.0], atol=100)
    np.testing.assert_allclose(run.predict([[10, "a"]]), found[:1], rtol=1e-6)
    for rows, said in (
        ([], "a list of rows"),
        ("a", "a list of rows"),
        ([1, "a"], r"rows, .*; found int in place of a row; for one row give \[row\]"),
        ([[1, "a"], {"size": 1, "kind": "a"}], "a list of rows, .*; found both"),
        ([{"size": 1}], "a row has no 'kind'; expected 2: size, kind"),
        ([[1]], "a row of 1 values; expected 2: size, kind"),
        ([["big", "a"]], "column 'size': 'big'; expected a finite number"),
    ):
        with pytest.raises(Refusal, match=said):
            run.predict(rows)


@pytest.mark.slow
def test_a_classification_learns_a_table(tmp_path):
    lines = ["a,b,label", *[f"{k % 7},{k % 5},{'ny'[k % 7 > 3]}" for k in range(120)]]
    run = trained(tmp_path, lines, model="mlp(widths=(16,))", learning_rate=0.02)
    assert run.summary["test_accuracy"] == 1.0
    found = run.predict(np.array([[0.0, 1.0], [6.0, 1.0]]))
    assert found.argmax(axis=1).tolist() == [0, 1] and found.shape == (2, 2)
