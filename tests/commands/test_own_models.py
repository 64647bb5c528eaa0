"""Networks and schedules of the user, which a command names by an import path."""

import sys

import numpy as np
import pytest

import gradjax
from gradjax import Refusal

NET = """import flax.linen as nn


class Net(nn.Module):
    num_classes: int
    width: int = 4

    @nn.compact
    def __call__(self, images, train=False):
        hidden = nn.Dense(self.width)(images.reshape(len(images), -1))
        hidden = nn.BatchNorm(use_running_average=not train, momentum=0.5)(hidden)
        return nn.Dense(self.num_classes)(hidden)


def make(input_shape, num_classes, width=4):
    return Net(num_classes, width)


def wrong(input_shape, num_classes):
    return Net(num_classes + 1)


NUMBER = 7
"""
SHAPES = """def half(progress, floor=0.5):
    return floor + (1 - floor) * (1 - progress)
"""
FLAGS = ("--dataset=digits", "--model=own_nets:Net(width=8)", "--steps=8", "--noplot")


def forget():
    for name in ("own_nets", "own_shapes"):
        sys.modules.pop(name, None)


@pytest.fixture
def command(typed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_nets.py").write_text(NET)
    (tmp_path / "own_shapes.py").write_text(SHAPES)

    def run(*flags):
        forget()
        return typed("experiments.mnist", *FLAGS, *flags)

    yield run
    forget()


@pytest.mark.slow
def test_a_network_and_a_schedule_by_import_path_from_training_to_predict(
    command, tmp_path
):
    folder, flags = tmp_path / "run", ("--workdir=run", "--schedule=own_shapes:half")
    done = command(*flags)
    assert done.returncode == 0, done.stderr

    forget()
    run = gradjax.load(folder)
    assert "own_nets" not in sys.modules, "a record imports what it names"
    assert set(run.model_state) == {"batch_stats"}
    images = gradjax.dataset("digits").test["image"]
    with pytest.raises(Refusal, match=r"gradjax.load\(folder, model=own_nets.Net\)"):
        run.predict(images)
    import own_nets  # type: ignore

    for model in (own_nets.Net, own_nets.make):
        chances = gradjax.load(folder, model=model).predict(images)
        hits = chances.argmax(axis=-1) == gradjax.dataset("digits").test["label"]
        assert float(hits.mean()) == pytest.approx(run.summary["test_accuracy"])
    np.testing.assert_allclose(chances.sum(axis=-1), 1.0, rtol=1e-5)

    for name, content in (("own_shapes", SHAPES), ("own_nets", NET)):
        (tmp_path / f"{name}.py").write_text(content + "# edited\n")
        refused = command(*flags)
        assert refused.returncode == 2 and f"sources.{name}.py" in refused.stderr


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "own_nets:wrong",
            "gives outputs (1, 11) for a batch of one example: expected",
        ),
        ("own_nets:NUMBER", "is a int: not a network"),
        ("own_nets:Net(depth=3)", "model own_nets:Net fails: TypeError"),
        ("own_nets:Nett", "cannot import 'own_nets:Nett'"),
    ],
)
def test_what_is_no_network_is_refused_in_one_line(command, model, expected, tmp_path):
    refused = command(f"--model={model}", "--workdir=run")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert expected in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_given_network_is_of_a_run_with_an_import_path():
    with pytest.raises(Refusal, match="mlp is a network of gradjax"):
        gradjax.problems.model_of("mlp", (8, 8, 1), 10, object())
