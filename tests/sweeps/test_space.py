import json
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradjax.errors import Refusal
from gradjax.search import SEARCHES
from gradjax.sweeps.space import MAX_BYTES, from_json, parse
from gradjax.types import Dimension, Space

ACCEPTED = {
    "learning_rate=log(1e-4, 1)": Dimension("learning_rate", "log", 1e-4, 1.0),
    " learning_rate = log(1e-4, 1, 9) ": Dimension(
        "learning_rate", "log", 1e-4, 1.0, num=9
    ),
    "x=log(low=1, high=2, n=3)": Dimension("x", "log", 1.0, 2.0, num=3),
    "x=log(1, 2, n=3)": Dimension("x", "log", 1.0, 2.0, num=3),
    "optimizer.b2=linear(-0.5, 0.999)": Dimension(
        "optimizer.b2", "linear", -0.5, 0.999
    ),
    "optimizer.0.b1=linear(0, 1, 1)": Dimension(
        "optimizer.0.b1", "linear", 0.0, 1.0, num=1
    ),
    "width=int(16, 64, 4)": Dimension("width", "int", 16, 64, num=4),
    "width=int(16.0, 1e3)": Dimension("width", "int", 16, 1000),
    "x=int(1, 4, 4)": Dimension("x", "int", 1, 4, num=4),
    "batch_size=[16, 32, 64]": Dimension("batch_size", "choice", values=(16, 32, 64)),
    "x=(1, 2)": Dimension("x", "choice", values=(1, 2)),
    "x=[0.5]": Dimension("x", "choice", values=(0.5,)),
    "x=[True, 1, None, -1, 'a b', '1']": Dimension(
        "x", "choice", values=(True, 1, None, -1, "a b", "1")
    ),
    "optimizer=[sgd, 'adam(b2=0.95)']": Dimension(
        "optimizer", "choice", values=("sgd", "adam(b2=0.95)")
    ),
    "optimizer=[adam( b2 = .95 ), pkg.mod:mine(b1=0.5), chain(clip(1.0), sgd)]": (
        Dimension(
            "optimizer",
            "choice",
            values=("adam(b2=0.95)", "pkg.mod:mine(b1=0.5)", "chain(clip(1.0), sgd)"),
        )
    ),
    "schedule=['warmup( cosine,5)', linear]": Dimension(
        "schedule", "choice", values=("warmup(cosine, 5)", "linear")
    ),
    "model=[mlp(widths=[64]), (1.0, 0.5)]": Dimension(
        "model", "choice", values=("mlp(widths=(64,))", "(1.0, 0.5)")
    ),
}

REFUSED = {
    "": "is no name",
    "=log(1, 2)": "is no name",
    "a b=log(1, 2)": "is no name",
    "../x=log(1, 2)": "is no name",
    "a.=log(1, 2)": "is no name",
    f"{'a' * 300}=log(1, 2)": "is no name",
    "learning_rate": "nothing to vary it over",
    "learning_rate=": "nothing to vary it over",
    "learning_rate=0.1": r"expected log\(low, high\)",
    "learning_rate='log(1, 2)'": r"expected log\(low, high\)",
    "x=[1], [2]": r"expected log\(low, high\)",
    "x=y=[1]": r"expected log\(low, high\)",
    "x=[1)": "cannot read",
    "x=1), log(1, 2": "is not a name or a call",
    "x=1)(log(1, 2)": "a call is not allowed",
    "x=[1, 2": "cannot read",
    "x=[y for y in z]": "a list comp is not allowed",
    "x=os.system": "an attribute is not allowed",
    "x=*[1]": "a starred is not allowed",
    "x=lgo(1, 2)": "unknown range 'lgo'; did you mean 'log'",
    "x=choice([1])": "unknown range 'choice'",
    "x=log": r"expected log\(low, high\)",
    "x=log(1)": r"expected log\(low, high\)",
    "x=log(1, 2, 3, 4)": r"expected log\(low, high\)",
    "x=log(1, 2, low=3)": r"expected log\(low, high\)",
    "x=log(1, 2, num=3)": r"expected log\(low, high\)",
    "x=log(0, 1)": "must be above 0",
    "x=log(-1, 1)": "must be above 0",
    "x=log(1, 0)": "must be above 0",
    "x=log(1e-50, 1)": "must be above 0; a float32 holds 1.18e-38 and more",
    "x=log(2, 1)": "low is above high",
    "x=linear(1, -1)": "low is above high",
    "x=int(4, 1)": "low is above high",
    "x=log(0.1, 0.1)": r"for one value, give the list \[0.1\]",
    "x=linear(1, 1, 1)": r"give the list \[1\]",
    "x=linear(nan, 1)": "is not a number",
    "x=linear('a', 1)": "'a' is not a number",
    "x=linear(True, 2)": "True is not a number",
    "x=linear(0, inf)": "is not a number",
    "x=linear(0, 1e999)": "not finite",
    "x=linear(0, 1e39)": "1e[+]39 is not finite as a float32",
    "x=[1, 1e999]": "not finite",
    "x=[1, 1e39]": "not finite as a float32",
    "x=[1, nan]": "nan is not a finite number",
    "x=[1, 'Inf']": "Inf is not a finite number",
    "x=log(1, 2, 0)": "n=0 must be a whole number, at least 1",
    "x=log(1, 2, -3)": "n=-3 must be",
    "x=log(1, 2, 2.0)": "n=2.0 must be",
    "x=log(1, 2, True)": "n=True must be",
    "x=log(1, 2, 1000000000)": "n=1,000,000,000 points; there are at most 100,000",
    "x=int(1, 4, 5)": "n=5 points; there are at most 4",
    "x=int(1.5, 4)": "must be whole",
    "x=int(1, 4.5)": "must be whole",
    f"x=int(0, {2**53 + 1})": r"within 2\*\*53",
    "x=[]": "an empty list",
    "x=()": "an empty list",
    "x=[1, 2, 1]": "1 is 2 times in the list",
    "x=[1, 1.0]": "1 is 2 times in the list",
    "x=[0.0, -0.0, 0]": "0.0 is 3 times in the list",
    "x=[adam(b2=0.95), 'adam( b2=.95)']": "is 2 times in the list",
    f"x={'[' * 10_000}": "at most 1000",
    f"x={'[' * 900}": "x: ",
}


@pytest.mark.parametrize("text", ACCEPTED)
def test_an_assignment_is_read(text):
    (found,) = parse([text]).dimensions
    assert found == ACCEPTED[text]
    for value, expected in zip(
        (found.low, found.high, *found.values),
        (ACCEPTED[text].low, ACCEPTED[text].high, *ACCEPTED[text].values),
        strict=True,
    ):
        assert type(value) is type(expected)


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_an_assignment_is_refused_in_one_line(text):
    with pytest.raises(Refusal, match=REFUSED[text]) as caught:
        parse([text])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_order_of_assignments_is_the_order_of_the_space():
    space = parse(["b=[1]", "a=log(1, 2)", "c=int(1, 2)"])
    assert [dimension.name for dimension in space.dimensions] == ["b", "a", "c"]
    assert parse([]) == Space(())


def test_a_name_that_is_given_twice_is_refused():
    with pytest.raises(Refusal, match="^a is given 2 times$"):
        parse(["a=[1]", "b=[1]", " a =log(1, 2)"])


def test_a_grid_of_a_milliard_points_is_refused_at_once_with_its_count():
    started = time.monotonic()
    with pytest.raises(Refusal, match="1,000,000,000 points"):
        parse(["x=linear(0, 1, 1000000000)"])
    space = parse([f"{name}=linear(0, 1, 1000)" for name in "abc"])
    with pytest.raises(Refusal, match="1,000,000,000 points"):
        SEARCHES["grid"]().init(space, 0)
    assert time.monotonic() - started < 1.0


_WORDS = ("log", "linear", "int", "nan", "'a'", "True", "None", "adam", "a.b:c", "low")
_MARKS = ("[", "]", "(", ")", ",", "=", ".", "'", '"', "#", "\\", "\n", "\0", ":", "*")
_NUMBERS = ("1", "0", "-1", "1e-4", "0.5", "1e999", "9" * 22)
_pieces = st.sampled_from([*_WORDS, *_MARKS, *_NUMBERS, " ", "x", "é", "lambda"])
_texts = st.one_of(
    st.text(max_size=80),
    st.lists(_pieces, max_size=12).map("".join),
    st.lists(_pieces, max_size=12).map(lambda pieces: "x=" + "".join(pieces)),
    st.tuples(
        st.sampled_from(["log", "linear", "int"]),
        st.lists(st.one_of(st.floats(), st.integers()), max_size=4),
    ).map(lambda pair: f"x={pair[0]}({', '.join(map(repr, pair[1]))})"),
    st.tuples(
        st.sampled_from(["log", "linear", "int"]),
        st.integers(-2, 90),
        st.floats(80, 1e9),
    ).map(lambda triple: "x={}({}, {})".format(*triple)),
    st.lists(
        st.one_of(st.floats(), st.integers(), st.text(max_size=5)), max_size=5
    ).map(lambda values: f"x={values!r}"),
)


def check_space(space):
    """What every reader promises of a space it gives."""
    for dimension in space.dimensions:
        if dimension.kind == "choice":
            assert dimension.values
            continue
        assert dimension.low is not None
        assert dimension.high is not None
        assert math.isfinite(dimension.low)
        assert math.isfinite(dimension.high)
        assert dimension.low < dimension.high
        assert dimension.kind != "log" or dimension.low > 0
    method = SEARCHES["random"]()
    _, points = method.ask(method.init(space, 0), 3)
    json.dumps(points, allow_nan=False)


@given(_texts)
@example("x=log(5e-324, 1)")
@example("x=int(1e300, 2e300)")
@example("x=linear(-3.4e38, 3.4e38)")
@pytest.mark.slow
def test_any_text_is_a_space_or_is_refused_in_one_line(text):
    try:
        space = parse([text])
    except Refusal as error:
        assert "\n" not in str(error)
        return
    check_space(space)


ALGOPERF = """{
  "learning_rate": {"min": 1e-4, "max": 1e-2, "scaling": "log"},
  "one_minus_beta1": {"min": 0, "max": 1, "scaling": "linear"},
  "beta2": {"feasible_points": [0.999]},
  "dropout_rate": {"feasible_points": [0.0, 0.1]}
}"""


def written(tmp_path, text):
    path = tmp_path / "space.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_an_algoperf_space_is_read_unchanged(tmp_path):
    space = from_json(written(tmp_path, ALGOPERF))
    assert space == from_json(str(tmp_path / "space.json"))
    assert space.dimensions == (
        Dimension("learning_rate", "log", 1e-4, 1e-2),
        Dimension("one_minus_beta1", "linear", 0.0, 1.0),
        Dimension("beta2", "choice", values=(0.999,)),
        Dimension("dropout_rate", "choice", values=(0.0, 0.1)),
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 5_000, "not JSON"),
        ("3", "expected an object of hyperparameters"),
        ('[{"a": 1}]', "a list of points"),
        ('{"a": 1}', "a: expected an object with"),
        ('{"a": {}}', "a has nothing; expected"),
        ('{"a": {"min": 1, "max": 2}}', "a has min, max; expected"),
        ('{"a": {"min": 1, "max": 2, "scaling": "log2"}}', "scaling='log2'"),
        ('{"a": {"min": 1, "max": 2, "scaling": ["log"]}}', "scaling="),
        ('{"a": {"min": 1, "max": 2, "scalng": "log"}}', "did you mean 'scaling'"),
        ('{"a": {"min": 0, "max": 2, "scaling": "log"}}', "must be above 0"),
        ('{"a": {"min": "0", "max": 2, "scaling": "log"}}', "is not a number"),
        ('{"a": {"min": NaN, "max": 2, "scaling": "log"}}', "NaN is not a finite"),
        ('{"a": {"min": 1, "max": 1e999, "scaling": "log"}}', "not finite"),
        ('{"a": {"min": 1, "max": %s, "scaling": "log"}}' % ("9" * 4_000), "not fin"),
        ('{"a": {"min": 3, "max": 2, "scaling": "linear"}}', "low is above high"),
        ('{"a": {"feasible_points": []}}', "an empty list"),
        ('{"a": {"feasible_points": 3}}', "expected a list"),
        ('{"a": {"feasible_points": [1, 1]}}', "1 is 2 times"),
        ('{"a": {"feasible_points": [[1]]}}', "a list in a list"),
        ('{"a": {"feasible_points": [{"b": 1}]}}', "a list in a list"),
        ('{"a": {"feasible_points": [1], "min": 1}}', "a has feasible_points, min"),
        ('{"a": {"feasible_points": [1], "feasible_points": [2]}}', "2 times"),
        ('{"a": {"feasible_points": [1]}, "a": {"feasible_points": [2]}}', "2 times"),
        ('{"a b": {"feasible_points": [1]}}', "is no name"),
        ("{}" + " " * MAX_BYTES, "more than 1,000,000 bytes"),
    ],
)
def test_what_is_no_algoperf_space_is_refused_naming_the_file(tmp_path, text, reason):
    path = written(tmp_path, text)
    with pytest.raises(Refusal, match=reason) as caught:
        from_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize("name", ["absent.json", "", "a\0b", "a" * 300])
def test_a_path_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(Refusal, match="^cannot read '"):
        from_json(f"{tmp_path}/{name}")


_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=4)
    ),
    lambda inner: st.lists(inner, max_size=3),
)
_entries = st.one_of(
    _values,
    st.builds(lambda points: {"feasible_points": points}, _values),
    st.builds(
        lambda low, high, scaling: {"min": low, "max": high, "scaling": scaling},
        st.one_of(_values, st.floats(), st.floats(1e-6, 1e6)),
        st.one_of(_values, st.floats(), st.floats(1e-6, 1e6)),
        st.sampled_from(["log", "linear", 3]),
    ),
)


@given(st.dictionaries(st.sampled_from(["a", "b.c", "", "d e"]), _entries, min_size=1))
@pytest.mark.slow
def test_any_json_is_a_space_or_is_refused_in_one_line(tmp_path_factory, value):
    path = written(tmp_path_factory.getbasetemp(), json.dumps(value))
    try:
        space = from_json(path)
    except Refusal as error:
        assert "\n" not in str(error)
        return
    check_space(space)
