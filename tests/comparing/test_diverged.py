"""Fresh seeds that diverge: they are counted, and never dropped."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradjax
from gradjax.comparing import call
from gradjax.comparing.cells import cells_of

ASKED = {"num_gradients": 4, "num_trials": 2, "num_seeds": 3}


def init(key):
    return jax.random.uniform(key, (1,))


def loss(params, _batch, _key):
    return (params**2).sum(), {}


PROBLEM = gradjax.problem(loss, init)


def starts(seeds):
    program = gradjax.program(PROBLEM, "sgd(1e-4)", num_steps=1)
    return np.concatenate([gradjax.run(program, seed=s).params for s in seeds])


def rule_that_diverges_above(limit):
    """SGD, whose first step from a larger number is infinite."""

    def rule(learning_rate):
        inner = optax.sgd(learning_rate)

        def update(grads, state, params):
            updates, state = inner.update(grads, state, params)
            return jax.tree.map(
                lambda u, x: jnp.where(x > limit, jnp.inf, u), updates, params
            ), state

        return optax.GradientTransformation(inner.init, update)

    return rule


def first_seed(ok):
    """The first seed of a search whose start, and those of the fresh seeds, are so."""
    asked = call.request(
        {},
        ["sgd", "adam"],
        {"line": PROBLEM},
        **ASKED,
        ranges=None,
        batch_size=None,
        baseline=None,
        pairs="baseline",
        search="random",
        schedule="cosine",
        seed=0,
        horizons=[1],
        retune=True,
        studies=1,
    )
    fresh = np.sort(starts(cells_of(asked)[0].seeds))
    return next(seed for seed in range(50) if ok(*starts([seed]), *fresh)), fresh


@pytest.mark.slow
@pytest.mark.parametrize("num_diverged", [1, 2, 3])
def test_diverged_fresh_seeds_are_counted_and_have_no_mean(num_diverged, tmp_path):
    seed, fresh = first_seed(lambda own, *fresh: own < min(fresh))
    (own,) = starts([seed])
    limits = [(own + fresh[0]) / 2, *(fresh[:-1] + fresh[1:]) / 2]
    rule = rule_that_diverges_above(float(limits[3 - num_diverged]))
    found = gradjax.compare(
        ["sgd", rule],
        {"line": PROBLEM},
        seed=seed,
        workdir=tmp_path / "it",
        **ASKED,
    )
    rows = {row.optimizer: row for row in found.tables[0].rows}
    own = rows["given:rule"]
    assert own.verdict is not None and own.verdict.word == "diverges"
    assert own.verdict.num_diverged == (num_diverged, 0)
    assert own.interval is None and own.lost == f"diverges in {num_diverged} of 3"
    assert np.isnan(own.values).sum() == num_diverged
    assert rows["sgd"].interval is not None and np.isfinite(rows["sgd"].values).all()
    assert [row.optimizer for row in found.tables[0].rows] == ["sgd", "given:rule"]
    assert f"{num_diverged} of 3 seeds diverged" in " ".join(own.doubts)


@pytest.mark.slow
def test_where_every_trial_diverged_the_first_setting_is_taken_at_other_horizons():
    found = gradjax.compare(
        ["sgd(momentum=0.9)", "sgd"],
        ["quadratic(condition=10)"],
        spaces={"sgd_2.learning_rate": "log(1e20, 1e25)"},
        horizons=[1, 2],
        retune=False,
        **ASKED,
    )
    short, long = ({row.optimizer: row for row in of.rows} for of in found.tables)
    assert short["sgd"].verdict.word == "has no result"
    assert long["sgd"].verdict.word == "diverges"
    assert long["sgd"].verdict.num_diverged == (3, 0)
    assert 1e20 <= long["sgd"].setting["learning_rate"] <= 1e25
    assert "No fresh seed ran" in " ".join(short["sgd"].doubts)
    assert "not for this length" in " ".join(long["sgd"].doubts)
