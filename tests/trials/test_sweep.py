"""A sweep in memory varies any number of its optimizer."""

import numpy as np
import optax
import pytest

import gradjax
from gradjax import problems


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [
        (optax.adam, "optimizer.b1"),
        ("chain(clip(0.1), sgd)", "optimizer.sgd.momentum"),
    ],
)
def test_a_sweep_varies_an_argument_that_is_not_written_out(optimizer, name):
    bowl = problems.make("quadratic")
    found = gradjax.sweep(bowl, optimizer, {name: [0.0, 0.9]}, num_steps=4)
    assert found.hparams[name].tolist() == [0.0, np.float32(0.9)]
    first, second = found.trace["loss"].values
    assert first[0] == second[0] and first[-1] != second[-1]


def test_a_sweep_refuses_a_range_and_names_the_function_that_takes_one():
    line = r"sweep takes a list of values, .*; gradjax.tune takes a range"
    varied = {"learning_rate": "log(1e-3, 1)"}
    with pytest.raises(gradjax.Refusal, match=line):
        gradjax.sweep(problems.make("quadratic"), "adam", varied, num_steps=4)  # type: ignore


@pytest.mark.parametrize(
    ("optimizer", "name", "said"),
    [
        ("adam", "optimizer.nesterov", "changes the program .* gradjax.tune"),
        ("adam", "optimizer.b9", "adam: unknown argument 'b9'"),
        (optax.adam(0.1), "optimizer.b1", "finished transformation has fixed numbers"),
        ("adam", "b1", "one of: learning_rate; its argument is 'optimizer.b1'"),
        ("adam", "b9", "unknown hyperparameter 'b9'; one of: learning_rate$"),
        ("lbfgs", "learning_rate", "'learning_rate': lbfgs has no hyperparameters$"),
    ],
)
def test_a_sweep_refuses_what_is_no_number_of_the_optimizer(optimizer, name, said):
    with pytest.raises(gradjax.Refusal, match=said):
        gradjax.sweep(problems.make("quadratic"), optimizer, {name: [0.5]}, num_steps=4)
