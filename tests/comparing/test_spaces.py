"""The space in which a comparison tunes each optimizer."""

import pytest

from gradjax import optimizers
from gradjax.comparing.spaces import shown, spaces_of
from gradjax.optimizers import own
from gradjax.sweeps import space
from gradjax.sweeps.names import number_of


@pytest.mark.parametrize("name", [*optimizers.OPTIMIZERS, *optimizers.WRAPPERS])
def test_the_declared_spaces_are_of_arguments_and_can_be_read(name):
    entry = {**optimizers.OPTIMIZERS, **optimizers.WRAPPERS}[name]
    space.from_mapping(dict(entry.space))
    declared = dict(entry.space)
    is_tuned = name in optimizers.OPTIMIZERS and entry.rate is not None
    assert ("learning_rate" in declared) == is_tuned
    for path in {*declared} - {"learning_rate"}:
        text = f"{name}(sgd)" if name in optimizers.WRAPPERS else name
        assert optimizers.place(text, f"optimizer.{path}") is not None


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ("adamw", "learning_rate=log(0.0001, 1), weight_decay=log(0.0001, 1)"),
        ("adamw(1e-3)", "weight_decay=log(0.0001, 1)"),
        ("sgd(momentum=0.9)", "learning_rate=log(0.001, 10)"),
        ("adam(3e-3)", ""),
        ("lbfgs", ""),
        ("polyak_sgd", "learning_rate=log(0.001, 10)"),
        ("polyak_sgd(max_learning_rate=1.0)", ""),
        ("sam(adam)", "learning_rate=log(0.0001, 1), rho=log(0.01, 0.5)"),
        (
            "chain(clip_by_global_norm(1.0), sgd)",
            "learning_rate=log(0.001, 10), sgd.momentum=linear(0, 0.99)",
        ),
    ],
)
def test_what_is_written_out_is_fixed_and_the_rest_is_tuned(optimizer, said):
    assert shown(spaces_of((optimizer, "rprop"), None)[optimizer]) == said


def test_a_given_range_replaces_the_declared_one_of_its_optimizer():
    found = spaces_of(
        ("adamw", "sgd", "lbfgs"),
        {
            "learning_rate": "log(1e-3, 1)",
            "sgd.learning_rate": "log(1e-2, 1)",
            "adamw.b2": [0.9, 0.99],
            "schedule.warmup": "linear(0, 0.1)",
        },
    )
    warmup = "schedule.warmup=linear(0, 0.1)"
    decay = "weight_decay=log(0.0001, 1)"
    assert shown(found["adamw"]) == (
        f"learning_rate=log(0.001, 1), {decay}, b2=[0.9, 0.99], {warmup}"
    )
    assert shown(found["sgd"]) == (
        f"learning_rate=log(0.01, 1), momentum=linear(0, 0.99), {warmup}"
    )
    assert shown(found["lbfgs"]) == ""


def test_an_optimizer_of_the_user_declares_its_space():
    @own.optimizer(space={"learning_rate": "log(1e-2, 1)", "floor": [0.0, 0.1]})
    def declared(learning_rate, floor=0.0):
        raise AssertionError((learning_rate, floor))

    def bare(learning_rate, floor=0.0):
        raise AssertionError((learning_rate, floor))

    assert optimizers.space_of(declared) == {
        "learning_rate": "log(1e-2, 1)",
        "optimizer.floor": "[0.0, 0.1]",
    }
    assert optimizers.space_of(bare) == {"learning_rate": "log(1e-4, 10)"}
    with pytest.raises(ValueError, match="did you mean 'floor'"):
        own.optimizer(space={"flor": [1]})(bare)


def test_a_name_of_algoperf_varies_one_minus_the_number():
    found = spaces_of(("adam", "adamw"), {"one_minus_beta1": "log(0.02, 0.2)"})
    (one,) = [of for of in found["adam"].dimensions if of.name != "learning_rate"]
    assert one.name == "one_minus_beta1"
    assert number_of(one.name, 0.02, "adam") == ("optimizer.b1", 0.98)
