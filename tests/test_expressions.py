import keyword
import math
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gradjax import expressions
from gradjax.errors import Refusal
from gradjax.expressions import parse, unparse
from gradjax.types import Call

ACCEPTED = {
    "adam": Call("adam"),
    "  adam ( ) \n": Call("adam"),
    "adamw(b2=0.95)": Call("adamw", (), (("b2", 0.95),)),
    "sgd(0.1, 0.9, True)": Call("sgd", (0.1, 0.9, True)),
    "f(-1, +2, -0.5, 1e-3)": Call("f", (-1, 2, -0.5, 1e-3)),
    "f(1e300)": Call("f", (1e300,)),
    "f(None, 'a', \"b\")": Call("f", (None, "a", "b")),
    "f((1, 2), [3], ())": Call("f", ((1, 2), (3,), ())),
    "chain(clip(1.0), adam)": Call("chain", (Call("clip", (1.0,)), Call("adam"))),
    "optax:adam": Call("optax:adam"),
    "a.b.c:d(b1=0.5)": Call("a.b.c:d", (), (("b1", 0.5),)),
    "chain(a.b:c(1), x:y)": Call("chain", (Call("a.b:c", (1,)), Call("x:y"))),
    "f(g(h(a.b:c, k=d:e)))": Call(
        "f", (Call("g", (Call("h", (Call("a.b:c"),), (("k", Call("d:e")),)),)),)
    ),
    "f('a.b:c')": Call("f", ("a.b:c",)),
    "f('a.b:c', a.b:c)": Call("f", ("a.b:c", Call("a.b:c"))),
    r"f('it\'s a.b:c', \"d\")".replace(r"\"", '"'): Call("f", ("it's a.b:c", "d")),
    r"f('\d')": Call("f", (r"\d",)),
    f"f({2**63})": Call("f", (2**63,)),
}

REFUSED = {
    "": "cannot read",
    "1": "not a name or a call",
    "'adam'": "not a name or a call",
    "(adam, sgd)": "not a name or a call",
    "adam(": "cannot read",
    "adam; sgd": "cannot read",
    "x = 1": "cannot read",
    "os.system": "an attribute is not allowed",
    "os.system('x')": "is not allowed",
    "().__class__": "an attribute is not allowed",
    "f(().__class__)": "an attribute is not allowed",
    "__import__('os').system('x')": "is not allowed",
    "f(x)(y)": "a call is not allowed",
    "f(*x)": "a starred is not allowed",
    "f(**x)": "** is not a literal",
    "f(a=1, a=2)": "given twice",
    "f([x for x in y])": "a list comp is not allowed",
    "f(x for x in y)": "not allowed",
    "f({1: 2})": "a dict is not allowed",
    "f({1})": "a set is not allowed",
    "f(lambda: 1)": "a lambda is not allowed",
    "f(1 + 1)": "a bin op is not allowed",
    "f(1 if 2 else 3)": "not allowed",
    "f(x[0])": "a subscript is not allowed",
    "f(a := 1)": "not allowed",
    "f(f'{x}')": "a joined str is not allowed",
    "f(b'x')": "a constant is not allowed",
    "f(1j)": "a constant is not allowed",
    "f(...)": "a constant is not allowed",
    "f(--1)": "not allowed",
    "f(not True)": "not allowed",
    "f(-True)": "not a number",
    "f(1e999)": "not finite",
    "f(-1e999)": "not finite",
    f"f({2**64})": "beyond 64 bits",
    f"f({'9' * 400})": "beyond 64 bits",
    "f(a.b:c=1)": "only where a name may",
    "f('''it's a.b:c''')": "only where a name may",
    "_import_path_0(a.b:c)": "reserved",
    "a.b:c.d": "an attribute is not allowed",
    "a\0b": "cannot read",
    "\ud800": "cannot read",
    "f(" * 21 + ")" * 21: "nested more than 20",
    "(" * 5_000 + ")" * 5_000: "10000 characters",
    "[" * 400 + "]" * 400: "",
    "-" * 900 + "1": "",
    "f(" * 300 + ")" * 300: "",
}


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepts(text):
    assert parse(text) == ACCEPTED[text]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:40]))
def test_refuses_in_one_line(text):
    with pytest.raises(Refusal) as refused:
        parse(text)
    assert REFUSED[text] in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 300


def test_values_keep_their_types():
    (number, whole, truth), _ = parse("f(1.0, 1, True)")[1:]
    assert [type(value) for value in (number, whole, truth)] == [float, int, bool]


identifiers = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,5}", fullmatch=True).filter(
    lambda name: name.isidentifier() and not keyword.iskeyword(name)
)
paths = st.builds("{}.{}:{}".format, identifiers, identifiers, identifiers)
names = identifiers | paths
literals = (
    st.booleans()
    | st.none()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.text("ab.:'\"\\ ", max_size=8)
)


def calls_of(values):
    keywords = st.dictionaries(identifiers, values, max_size=2)
    arguments = st.lists(values, max_size=2).map(tuple)
    return st.builds(
        lambda name, args, kwargs: Call(name, args, tuple(kwargs.items())),
        names,
        arguments,
        keywords,
    )


values = st.recursive(
    literals,
    lambda inner: st.lists(inner, max_size=2).map(tuple) | calls_of(inner),
    max_leaves=6,
)


@given(calls_of(values))
@pytest.mark.slow
def test_parse_undoes_unparse(call):
    text = unparse(call)
    if len(text) <= expressions.MAX_CHARACTERS:
        again = parse(text)
        assert again == call
        assert unparse(again) == text  # 1, 1.0 and True are equal, their texts are not


expression_pieces = st.sampled_from(
    [*"()[]{},.:='\"\\+-*@;#\n\t 01", "adam", "a.b:c", "lambda ", "_import_path_0"]
    + ["__import__('os')", "1e9", "None", "not ", "**", "f'{", "é", "\ud800", "\0"]
)


@pytest.fixture(scope="module")
def side_effects():
    """What ran while `watching` was true: an audit hook cannot be taken out again."""
    watched = {"watching": False, "seen": []}

    def hook(event, _):
        if watched["watching"] and event in ("exec", "import", "open", "os.system"):
            watched["seen"].append(event)

    sys.addaudithook(hook)
    return watched


@given(st.text(max_size=60) | st.lists(expression_pieces, max_size=20).map("".join))
@example("__import__('os')")
@example("os:system('true')")
@pytest.mark.slow
def test_any_text_is_a_call_or_one_line(side_effects, text):
    side_effects["watching"] = True
    try:
        assert isinstance(parse(text), Call)
    except Refusal as refused:
        assert len(str(refused).splitlines()) == 1
    finally:
        side_effects["watching"] = False
    assert side_effects["seen"] == []


def test_the_watch_sees_what_runs(side_effects):
    side_effects["watching"] = True
    eval("1 + 1")
    side_effects["watching"] = False
    assert side_effects["seen"].pop() == "exec"


def test_lookup_names_the_nearest():
    assert expressions.lookup("adam", {"adam": 1}, "optimizer") == 1
    with pytest.raises(Refusal, match=r"^unknown .* 'adma'; did you mean 'adam'"):
        expressions.lookup("adma", {"adam": 1, "sgd": 2}, "optimizer")
    with pytest.raises(Refusal, match="one of: adam, sgd"):
        expressions.lookup("zzz", {"sgd": 2, "adam": 1}, "optimizer")
    with pytest.raises(Refusal, match="'zzz'; there is none"):
        expressions.lookup("zzz", {}, "optimizer")


def test_load_imports_or_refuses(tmp_path, monkeypatch):
    assert expressions.load("math:pi") == math.pi
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('two\\nlines')")
    monkeypatch.syspath_prepend(tmp_path)
    for path in ("no_such_module:x", "math:no_such", "broken_module:x", "a..b:c"):
        with pytest.raises(Refusal) as refused:
            expressions.load(path)
        assert repr(path) in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
