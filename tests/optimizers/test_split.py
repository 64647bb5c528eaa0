import functools
import pickle

import numpy as np
import optax
import pytest

import gradjax
from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.optimizers import split
from gradjax.optimizers.bounds import BOUNDS, check
from gradjax.types import TracedNumber

REFUSED = {
    # an unknown name, with the nearest
    "adma": "unknown optimizer 'adma'; did you mean 'adam' or ",
    "sdg": "did you mean 'sgd'",
    "adamW": "did you mean 'adamw'",
    "loin": "did you mean 'lion'",
    "schedule_free_sdg": "did you mean 'schedule_free_sgd'",
    "zzz": "one of: acprop, adabelief",
    "chain(adma)": "unknown optimizer 'adma'; did you mean",
    "chain(clip_by_norm(1.0), sgd)": "did you mean 'clip_by_global_norm'",
    "no_such_module:opt": "cannot import 'no_such_module:opt'",
    "optax:no_such": "cannot import 'optax:no_such'",
    "math:pi": "is not a function that makes an optimizer",
    "builtins:max": "not an optimizer",
    # an argument it does not have, or lacks
    "adam(b3=0.9)": "its arguments: learning_rate, b1, b2, eps",
    "adam(0.1, 0.9, 0.9, 0.1, 0.1, None, 7)": "too many positional arguments",
    "adam(0.1, learning_rate=0.1)": "multiple values",
    "clip_by_global_norm": "does not descend; put it before an optimizer",
    "chain(clip_by_global_norm, sgd)": "needs max_norm",
    "chain(clip(1.0))": "holds no optimizer",
    "chain()": "chain is empty",
    "chain(adam, b=1)": "unexpected keyword argument 'b'",
    # out of bounds
    "sgd(learning_rate=-0.1)": "must be at least 0",
    "sgd(-0.1)": "must be at least 0",
    "sgd(learning_rate=1e39)": "that a float32 holds",
    "polyak_sgd(max_learning_rate=-1.0)": "must be at least 0",
    "adam(b1=1.0)": "must be at least 0 and below 1",
    "adam(b1=1)": "must be at least 0 and below 1",
    "adam(b2=-0.1)": "must be at least 0 and below 1",
    "adam(b2=0.999999999)": "as a float32 it is 1",
    "adam(eps=0)": "must be above 0",
    "adam(eps=1e-50)": "as a float32 it is 0",
    "adamw(weight_decay=-0.1)": "must be at least 0",
    "prodigy(betas=(0.9, 1.0))": "betas.1=1.0: must be at least 0 and below 1",
    "chain(clip_by_global_norm(0.0), sgd)": "must be above 0",
    "chain(adam(b1=2))": "must be at least 0 and below 1",
    # of another kind
    "adam(b1='high')": "expected a number",
    "adam(b1=None)": "expected a number",
    "adam(b1=True)": "expected a number",
    "adam(b1=(0.9, 0.8))": "expected a number",
    "adam(b1=nan)": "expected a number",
    "adam(b1=sgd)": "expected a number",
    "adam(learning_rate=None)": "expected a number",
    "adam(learning_rate=True)": "expected a number",
    "adam(learning_rate='x')": "expected a number",
    "adam(nesterov=1)": "expected True or False",
    "adam(nesterov='yes')": "expected True or False",
    "prodigy(betas=0.9)": "expected a tuple such as (0.9, 0.999)",
    "polyak_sgd(variant=1)": "expected a string such as 'sps'",
    "lbfgs(memory_size=2.5)": "expected a whole number",
    "lbfgs(memory_size=-1)": "expected a whole number",
    "lbfgs(memory_size='x')": "expected a whole number",
    "lbfgs(memory_size=True)": "expected a whole number",
    "chain(1.0, adam)": "1.0 is not an optimizer",
    "chain('clip', adam)": "'clip' is not an optimizer",
    "chain(None, adam)": "None is not an optimizer",
    "chain((clip(1.0), adam))": "is not an optimizer",
    # not an expression
    "adam.__init__": "an attribute is not allowed",
    "adam(b1=0.9, b1=0.8)": "given twice",
}


@pytest.mark.parametrize("expression", REFUSED)
def test_refuses_in_one_line(expression):
    with pytest.raises(Refusal) as refused:
        split(expression)
    assert REFUSED[expression] in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


ACCEPTED = {
    "adam": {"learning_rate": 1e-3},
    "sgd(learning_rate=0)": {"optimizer.learning_rate": 0.0},
    "sgd(0.5, 0.9, True)": {
        "optimizer.learning_rate": 0.5,
        "optimizer.momentum": 0.9,
    },
    "adam(b1=0, eps_root=0)": {
        "learning_rate": 1e-3,
        "optimizer.b1": 0.0,
        "optimizer.eps_root": 0.0,
    },
    "lbfgs(memory_size=5)": {},
    "prodigy(betas=(0.8, 0.9))": {
        "learning_rate": 1.0,
        "optimizer.betas.0": 0.8,
        "optimizer.betas.1": 0.9,
    },
    "chain(clip(1.0), clip(2.0), sgd(0.1))": {
        "optimizer.clip_1.max_delta": 1.0,
        "optimizer.clip_2.max_delta": 2.0,
        "optimizer.sgd.learning_rate": 0.1,
    },
    "chain(chain(clip(1.0)), sgd)": {
        "optimizer.chain.clip.max_delta": 1.0,
        "learning_rate": 0.1,
    },
}


@pytest.mark.parametrize("expression", ACCEPTED)
def test_numbers_are_taken_out(expression):
    spec, hparams = split(expression)
    assert hparams == ACCEPTED[expression]
    assert all(type(value) is float for value in hparams.values())
    assert hash(spec) == hash(split(expression)[0])
    assert spec == split(expression)[0]


def test_what_is_static_is_told_apart_and_what_is_traced_is_not():
    assert split("adam(b1=0.5)")[0] == split("adam(b1=0.7)")[0]
    assert split("sgd(nesterov=True)")[0] != split("sgd(nesterov=False)")[0]
    assert split("lbfgs(memory_size=5)")[0] != split("lbfgs(memory_size=6)")[0]
    assert split("adam(b1=0.5)")[0] != split("adam")[0]


def test_rates_are_what_the_schedule_multiplies():
    assert split("adam")[0].rates == ("learning_rate",)
    assert split("adam(0.1)")[0].rates == ("optimizer.learning_rate",)
    assert split("lbfgs")[0].rates == ()
    assert split("chain(clip(1.0), sgd)")[0].rates == ("learning_rate",)
    spec, hparams = split("chain(adam(0.1), sgd)")
    assert spec.rates == ("optimizer.adam.learning_rate", "learning_rate")
    assert hparams == {"optimizer.adam.learning_rate": 0.1, "learning_rate": 0.1}


def test_the_needs_of_every_link_of_a_chain_are_collected():
    chained, _ = split("chain(clip(1.0), polyak_sgd)")
    assert optimizers.needs(chained) == {"value"}
    assert optimizers.needs(split("lbfgs")[0]) == {"value", "grad", "value_fn"}
    assert optimizers.needs(split("adam")[0]) == frozenset()


def test_the_same_link_twice_shares_no_number():
    _, hparams = split("chain(clip(1.0), clip(1.0), adam(b1=0.5))")
    assert set(hparams) == {
        "optimizer.clip_1.max_delta",
        "optimizer.clip_2.max_delta",
        "optimizer.adam.b1",
        "learning_rate",
    }


def test_functions_and_partials():
    def own(learning_rate=0.3, decay=0.9, *, flag=False):
        return optax.sgd(learning_rate * decay if flag else learning_rate)

    assert split(own)[1] == {"learning_rate": 0.3}
    spec, hparams = split(functools.partial(own, decay=np.float32(0.5), flag=True))
    assert hparams == {"learning_rate": 0.3, "optimizer.decay": 0.5}
    assert dict(spec.kwargs)["flag"] is True
    assert dict(spec.kwargs)["learning_rate"] == TracedNumber("learning_rate")
    with pytest.raises(Refusal, match="decay=1.5: must be"):
        split(functools.partial(own, decay=1.5))
    with pytest.raises(Refusal, match="expected a number"):
        split(functools.partial(own, learning_rate=optax.linear_schedule(1.0, 0.0, 10)))
    with pytest.raises(Refusal, match="clip needs max_delta"):
        split(optax.clip)


def test_a_finished_transformation_has_no_numbers():
    spec, hparams = split(optax.sgd(0.1))
    assert (spec.rates, hparams) == ((), {})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_no_number_is_taken_that_a_float32_does_not_hold(value):
    for name in (*BOUNDS, "of no bound"):
        with pytest.raises(Refusal, match="finite"):
            check(name, value, name)


@pytest.mark.parametrize("value", [True, "1", None, 1j, (1.0,), np.ones(1), np.True_])
def test_only_a_number_is_a_number(value):
    with pytest.raises(Refusal, match="expected a number"):
        check("b1", value, "b1")


def test_bounds_are_looked_up_by_the_last_name_of_a_path():
    assert check("optimizer.chain.adam_1.b1", 0.5, "") == 0.5
    for path in ("optimizer.adam.b1", "optimizer.betas.1"):
        with pytest.raises(Refusal, match="below 1"):
            check(path, 1.0, path)
    assert check("optimizer.own.scale", -7, "") == -7.0


def test_an_import_is_the_only_effect_of_an_import_path(tmp_path, monkeypatch):
    source = "import optax\nmade = []\n"
    source += "def mine(learning_rate=0.2, b1=0.5):\n"
    source += "    made.append(b1)\n    return optax.sgd(learning_rate, b1)\n"
    (tmp_path / "own_optimizer.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    spec, hparams = split("own_optimizer:mine(b1=0.25)")
    import own_optimizer

    assert hparams == {"learning_rate": 0.2, "optimizer.b1": 0.25}
    assert own_optimizer.made == []
    optimizers.build(spec, hparams).init(None)
    assert own_optimizer.made == [0.25]


def test_a_refusal_survives_a_process_boundary():
    refusal = pickle.loads(pickle.dumps(Refusal("one line")))
    assert isinstance(refusal, gradjax.Refusal) and isinstance(refusal, ValueError)
    assert str(refusal) == "one line"


def test_a_partial_by_import_path_keeps_its_arguments(tmp_path, monkeypatch):
    text = (
        "import functools, optax\nslow = functools.partial(optax.sgd, momentum=0.5)\n"
    )
    (tmp_path / "mine_partial.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    spec, numbers = optimizers.split("mine_partial:slow")
    assert numbers.keys() == {"learning_rate"}
    assert spec.entry.make.keywords == {"momentum": 0.5}
    assert spec.entry.make.__name__ == "sgd"


@pytest.mark.parametrize(
    ("bare", "quoted"),
    [
        ("adam(mu_dtype=bfloat16)", "adam(mu_dtype='bfloat16')"),
        ("adamw(mask=matrices)", "adamw(mask='matrices')"),
        (
            "chain(adamw(mask=matrices), clip(1.0))",
            "chain(adamw(mask='matrices'), clip(1.0))",
        ),
    ],
)
def test_arguments_that_are_names_need_no_quotes(bare, quoted):
    assert optimizers.split(bare) == optimizers.split(quoted)
