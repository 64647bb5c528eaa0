"""From a point of the space to a trial."""

import json

import pytest

from gradjax import Refusal
from gradjax.sweeps import names, points, space
from gradjax.types import Settings

BASE = Settings("mnist", optimizer="adamw", steps=10)


def test_numbers_share_a_program_and_settings_do_not():
    made = [
        points.trial(BASE, {"learning_rate": rate, "batch_size": size}, 0)
        for rate in (0.1, 0.2)
        for size in (16, 32)
    ]
    assert len({one.group for one in made}) == 2
    assert len({one.id for one in made}) == 4
    assert made[0].numbers == {"learning_rate": 0.1}
    assert made[0].settings.batch_size == 16


def test_the_same_content_has_the_same_id_in_every_sweep():
    one = points.trial(BASE, {"learning_rate": 0.1}, 3)
    again = points.trial(BASE._replace(learning_rate=0.1, seed=3), {}, 3)
    assert one.id == again.id != points.trial(BASE, {"learning_rate": 0.1}, 4).id


def test_the_bound_of_a_cache_decides_nothing():
    # Records that were made before there was one have the same ids.
    ids = {
        points.trial(BASE._replace(own=(("model", "mlp"), *more)), {}, 0).id
        for more in ((), (("cache_bytes", None),), (("cache_bytes", 10**9),))
    }
    assert len(ids) == 1


def test_an_argument_of_an_optimizer_is_written_into_it_and_traced():
    one = points.trial(BASE, {"optimizer.b1": 0.8}, 0)
    other = points.trial(BASE, {"optimizer.b1": 0.7}, 0)
    assert one.group == other.group and one.numbers["optimizer.b1"] == 0.8
    static = points.trial(BASE, {"optimizer.nesterov": True}, 0)
    assert static.settings.optimizer == "adamw(nesterov=True)"
    assert static.numbers == {}


@pytest.mark.parametrize("model", ["mlp", "mlp(widths=(8,))"])
def test_an_argument_of_a_model_is_a_part_of_the_program(model):
    base = BASE._replace(own=(("model", model),))
    (varied,) = space.parse(["model.widths=[(64,), (128, 64)]"]).dimensions
    made = [points.trial(base, {varied.name: value}, 0) for value in varied.values]
    assert [dict(one.settings.own)["model"] for one in made] == [
        "mlp(widths=(64,))",
        "mlp(widths=(128, 64))",
    ]
    with pytest.raises(Refusal, match="give a list"):
        names.checked(space.parse(["model.widths=log(1, 2)"]), "adamw")


def test_what_one_experiment_alone_has_is_a_part_of_the_program():
    base = BASE._replace(own=(("window", 128),))
    names.checked(space.parse(["window=[64, 128]"]), "adamw", ("window",))
    made = points.trial(base, {"window": 64}, 0)
    assert made.settings.own == (("window", 64),) and made.numbers == {}
    with pytest.raises(Refusal, match="window"):
        names.checked(space.parse(["windo=[64, 128]"]), "adamw", ("window",))


def test_a_tuning_space_of_algoperf_is_taken_unchanged(tmp_path):
    path = tmp_path / "space.json"
    path.write_text(
        json.dumps(
            {
                "learning_rate": {"min": 1e-4, "max": 1e-2, "scaling": "log"},
                "one_minus_beta1": {"min": 0.02, "max": 0.2, "scaling": "log"},
                "beta2": {"feasible_points": [0.9, 0.95]},
                "weight_decay": {"min": 1e-3, "max": 1.0, "scaling": "log"},
            }
        )
    )
    varied = space.from_json(path)
    assert names.checked(varied, "adamw") == varied
    point = {
        "learning_rate": 1e-3,
        "one_minus_beta1": 0.1,
        "beta2": 0.95,
        "weight_decay": 0.1,
    }
    made = points.trial(BASE, point, 0)
    assert made.point == point
    assert made.numbers == {
        "learning_rate": 1e-3,
        "optimizer.b1": 0.9,
        "optimizer.b2": 0.95,
        "optimizer.weight_decay": 0.1,
    }
