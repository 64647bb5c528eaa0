"""From an expression to static spec and numbers: keys, steps, refusals."""

import numpy as np
import pytest

from gradjax import schedules
from gradjax.errors import Refusal
from gradjax.schedules import split
from gradjax.types import Call

KEYS = {
    "constant": [],
    "cosine": ["end"],
    "cosine_restarts(cycles=3)": ["growth", "end"],
    "step": ["at.0", "at.1", "factor"],
    "piecewise((1, 0))": ["values"],
    "piecewise((1, 0), at=(0.1, 0.9))": ["values", "at.0", "at.1"],
    "warmup(cosine(end=0.1))": ["cosine.end", "fraction"],
    "join(linear(0, 1), cosine(), at=0.1)": [
        "linear.start",
        "linear.end",
        "cosine.end",
        "at",
    ],
    "join(rex, cosine, rex(end=0.5), at=(0.1, 0.2))": [
        "rex_1.end",
        "cosine.end",
        "rex_2.end",
        "at.0",
        "at.1",
    ],
    "join(cosine, piecewise((1, 0)), piecewise((1, 1)), at=(0.4, 0.5))": [
        "cosine.end",
        "piecewise_1.values",
        "piecewise_2.values",
        "at.0",
        "at.1",
    ],
    "warmup(join(warmup(rex, 0.2), rex, at=0.5), 0.1)": [
        "join.warmup.rex.end",
        "join.warmup.fraction",
        "join.rex.end",
        "join.at",
        "fraction",
    ],
}


@pytest.mark.parametrize("expression", KEYS)
@pytest.mark.parametrize("prefix", ["schedule", "optimizer.weight_decay"])
def test_numbers_are_keyed_readably(expression, prefix):
    _, numbers = split(expression, 100, prefix)
    assert list(numbers) == [f"{prefix}.{key}" for key in KEYS[expression]]
    schedules.check(numbers)


def test_ints_are_steps_and_floats_are_fractions():
    assert split("warmup_cosine(warmup=10)", 40)[1]["schedule.warmup"] == 0.25
    assert split("warmup_cosine(warmup=0.25)", 40)[1]["schedule.warmup"] == 0.25
    assert split("warmup_cosine(warmup=1)", 40)[1]["schedule.warmup"] == 1 / 40
    assert split("warmup_cosine(warmup=1.0)", 40)[1]["schedule.warmup"] == 1.0
    _, numbers = split("step(at=(10, 0.5), factor=1)", 40)
    assert numbers == {
        "schedule.at.0": 0.25,
        "schedule.at.1": 0.5,
        "schedule.factor": 1.0,
    }


@pytest.mark.parametrize("num_steps", [100, 1_000, 9_375])
def test_steps_inside_of_a_part_are_steps_of_the_run(num_steps):
    _, numbers = split(
        "join(warmup(wsd(warmup=5), 10), step(at=(10, 0.5)), at=60)", num_steps
    )
    assert numbers["schedule.at"] == 60 / num_steps
    assert numbers["schedule.warmup.fraction"] == pytest.approx(10 / 60)
    assert numbers["schedule.warmup.wsd.warmup"] == pytest.approx(5 / 50)
    assert numbers["schedule.step.at.0"] == pytest.approx(10 / (num_steps - 60))
    assert numbers["schedule.step.at.1"] == 0.5


@pytest.mark.parametrize(("least", "most"), [(10, 100), (100, 200)])
@pytest.mark.slow
def test_a_warmup_may_fill_its_part(least, most):
    """A part is a product of fractions: 0.1 of 100 steps is not 10 to the last bit."""
    for num_steps in range(least, most):
        for at in range(num_steps):
            text = f"join(cosine, warmup_cosine(warmup={num_steps - at}), at={at})"
            _, numbers = split(text, num_steps)
            found = numbers["schedule.warmup_cosine.warmup"]
            assert found == pytest.approx(1.0) and found <= 1.0


REFUSED = {
    "cosin": "did you mean 'cosine'",
    "zzz": "one of: constant, cosine",
    "warmup(cosin)": "did you mean 'cosine'",
    "join(cosine, linar, at=0.5)": "did you mean 'linear'",
    "cosine(stop=0.1)": "its arguments: end",
    "cosine(0.1, 0.2)": "too many positional arguments",
    "constant(1.0)": "its arguments: none",
    "cosine(end=1.5)": "expected a number in [0, 1]",
    "cosine(end=-0.1)": "expected a number in [0, 1]",
    "cosine(end='low')": "expected a number",
    "cosine(end=True)": "expected a number",
    "cosine(end=None)": "expected a number",
    "cosine(end=linear)": "cosine(end=linear): expected a number",
    "linear(start=2)": "expected a number in [0, 1]",
    "linear(start=(0.1, 0.2))": "not a tuple",
    "rex(end=2.0)": "rex(end=2.0): expected a number in [0, 1]",
    "one_cycle(warmup=101)": "101 steps, but the run has 100",
    "polynomial(power=0)": "expected a positive number",
    "polynomial(power=-1.0)": "expected a positive number",
    "polynomial(power='x')": "expected a positive number",
    "cosine_restarts(growth=0)": "expected a positive number",
    "cosine_restarts(cycles=0)": "expected a whole number from 1 to 1,000",
    "cosine_restarts(cycles=2.0)": "expected a whole number",
    "cosine_restarts(cycles=True)": "expected a whole number",
    "cosine_restarts(cycles=10000000)": "expected a whole number from 1 to 1,000",
    "warmup_cosine(warmup=101)": "101 steps, but the run has 100",
    "warmup_cosine(warmup=-1)": "-1 steps, but the run has 100",
    "warmup_cosine(warmup=1.01)": "expected a number in [0, 1]",
    "warmup(cosine, fraction=101)": "101 steps, but the run has 100",
    "warmup(cosine, fraction=-0.1)": "expected a number in [0, 1]",
    "warmup(cosine, fraction=(0.1,))": "not a tuple",
    "warmup(warmup_cosine(warmup=91), 10)": "91 steps, but its part has 90",
    "warmup": "missing a required argument: 'shape'",
    "warmup(0.05)": "expected a schedule such as cosine",
    "warmup(cosine(end=2.0))": "cosine(end=2.0): expected a number in [0, 1]",
    "warmup((cosine,))": "expected a schedule such as cosine",
    "wsd(warmup=0.6, decay=0.6)": "is more than the run",
    "wsd(warmup=60, decay=41)": "is more than the run",
    "warmup(wsd(warmup=0.6, decay=0.6))": "is more than the run",
    "step(at=(0.5, 0.3))": "not sorted",
    "step(at=(50, 0.3))": "not sorted",
    "step(at=(101,))": "101 steps",
    "step(at=0.5)": "expected a tuple such as (0.5, 0.75)",
    "step(at=((0.1,),))": "not a tuple",
    "step(at=('a',))": "expected a number",
    "step(at=(cosine, 0.5))": "expected a number",
    "join(cosine, linear)": "missing a required argument: 'at'",
    "join(cosine)": "missing a required argument: 'at'",
    "join(at=())": "join needs shapes",
    "join(cosine, at=0.5)": "join of 1 shapes needs 0 boundaries in at, not 1",
    "join(cosine, rex, at=())": "join of 2 shapes needs 1 boundaries in at, not 0",
    "join(cosine, rex, linear, at=0.5)": "needs 2 boundaries in at, not 1",
    "join(cosine, rex, at=(0.1, 0.2))": "needs 1 boundaries in at, not 2",
    "join(cosine, rex, linear, at=(0.2, 0.1))": "not sorted",
    "join(cosine, rex, at=101)": "101 steps, but the run has 100",
    "join(cosine, rex, at=1.5)": "expected a number in [0, 1]",
    "join(cosine, rex, at=None)": "expected a number",
    "join(cosine, rex, at=linear)": "expected a number",
    "join(cosine, rex, at=((0.1,),))": "not a tuple",
    "join(cosine, 0.5, at=0.1)": "expected a schedule such as cosine",
    "join(cosine, step(at=(51,)), at=50)": "51 steps, but its part has 50",
    "piecewise": "missing a required argument: 'values'",
    "piecewise(())": "expected numbers such as (1.0, 0.5, 0.1)",
    "piecewise(0.5)": "expected numbers such as (1.0, 0.5, 0.1)",
    "piecewise((1, 2))": "expected a number in [0, 1]",
    "piecewise((1, -0.5))": "expected a number in [0, 1]",
    "piecewise(('a',))": "expected a number",
    "piecewise(((1,),))": "not a tuple",
    "piecewise((1, 0), at=(0.5,))": "2 values needs 2 fractions in at, not 1",
    "piecewise((1, 0), at=(0.5, 0.1))": "not sorted",
    "piecewise((1, 0), at=0.5)": "expected a tuple such as (0.5, 1.0)",
    "[1, 2]": "expected a number in [0, 1]",
    "[]": "expected numbers such as (1.0, 0.5, 0.1)",
    "[1, [0.5]]": "not a tuple",
    "[1], [0.5]": "expected an expression, or numbers f32[n]",
    "[1], at=[0.5]": "expected an expression, or numbers f32[n]",
    "[1": "cannot read",
    "no_such_module:shape": "cannot import 'no_such_module:shape'",
    "warmup(no_such_module:shape)": "cannot import 'no_such_module:shape'",
    "math:pi": "is not a function",
    "builtins:max": "is not a function",
    "builtins:dict": "is not a function",
    "1 + 1": "not allowed",
    "join(cosine.end, rex, at=0.1)": "not allowed",
    "warmup(" * 30 + "cosine" + ")" * 30: "nested more than 20 deep",
    "(" * 5_000 + ")" * 5_000: "expression of 10000 characters",
}
NOT_EXPRESSIONS = {
    "a number": (3, "expected an expression, or numbers f32[n]"),
    "nothing": (None, "expected an expression, or numbers f32[n]"),
    "a function of numpy": (np.cos, "schedule cos has no value at a progress f32[]"),
    "a matrix": (np.ones((2, 2)), "expected an expression, or numbers f32[n]"),
    "a scalar": (np.ones(()), "expected an expression, or numbers f32[n]"),
    "no numbers": (np.ones(0), "expected numbers such as"),
    "booleans": (np.ones(2, bool), "expected a number"),
    "too high": (np.asarray([0.5, 1.5]), "expected a number in [0, 1]"),
    "not a number": ([0.5, float("nan")], "expected a number in [0, 1]"),
    "strings": (["a"], "expected a number"),
    "rows": ([[0.5], [0.1]], "expected a number"),
}


def assert_refuses(expression, line):
    with pytest.raises(Refusal) as refused:
        split(expression, 100)
    assert line in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("expression", REFUSED)
def test_refuses_in_one_line(expression):
    assert_refuses(expression, REFUSED[expression])


@pytest.mark.parametrize("name", NOT_EXPRESSIONS)
def test_refuses_what_is_no_expression(name):
    assert_refuses(*NOT_EXPRESSIONS[name])


OWN = """
from gradjax.schedules import Shape

def saw(progress, depth=0.5):
    return 1 - depth * progress

def halved(progress, factor=0.5, *, inside: Shape):
    return factor * inside(progress)

def rex_1(progress, end=0.5):
    return end + 0 * progress

def loose(progress, **numbers):
    return progress
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_shapes.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own")
def test_a_shape_of_ones_own(curve):
    np.testing.assert_allclose(curve("own_shapes:saw(depth=0.2)", 2), [1.0, 0.9])
    joined = "join(own_shapes:saw, own_shapes:saw(depth=0.2), at=2)"
    np.testing.assert_allclose(curve(joined, 4), [1.0, 0.75, 1.0, 0.9], rtol=1e-6)
    names = list(split(joined, 4)[1])
    assert names == ["schedule.saw_1.depth", "schedule.saw_2.depth", "schedule.at"]


@pytest.mark.usefixtures("own")
def test_a_combination_of_ones_own(curve):
    text = "own_shapes:halved(0.25, inside=linear(0, 1))"
    np.testing.assert_allclose(curve(text, 2), [0.0, 0.125])
    names = ["factor", "linear.start", "linear.end"]
    assert list(split(text, 2)[1]) == [f"schedule.{name}" for name in names]


@pytest.mark.usefixtures("own")
def test_refuses_keys_that_meet_and_arguments_without_a_name():
    assert_refuses("join(rex, rex, own_shapes:rex_1, at=(0.1, 0.2))", "the key")
    assert_refuses("own_shapes:loose(a=0.5)", "is not a function")


def test_a_call_is_an_expression():
    call = Call("warmup", (Call("cosine", (), (("end", 0.1),)),), (("fraction", 5),))
    assert split(call, 100) == split("warmup(cosine(end=0.1), fraction=5)", 100)


def test_check_refuses_what_split_would():
    good = {"schedule.at.0": 0.2, "schedule.at.1": 0.4, "schedule.power": 7.0}
    good |= {"schedule.wsd.warmup": 0.5, "schedule.other.decay": 0.7}
    good |= {"schedule.values": np.asarray([1.0, 0.2]), "schedule.wsd.at.0": 0.1}
    schedules.check(good)
    for wrong in (
        {"schedule.end": 1.1},
        {"schedule.end": float("nan")},
        {"schedule.warmup": -0.1},
        {"schedule.power": 0.0},
        {"schedule.cosine_restarts.growth": 0.0},
        {"schedule.warmup": 0.7, "schedule.decay": 0.7},
        {"schedule.wsd.decay": 0.7},
        {"schedule.at.0": 0.5},
        {"schedule.wsd.at.1": 0.05},
        {"schedule.values": np.asarray([1.0, 1.2])},
        {"schedule.values": np.asarray([1.0, np.nan])},
    ):
        with pytest.raises(Refusal):
            schedules.check(good | wrong)
