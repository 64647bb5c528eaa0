"""100 steps of every optimizer in float64, against the recurrence of its paper.

What an optimizer does differently from its paper is in the recurrence, is said by its
entry (`differs`), and is a row of docs/optimizers.md.
"""

import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gradjax import optimizers
from gradjax.optimizers import OPTIMIZERS
from gradjax.optimizers.differences import DIFFERENCES
from tests.optimizers import papers
from tests.optimizers.papers import RATE

PAGE = Path(__file__).parents[2] / "docs" / "optimizers.md"
NUM_STEPS = 100
START = {
    "b": np.array([0.5, -1.0]),
    "w": np.array([[1.0, -2.0, 0.7], [0.3, 1.5, -1.0]]),
}
_MIX = np.random.default_rng(0).normal(size=(8, 8))
CURVATURE = _MIX @ _MIX.T / 8 + 0.2 * np.eye(8)
DIAGONAL = np.diag(np.linspace(0.2, 3.0, 8))  # Hutchinson's estimate is exact on it

MOMENTS = "b1=0.8, b2=0.9, eps=1e-3"
p = functools.partial
# Expression -> the recurrence; those of LAYERS get one leaf at a time.
RULES = {
    f"acprop({MOMENTS[:-4]}1e-2, eps_root=1e-3)": papers.acprop,
    f"adabelief({MOMENTS[:-4]}1e-2, eps_root=1e-3)": papers.adabelief,
    "adadelta(rho=0.9, eps=1e-3)": papers.adadelta,
    "adafactor(min_dim_size_to_factor=2)": papers.adafactor,
    "adagrad(initial_accumulator_value=0.1, eps=1e-3)": papers.adagrad,
    f"adam({MOMENTS})": papers.adam,
    f"adam({MOMENTS}, nesterov=True)": papers.nadam,
    f"adamax({MOMENTS})": papers.adamax,
    f"adamaxw({MOMENTS}, weight_decay=0.1)": p(papers.adamax, decay=0.1),
    f"adamw({MOMENTS}, weight_decay=0.1)": p(papers.adam, decay=0.1),
    "adan(b1=0.8, b2=0.7, b3=0.9, eps=1e-3, eps_root=1e-4, weight_decay=0.1)": (
        papers.adan
    ),
    f"ademamix({MOMENTS}, b3=0.99, alpha=2.0, weight_decay=0.1)": papers.ademamix,
    f"adopt({MOMENTS})": papers.adopt,
    f"amsgrad({MOMENTS})": papers.amsgrad,
    f"amsgrad({MOMENTS}, max_before_correction=True)": p(papers.amsgrad, before=True),
    f"amsgrad({MOMENTS}, bias_correction_mu=False, bias_correction_nu=False)": (
        papers.amsgrad_paper
    ),
    "chain(scale_by_lbfgs(memory_size=5), sgd)": papers.lbfgs,
    "cocob": papers.cocob,
    "dadapt_adamw(estim_lr0=1e-3)": papers.dadapt_adamw,
    "dog(init_step=('heuristic', 1e-2))": papers.dog,
    "dowg(init_estim_sq_dist=0.01)": papers.dowg,
    "fromage": papers.fromage,
    "galore(rank=1)": papers.galore,
    f"lamb({MOMENTS}, weight_decay=0.1)": papers.lamb,
    "lars(trust_coefficient=0.1, momentum=0.9, weight_decay=0.1)": papers.lars,
    "lion(b1=0.8, b2=0.9, weight_decay=0.1)": papers.lion,
    "madgrad(momentum=0.8, eps=1e-3)": papers.madgrad,
    "momo(beta=0.8)": papers.momo,
    f"momo_adam({MOMENTS})": papers.momo_adam,
    f"nadam({MOMENTS})": papers.nadam,
    f"nadam({MOMENTS}, momentum_decay=0.004)": p(papers.nadam, psi=0.004),
    f"nadamw({MOMENTS}, weight_decay=0.1)": p(papers.nadam, decay=0.1),
    f"nadamw({MOMENTS}, weight_decay=0.1, momentum_decay=0.004)": (
        p(papers.nadam, psi=0.004, decay=0.1)
    ),
    "noisy_sgd(eta=0.0)": p(papers.sgd, momentum=0.0),
    "novograd(b1=0.8, b2=0.25, eps=1e-3, weight_decay=0.1)": papers.novograd,
    f"optimistic_adam({MOMENTS}, nesterov=False)": papers.optimistic_adam,
    f"optimistic_adam_v2({MOMENTS}, nesterov=False)": papers.optimistic_adam,
    "optimistic_gradient_descent(beta=0.5)": papers.optimistic_descent,
    "polyak_sgd(max_learning_rate=0.5)": papers.polyak,
    "prodigy(estim_lr0=1e-3)": papers.prodigy,
    f"radam({MOMENTS})": papers.radam,
    "rmsprop(eps=1e-3, momentum=0.5)": papers.rmsprop,
    "rmsprop(eps=1e-3, momentum=0.5, eps_in_sqrt=False)": (
        p(papers.rmsprop, inside=False)
    ),
    "rmsprop(eps=1e-3, momentum=0.5, centered=True)": p(papers.rmsprop, centered=True),
    "schedule_free_adamw(b1=0.8, b2=0.9, eps=1e-3, weight_decay=0.1)": (
        papers.schedule_free_adamw
    ),
    "schedule_free_sgd(b1=0.8)": papers.schedule_free,
    "sgd(momentum=0.8)": papers.sgd,
    "sgd(momentum=0.8, nesterov=True)": p(papers.sgd, nesterov=True),
    "sign_sgd": p(papers.signum, b=0.0),
    "signum(beta=0.8)": papers.signum,
    "simplified_ademamix(0.005, b1=0.9, b2=0.95, eps=1e-3, alpha=2.0)": (
        papers.simplified_ademamix
    ),
    "sm3(momentum=0.8)": papers.sm3,
    "sophia(b1=0.8, b2=0.9, gamma=0.5, weight_decay=0.1, update_interval=3)": p(
        papers.sophia, curvature=lambda x: np.diag(DIAGONAL) + np.cos(x)
    ),
    f"yogi({MOMENTS})": papers.yogi,
}
# Expression -> the sum of all parameters, and that of their squares, after 100 steps of
# torch.optim 2.13.0 on the same problem, from the same start.
TORCH = {
    "adadelta(rho=0.9, eps=1e-3)": (-0.6323274840135329, 3.9659788995016343),
    "adagrad(initial_accumulator_value=0.1, eps=1e-14)": (
        -0.8378883943687025,
        2.2664511926172444,
    ),
    f"adam({MOMENTS})": (0.008389218621188799, 0.07655821154114184),
    f"adamax({MOMENTS})": (-0.027156182836008846, 0.07201411943470817),
    f"adamw({MOMENTS}, weight_decay=0.1)": (0.013757806015927465, 0.07645271058807075),
    f"amsgrad({MOMENTS}, max_before_correction=True)": (
        -0.07617081411658343,
        0.014322971884679986,
    ),
    f"nadam({MOMENTS}, momentum_decay=0.004)": (
        0.2698037776503358,
        0.10473027684200226,
    ),
    f"nadamw({MOMENTS}, weight_decay=0.1, momentum_decay=0.004)": (
        0.27572417365299284,
        0.10612001595757353,
    ),
    "radam(b1=0.8, b2=0.9, eps=1e-14)": (0.008281957668550999, 0.0769126380107266),
    "rmsprop(eps=1e-3, momentum=0.5, eps_in_sqrt=False)": (
        0.675433974624224,
        0.7808024729211892,
    ),
    "rprop": (0.5218283173250211, 1.1123297099343028),
    "sgd(momentum=0.8)": (1.2488807481892277, 0.6609222228287099),
    "sgd(momentum=0.8, nesterov=True)": (1.0810357128502321, 0.6825652287256215),
}
LAYERS = ("adafactor", "fromage", "galore", "lamb", "lars", "novograd", "sm3")
# Rates that the recurrences have fixed.
RATES = {"cocob": 1.0, "dadapt_adamw": 1.0, "dog": 1.0, "dowg": 1.0, "prodigy": 1.0}
RATES |= {"momo": 0.5, "polyak_sgd": 0.5, "simplified_ademamix": 0.005}
# Held elsewhere, because they are more than a recurrence.
ELSEWHERE = {
    "dpsgd": "test_extras.py and test_own.py",
    "kron": "test_by_hand.py",
    "lbfgs": "its direction is here; its line search in test_extras.py",
    "muon": "test_by_hand.py",
    "rprop": "test_by_hand.py",
    "soap": "test_by_hand.py",
}
# Agree to 1e-5 only: optax computes a part in float32, or rounding grows.
LESS_EXACT = {
    "adafactor": "its decay is float32",
    "chain": "the quotients of L-BFGS divide small differences",
    "galore": "its singular vectors are float32",
    "madgrad": "the root of its count is float32",
}
QUICK = ("amsgrad", "nadam", "sophia", "novograd", "radam")


def name_of(text):
    return re.match(r"\w+", text)[0]


def flat(tree):
    return np.concatenate([np.ravel(tree[name]) for name in sorted(tree)])


def unflat(vector):
    return {"b": vector[:2], "w": vector[2:].reshape(2, 3)}


def loss(x, curvature, t, np=np):
    """1/2 x H x + sum (1 - cos x) + push x, where the push changes with each step.

    Without it, rounding would grow relative to the gradient close to the minimum.
    """
    push = 0.7 * np.sin(0.3 * t + np.arange(8.0))
    return x @ curvature @ x / 2 + (1.0 - np.cos(x)).sum() + push @ x


def gradient(x, curvature, t):
    return curvature @ x + np.sin(x) + 0.7 * np.sin(0.3 * t + np.arange(8.0))


def by_hand(rule, curvature, is_layered):
    states, x = {}, {k: v.astype(np.float64) for k, v in START.items()}
    for t in range(1, NUM_STEPS + 1):
        vector = flat(x)
        value, grads = loss(vector, curvature, t), gradient(vector, curvature, t)
        if is_layered:
            parts = unflat(grads)
            for k in x:
                state = states.setdefault(k, {})
                x[k] = x[k] + rule(state, parts[k], x[k], t, value)
        else:
            x = unflat(vector + rule(states, grads, vector, t, value))
    return x


def ours(text, curvature, rate):
    spec, numbers = optimizers.split(text)
    numbers = {name: jnp.float64(value) for name, value in numbers.items()}
    for path in spec.rates:
        numbers[path] = jnp.float64(rate)
    params = jax.tree.map(jnp.float64, START)

    @jax.jit
    def step(params, state, i):
        def value_fn(tree):
            vector = jnp.concatenate([jnp.ravel(tree[k]) for k in sorted(tree)])
            return loss(vector, curvature, i + 1.0, jnp)

        value, grads = jax.value_and_grad(value_fn)(params)
        extras = {"value": value, "grad": grads, "step": i, "obj_fn": value_fn}
        extras |= {"value_fn": value_fn, "key": jax.random.key(0)}
        rule = optimizers.build(spec, numbers)
        updates, state = rule.update(grads, state, params, **extras)
        return optax.apply_updates(params, updates), state

    state = optimizers.build(spec, numbers).init(params)
    for i in range(NUM_STEPS):
        params, state = step(params, state, jnp.uint32(i))
    return params


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, marks=[pytest.mark.slow] * (name_of(text) not in QUICK))
        for text in dict.fromkeys([*RULES, *TORCH])
    ],
)
def test_a_hundred_steps_are_those_of_the_paper_and_of_torch(text):
    name = name_of(text)
    curvature = DIAGONAL if name == "sophia" else CURVATURE
    with jax.enable_x64(True):
        found = jax.device_get(ours(text, curvature, RATES.get(name, RATE)))
    if text in TORCH:
        sums = flat(found).sum(), np.square(flat(found)).sum()
        np.testing.assert_allclose(sums, TORCH[text], rtol=1e-9)
    if text in RULES:
        atol = 1e-5 if name in LESS_EXACT else 1e-11
        expected = by_hand(RULES[text], curvature, name in LAYERS)
        for k, values in expected.items():
            assert found[k].dtype == np.float64
            np.testing.assert_allclose(found[k], values, rtol=0, atol=atol)
    assert not np.allclose(flat(found), flat(START), atol=1e-2)


def test_every_optimizer_is_held_against_its_paper():
    held = {name_of(text) for text in RULES} - {"chain"}
    assert held | ELSEWHERE.keys() == OPTIMIZERS.keys()


def test_the_page_names_every_difference():
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.*) \|$", PAGE.read_text(), re.M))
    expected = {n: entry.differs or "as the paper" for n, entry in OPTIMIZERS.items()}
    shown = {name: text.replace("\\|", "|") for name, text in rows.items()}
    assert shown == expected
    assert DIFFERENCES.keys() <= OPTIMIZERS.keys()
