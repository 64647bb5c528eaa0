"""Every argument of every public function, one at a time wrong: one line each."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax.errors import Refusal

X = np.ones((6, 2), np.float32)
WRONG = (None, "text", -1, [], {}, float("nan"), np.zeros((2, 2)), object())


def loss(params, batch, _):
    return jnp.mean((batch["x"] @ params - 1.0) ** 2), {}


def made():
    return gradjax.problem(loss, jnp.zeros(2), {"x": X})


def program(**given):
    sizes = {"num_steps": 2, "batch_size": 2, "eval_every": 2}
    return gradjax.program(**{"problem": made(), "optimizer": "sgd", **sizes, **given})


def hypergradient(program, split):
    return gradjax.hypergradient(program, split)


CALLS = {
    "problem": (gradjax.problem, {"loss": loss, "init": jnp.zeros(2), "train": X}),
    "program": (
        gradjax.program,
        {
            "problem": made(),
            "optimizer": "sgd",
            "schedule": "constant",
            "num_steps": 2,
            "batch_size": 2,
            "eval_every": 2,
            "keep": "last",
            "patience": None,
        },
    ),
    "run": (
        gradjax.run,
        {
            "program": program(),
            "hparams": {},
            "seed": 0,
            "trace_every": 1,
            "on_segment": lambda *_: None,
        },
    ),
    "sweep": (
        gradjax.sweep,
        {
            "problem": made(),
            "optimizer": "sgd",
            "hparams": {"learning_rate": [0.1]},
            "seeds": [0],
            "num_steps": 2,
            "lane_width": 1,
            "num_devices": 1,
            "trace_every": 0,
        },
    ),
    "check_gradient": (
        gradjax.check_gradient,
        {
            "loss": loss,
            "params": jnp.zeros(2),
            "batch": {"x": X},
            "num_directions": 1,
            "tolerance": None,
            "seed": 0,
        },
    ),
    "load": (gradjax.load, {"workdir": "nothing"}),
    "frames": (gradjax.frames, {}),
    "hypergradient": (hypergradient, {"program": program(), "split": "train"}),
}
EACH = [(name, argument) for name, (_, given) in CALLS.items() for argument in given]
# In the quick tests: one argument of each function.
QUICK = {name: argument for name, argument in reversed(EACH)}


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        pytest.param(*one, marks=() if QUICK[one[0]] == one[1] else pytest.mark.slow)
        for one in EACH
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(name, argument):
    call, given = CALLS[name]
    assert argument in inspect.signature(call).parameters
    for wrong in WRONG:
        try:
            call(**{**given, argument: wrong})
        except Refusal as refusal:
            assert "\n" not in str(refusal) and str(refusal)
