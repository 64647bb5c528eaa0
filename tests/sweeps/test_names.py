"""The names of a sweep: a number of all optimizers, and of one alone."""

import pytest

from gradjax import Refusal, optimizers, search
from gradjax.sweeps import names, points, rounds, space
from gradjax.types import Settings

OPTIMIZERS = "optimizer=[adamw, sgd]"
DECAY, MOMENTUM = (
    "adamw.weight_decay=log(1e-4, 1)",
    "sgd.momentum=linear(0.5, 0.99)",
)
RATES = ("adamw.learning_rate=log(1e-4, 1e-2)", "sgd.learning_rate=log(1e-2, 1)")
CHAIN = "chain(clip_by_global_norm(1.0), sgd)"


def spaces_of(*texts, optimizer="adam"):
    return names.of_each(names.checked(space.parse(texts), optimizer))


def names_of(*texts, optimizer="adam"):
    found = spaces_of(*texts, optimizer=optimizer)
    return [[one.name for one in own.dimensions] for own in found]


def test_each_optimizer_has_its_own_space():
    assert names_of(OPTIMIZERS, "batch_size=[16, 32]", DECAY, MOMENTUM, *RATES) == [
        ["optimizer", "batch_size", "adamw.weight_decay", "adamw.learning_rate"],
        ["optimizer", "batch_size", "sgd.momentum", "sgd.learning_rate"],
    ]
    assert names_of(OPTIMIZERS, "learning_rate=log(1e-4, 1)") == [
        ["optimizer", "learning_rate"]
    ]
    assert names_of("adamw.b2=[0.9]", optimizer="adamw(b1=0.8)") == [["adamw.b2"]]


def test_the_more_exact_name_replaces_the_other():
    common = "learning_rate=log(1e-4, 1)"
    assert names_of(OPTIMIZERS, common, RATES[1], "optimizer.b1=[0.9]") == [
        ["optimizer", "learning_rate", "optimizer.b1"],
        ["optimizer", "sgd.learning_rate", "optimizer.b1"],
    ]
    twice = "optimizer=[sgd, 'sgd(nesterov=True, momentum=0.9)']"
    both = ("sgd.learning_rate=log(0.1, 1)", "sgd_2.momentum=[0.5, 0.9]")
    assert names_of(twice, *both, "sgd.momentum=[0.1]") == [
        ["optimizer", "sgd.learning_rate", "sgd.momentum"],
        ["optimizer", "sgd.learning_rate", "sgd_2.momentum"],
    ]
    with pytest.raises(Refusal, match="are the same number"):
        spaces_of(
            "weight_decay=[0.1]", "optimizer.weight_decay=[0.2]", DECAY, OPTIMIZERS
        )


@pytest.mark.parametrize(
    ("optimizer", "name", "value", "text", "path"),
    [
        ("adamw", "adamw.weight_decay", 0.1, None, "optimizer.weight_decay"),
        ("adamw", "adamw.learning_rate", 0.1, "adamw", "learning_rate"),
        ("adam(0.003)", "adam.learning_rate", 0.1, None, "optimizer.learning_rate"),
        (CHAIN, "chain.sgd.momentum", 0.8, None, "optimizer.sgd.momentum"),
        (CHAIN, "chain.sgd.nesterov", True, CHAIN[:-1] + "(nesterov=True))", None),
        ("average(chain(sgd, sgd))", "average.chain.sgd_2.momentum", 0.8, None, None),
        ("gradjax.optimizers.soap:soap", "soap.b1", 0.8, None, "optimizer.b1"),
        ("galore", "galore.rank", 8, "galore(rank=8)", None),
        ("muon", "muon.ns_coeffs.1", -4.0, None, "optimizer.ns_coeffs.1"),
        ("adamw", "adamw.weight_decay", "cosine(peak=0.1)", None, None),
    ],
)
def test_an_argument_at_any_depth_has_a_path(optimizer, name, value, text, path):
    base = Settings("mnist", optimizer="adam", steps=10)
    (varied,) = spaces_of(f"{name}=[{value}]", f"optimizer=['{optimizer}']")
    point = {one.name: one.values[0] for one in varied.dimensions}
    made = points.trial(base, point, 0)
    _, numbers = optimizers.split(made.settings.optimizer)
    if text is not None:
        assert made.settings.optimizer == text
    if path is not None:
        assert made.numbers == {path: value} and path in numbers
    assert made.numbers.keys() <= numbers.keys() and made.optimizer == optimizer


def test_a_number_that_is_written_out_has_the_same_name():
    base = Settings("mnist", optimizer="adamw(b2=0.9)", steps=10)
    made = [points.trial(base, {"optimizer.b2": b2}, 0) for b2 in (0.9, 0.99)]
    assert made[0].group == made[1].group
    again = base._replace(optimizer="adamw(nesterov=False)")
    (other,) = [points.trial(again, {"optimizer.nesterov": True}, 0)]
    assert other.settings.optimizer == "adamw(nesterov=True)"
    cycles = base._replace(schedule="cosine_restarts")
    made = points.trial(cycles, {"schedule.cycles": 3, "schedule.end": 0.1}, 0)
    assert made.numbers == {"schedule.end": 0.1}
    assert made.settings.schedule == "cosine_restarts(cycles=3)"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["sdg.momentum=[0.9]"], "unknown name 'sdg.<argument>'; did you mean 'sgd"),
        (["sgd_2.momentum=[0.9]"], "sgd_2.<argument>"),
        (["adam.b2=[0.9]"], "unknown name 'adam.<argument>'"),
        (["momentun=[0.9]"], "unknown name 'momentun'"),
    ],
)
def test_a_name_of_no_optimizer_of_the_sweep_is_refused(texts, said):
    with pytest.raises(Refusal, match=said) as caught:
        spaces_of(OPTIMIZERS, *texts)
    assert "\n" not in str(caught.value)


def test_an_argument_of_one_optimizer_alone_is_refused_with_the_way_to_name_it():
    base, point = Settings("mnist", steps=10), {"optimizer": "sgd", "optimizer.b2": 0.9}
    with pytest.raises(Refusal, match=r"sgd: unknown argument 'b2'.*adam\.b2"):
        points.trial(base, point, 0)


def test_the_plan_holds_what_decides_the_points():
    listed = names.record(names.checked(space.parse([OPTIMIZERS, DECAY]), "adam"))
    assert "optimizers" not in listed[0] and listed[1]["optimizers"] == ("adamw",)


@pytest.mark.parametrize("name", sorted(search.SEARCHES))
def test_every_search_works_in_each_own_space(name):
    if name == "tpe":
        pytest.importorskip("optuna")
    varied = names.checked(space.parse([OPTIMIZERS, DECAY, MOMENTUM, *RATES]), "adam")
    expression = {"grid": "grid(num=3)", "tpe": "tpe(startup=2)"}.get(name, name)
    own = search.make(expression)
    method = search.in_turn(own, names.of_each(varied))
    state, found, parts = method.init(varied, 0), [], (5, 4, 9)
    for count in parts:
        state, asked = method.ask(state, count)
        found += asked
        state = method.tell(state, [(p, p.get("sgd.momentum", 1.0)) for p in asked])
    assert [point["optimizer"] for point in found] == ["adamw", "sgd"] * 9
    for optimizer, listed in (
        ("adamw", (DECAY, RATES[0])),
        ("sgd", (MOMENTUM, RATES[1])),
    ):
        mine = [point for point in found if point["optimizer"] == optimizer]
        varied_here = {text.partition("=")[0] for text in listed}
        assert all(point.keys() == {"optimizer", *varied_here} for point in mine)
        made = rounds.trials_of(Settings("mnist", steps=10), mine, range(1))
        assert len(made) == 9 and len({one.group for one in made}) == 1
    if name != "tpe":
        (whole,) = [method.ask(method.init(varied, 0), 18)[1]]
        assert whole == found


def test_a_smaller_grid_ends_and_the_others_go_on():
    varied = names.checked(space.parse([OPTIMIZERS, DECAY]), "adam")
    method = search.in_turn(search.make("grid(num=4)"), names.of_each(varied))
    state, found = method.ask(method.init(varied, 0), 100)
    assert [one["optimizer"] for one in found] == ["adamw", "sgd", *["adamw"] * 3]
    assert method.ask(state, 2)[1] == []
    state, first = method.ask(method.init(varied, 0), 3)
    assert [*first, *method.ask(state, 9)[1]] == found


def test_grids_with_too_many_points_together_are_refused():
    grids = ("adamw.b2=linear(0.9, 0.99, 60_000)", "sgd.momentum=linear(0, 1, 60_000)")
    varied = names.checked(space.parse([OPTIMIZERS, *grids]), "adam")
    method = search.in_turn(search.make("grid"), names.of_each(varied))
    state = method.init(varied, 0)
    with pytest.raises(Refusal, match="2 optimizers have more than 100,000 points"):
        method.ask(state, 100_000)
    assert len(method.ask(state, 6)[1]) == 6


def test_names_are_shown_as_words_without_the_optimizer():
    for name, words in (
        ("learning_rate", "learning rate"),
        ("adamw.learning_rate", "learning rate"),
        ("optimizer.weight_decay", "weight decay"),
        ("chain.sgd.momentum", "sgd.momentum"),
        ("model.width", "model width"),
        ("schedule.warmup", "schedule warmup"),
        ("batch_size", "batch size"),
    ):
        assert names.words(name) == words
