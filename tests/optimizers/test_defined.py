"""Every optimizer on every problem: it runs, or is refused at once with the reason."""

import jax
import pytest

import gradjax
from gradjax import Refusal
from gradjax.optimizers import OPTIMIZERS
from gradjax.problems import PROBLEMS

ARGUMENTS = {"dpsgd": "l2_norm_clip=1.0, noise_multiplier=0.1"}
PREPARED = ("clinc_", "mnist_", "movielens", "shakespeare_", "tatoeba_")  # not bundled
BUNDLED = {name for name in PROBLEMS if not name.startswith(PREPARED)}
# A prepared problem of each kind beside them: what is refused rests on the parameters.
HERE = sorted(BUNDLED | {"clinc_bag", "movielens", "shakespeare_lstm"})
WITH_DATA = (
    *("clinc_bag", "movielens", "shakespeare_lstm"),
    *("digits_cnn", "digits_logistic", "digits_mlp", "digits_vae"),
    *("least_squares", "logistic_regression", "ridge", "wine", "wine_mlp"),
)
WITH_A_SCALAR = ("least_squares", "logistic_regression", "ridge")  # their offset
QUICK = ("rosenbrock",)
# The table: where an optimizer is not defined, and what is said.
NOT_DEFINED = {
    **{("dpsgd", name): "no data" for name in HERE if name not in WITH_DATA},
    **{("sm3", name): "one without axes" for name in WITH_A_SCALAR},
}


@pytest.mark.parametrize(
    "name",
    [n if n in BUNDLED else pytest.param(n, marks=pytest.mark.slow) for n in HERE],
)
def test_the_lists_name_what_there_is(name, made):
    problem = made(name)
    leaves = jax.tree.leaves(jax.eval_shape(problem.init, jax.random.key(0)))
    assert (problem.data is not None) is (name in WITH_DATA)
    assert any(leaf.ndim == 0 for leaf in leaves) is (name in WITH_A_SCALAR)


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in HERE],
)
def test_every_optimizer_is_defined_on_it_or_refused(name, made):
    """`program` traces a step, and refuses a state whose structure or types change."""
    problem = made(name)
    size = None if problem.data is None else 4
    for optimizer in OPTIMIZERS:
        expression = f"{optimizer}({ARGUMENTS.get(optimizer, '')})"
        if (optimizer, name) in NOT_DEFINED:
            with pytest.raises(Refusal, match=NOT_DEFINED[optimizer, name]) as refused:
                gradjax.program(problem, expression, num_steps=2, batch_size=size)
            assert str(refused.value).count("\n") == 0
            continue
        program = gradjax.program(problem, expression, num_steps=2, batch_size=size)
        assert program.plan.optimizer.entry is OPTIMIZERS[optimizer]
