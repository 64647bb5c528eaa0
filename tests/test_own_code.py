"""A mistake in a file of the user: its type, its message, and its line."""

import importlib
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal, problems

MISTAKES = """import jax.numpy as jnp
import numpy as np
import optax
import gradjax

def in_update(learning_rate):
    def update(grads, state, params=None):
        return grads, {"velocity": state["velocty"]}
    return optax.GradientTransformation(lambda p: {"velocity": p}, update)

def in_init(learning_rate):
    return optax.GradientTransformation(lambda p: p + undefined, None)

def in_factory(learning_rate, scale=2.0):
    return optax.sgd(learning_rate / scale[0])

def branching(learning_rate, momentum=0.9):
    if momentum > 0.5:
        return optax.sgd(learning_rate, momentum)
    return optax.sgd(learning_rate)

def converting(learning_rate, momentum=0.9):
    return optax.sgd(np.sqrt(momentum) * learning_rate)

def late(learning_rate, momentum=0.9):
    def update(grads, state, params=None):
        return (grads if momentum else -grads), state
    return optax.GradientTransformation(lambda p: (), update)

def falling(progress):
    return 1.0 - progres

def some_problem(size=3):
    return gradjax.problem(None, jnp.zeros(size), [1][2])
"""
LINE = {text: number for number, text in enumerate(MISTAKES.splitlines(), 1)}
UNKNOWN = "which is not known here; use jnp.where or jax.lax.cond, or declare"
TRACED = "use jnp.where or jax.lax.cond, or declare the argument static"


@pytest.fixture(autouse=True)
def _mine(tmp_path, monkeypatch):
    (tmp_path / "mistaken.py").write_text(MISTAKES)
    (tmp_path / "unreadable.py").write_text("import jax\n\n1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield
    for name in ("mistaken", "unreadable"):
        sys.modules.pop(name, None)


def place(text):
    (number,) = [k for line, k in LINE.items() if text in line]
    (source,) = [line.strip() for line in LINE if text in line]
    return f"(mistaken.py, line {number}: {source})"


@pytest.mark.parametrize(
    ("optimizer", "start", "text"),
    [
        ("in_update", "cannot take a step here: KeyError: 'velocty'", "velocty"),
        ("in_init", "in_init fails: NameError: name 'undefined'", "undefined"),
        ("in_factory", "in_factory fails: ", "scale[0]"),
        ("in_factory(scale=3.0)", "in_factory fails: ", "scale[0]"),
        ("branching", f"the value of a traced array, {UNKNOWN}", "if momentum > 0.5"),
        ("converting", TRACED, "np.sqrt(momentum)"),
        ("late", TRACED, "grads if momentum"),
    ],
)
def test_a_mistake_in_an_optimizer_is_named_with_its_line(optimizer, start, text):
    if optimizer in ("branching", "converting", "late"):
        optimizer += "(momentum=0.7)"
    parabola = gradjax.problem(lambda p, *_: (p @ p, {}), jnp.ones(2))
    with pytest.raises(Refusal) as refused:
        gradjax.program(parabola, f"mistaken:{optimizer}", num_steps=1)
    said = str(refused.value)
    assert start in said and said.endswith(place(text)), said
    assert "\n" not in said and refused.value.__cause__ is not None


def test_a_mistake_in_a_schedule_is_named_with_its_line():
    parabola = gradjax.problem(lambda p, *_: (p @ p, {}), jnp.ones(2))
    with pytest.raises(Refusal) as refused:
        gradjax.program(parabola, "sgd", "mistaken:falling", num_steps=1)
    said = str(refused.value)
    assert "no value at a progress f32[]: NameError: name 'progres'" in said
    assert said.endswith(place("1.0 - progres"))


def test_a_mistake_in_a_problem_is_named_with_its_line():
    with pytest.raises(Refusal) as refused:
        problems.make("mistaken:some_problem(size=4)")
    said = str(refused.value)
    assert said.startswith(
        "problem mistaken:some_problem fails: IndexError: list index"
    )
    assert said.endswith(place("[1][2]"))


def test_a_mistake_in_an_import_is_named_with_its_line():
    with pytest.raises(Refusal) as refused:
        problems.make("unreadable:some_problem")
    assert str(refused.value) == (
        "cannot import 'unreadable:some_problem': ZeroDivisionError: division by zero"
        " (unreadable.py, line 3: 1 / 0)"
    )


def here(text):
    """The line of this file."""
    source = Path(__file__).read_text().splitlines()
    (number,) = [k for k, line in enumerate(source, 1) if line.strip() == text]
    return f"test_own_code.py, line {number}: {text})"


@pytest.mark.parametrize("part", ["init", "loss", "metrics"])
def test_a_mistake_in_init_loss_or_metrics_is_named_with_its_line(part):
    def init(_key):
        if part == "init":
            return {}["weights"]
        return jnp.ones(2)

    def loss(params, batch, _key):
        if part == "loss":
            return params["weights"] @ batch, {}
        return (params * batch["x"].mean(0)).sum(), {}

    def metrics(params, batch, _key):
        return {"loss": (params + batch, 1.0)}

    given = metrics if part == "metrics" else None
    data = {"x": np.ones((4, 2), np.float32)}
    problem = gradjax.problem(loss, init, data, metrics=given)
    with pytest.raises(Refusal) as refused:
        gradjax.program(problem, "sgd", num_steps=1)
    expected = {
        "init": (
            "the problem's init fails: KeyError: 'weights'",
            'return {}["weights"]',
        ),
        "loss": ("the loss fails: ", 'return params["weights"] @ batch, {}'),
        "metrics": (
            "the metrics fail: ",
            'return {"loss": (params + batch, 1.0)}',
        ),
    }[part]
    said = str(refused.value)
    assert said.startswith(expected[0]) and said.endswith(here(expected[1])), said


def test_a_mistake_of_no_file_of_ones_own_has_no_line():
    two = gradjax.problem(lambda p, *_: (p @ p, {}), jnp.ones(2))
    with pytest.raises(Refusal) as refused:
        gradjax.program(two, "adamw(mask=optax:adam)", num_steps=1)
    assert "line" not in str(refused.value)
