import numpy as np
import pytest

import gradjax
from gradjax import Refusal


@pytest.fixture
def parabola():
    return gradjax.problem(lambda x, _batch, _key: (0.5 * x**2, {}), 1.0)


def test_gradient_descent_at_many_rates_is_its_closed_form(parabola):
    rates = np.linspace(0.05, 0.5, 10)
    found = gradjax.sweep(parabola, "sgd", {"learning_rate": rates}, num_steps=20)
    np.testing.assert_allclose(found.params, (1 - rates) ** 20, rtol=1e-5)
    expected = 0.5 * (1 - rates[:, None]) ** (2 * np.arange(20))
    np.testing.assert_allclose(found.trace["loss"].values, expected, rtol=2e-5)
    assert found.trace["loss"].steps.tolist() == list(range(1, 21))
    assert not found.diverged_step.any()


def test_every_setting_runs_with_every_seed_and_pairs_share_their_start():
    problem = gradjax.problems.make("quadratic(dim=3)")
    hparams = {"learning_rate": [0.1, 0.2], "optimizer.momentum": [0.0, 0.5]}
    found = gradjax.sweep(
        problem, "sgd(momentum=0.9)", hparams, seeds=(7, 8, 9), num_steps=5
    )
    assert found.seeds.tolist() == [7, 8, 9, 7, 8, 9]
    np.testing.assert_allclose(found.hparams["learning_rate"], [0.1] * 3 + [0.2] * 3)
    np.testing.assert_allclose(
        found.hparams["optimizer.momentum"], [0.0] * 3 + [0.5] * 3
    )
    first = found.trace["loss"].values[:, 0]
    np.testing.assert_array_equal(first[:3], first[3:])
    assert len(set(first[:3].tolist())) == 3


def test_schedules_given_as_numbers_are_swept(parabola):
    shapes = [[1.0, 1.0], [1.0, 0.0], [0.5, 0.5]]
    found = gradjax.sweep(
        parabola,
        "sgd(0.1)",
        {"schedule.values": shapes},
        schedule=[1.0, 1.0],
        num_steps=4,
    )
    t = np.arange(4) / 4
    rates = 0.1 * np.stack([np.ones(4), 1 - t, 0.5 * np.ones(4)])
    np.testing.assert_allclose(found.params, np.prod(1 - rates, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("hparams", "kwargs", "line"),
    [
        ({"learning_rat": [0.1]}, {}, "did you mean 'learning_rate'"),
        ({"learning_rate": [0.1, -0.1]}, {}, "at least 0"),
        ({"learning_rate": [0.1, np.nan]}, {}, "finite"),
        ({"learning_rate": []}, {}, "empty"),
        ({"learning_rate": [0.1]}, {"seeds": ()}, "seeds is empty"),
        ({"learning_rate": [0.1]}, {"seeds": (-1,)}, "seed=-1"),
        (
            {"learning_rate": [0.1], "optimizer.momentum": [0.1, 0.2]},
            {},
            "learning_rate 1, optimizer.momentum 2",
        ),
    ],
)
def test_refuses_in_one_line(hparams, kwargs, line, parabola):
    with pytest.raises(Refusal, match=line):
        gradjax.sweep(parabola, "sgd(momentum=0.9)", hparams, num_steps=2, **kwargs)
