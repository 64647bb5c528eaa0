"""The entries of all optax optimizers: the learning rate, static arguments and extras.

`tests/optimizers/test_registry.py` compares the names with those of optax.
"""

import optax
from optax import contrib

from gradjax.optimizers import adam_forms, adapted, measures
from gradjax.optimizers.averaging import schedule_free_params
from gradjax.types import Entry


def _rate(default: float) -> tuple[str, float]:
    return ("learning_rate", default)


_LINE_SEARCH = ("value", "grad", "value_fn")

OPTIMIZERS: dict[str, Entry] = {
    "acprop": Entry(contrib.acprop, paper="Zhuang et al. 2021"),
    "adabelief": Entry(optax.adabelief, paper="Zhuang et al. 2020"),
    "adadelta": Entry(optax.adadelta, _rate(1.0), paper="Zeiler 2012"),
    "adafactor": Entry(
        optax.adafactor,
        static=("min_dim_size_to_factor", "decay_offset"),
        paper="Shazeer and Stern 2018",
    ),
    "adagrad": Entry(optax.adagrad, _rate(1e-2), paper="Duchi et al. 2011"),
    "adam": Entry(optax.adam, paper="Kingma and Ba 2015"),
    "adamax": Entry(optax.adamax, paper="Kingma and Ba 2015"),
    "adamaxw": Entry(optax.adamaxw, paper="Loshchilov and Hutter 2019"),
    "adamw": Entry(optax.adamw, paper="Loshchilov and Hutter 2019"),
    "adan": Entry(optax.adan, paper="Xie et al. 2022"),
    "ademamix": Entry(contrib.ademamix, paper="Pagliardini et al. 2024"),
    "adopt": Entry(contrib.adopt, paper="Taniguchi et al. 2024"),
    "amsgrad": Entry(adam_forms.amsgrad, paper="Reddi et al. 2018"),
    "cocob": Entry(contrib.cocob, _rate(1.0), paper="Orabona and Tommasi 2017"),
    "dadapt_adamw": Entry(
        adapted.dadapt_adamw,
        _rate(1.0),
        step_size=measures.estimated_rate,
        paper="Defazio and Mishchenko 2023",
    ),
    "dog": Entry(
        contrib.dog,
        _rate(1.0),
        step_size=measures.over_gradients,
        paper="Ivgi et al. 2023",
    ),
    "dowg": Entry(
        contrib.dowg,
        _rate(1.0),
        step_size=measures.over_gradients,
        paper="Khaled et al. 2023",
    ),
    "dpsgd": Entry(
        adapted.dpsgd,
        _rate(1e-1),
        gradient="per_example",
        key="key",
        paper="Abadi et al. 2016",
    ),
    "fromage": Entry(optax.fromage, _rate(1e-2), paper="Bernstein et al. 2020"),
    "galore": Entry(
        contrib.galore,
        static=("rank", "update_proj_gap"),
        paper="Zhao et al. 2024",
    ),
    "lamb": Entry(optax.lamb, _rate(1e-2), paper="You et al. 2020"),
    "lars": Entry(optax.lars, _rate(1.0), paper="You et al. 2017"),
    "lbfgs": Entry(
        optax.lbfgs,
        rate=None,
        static=("memory_size",),
        needs=_LINE_SEARCH,
        step_size=measures.searched_step,
        num_gradients=measures.searched_gradients,
        paper="Liu and Nocedal 1989",
    ),
    "lion": Entry(optax.lion, _rate(1e-4), paper="Chen et al. 2023"),
    "madgrad": Entry(contrib.madgrad, _rate(1e-2), paper="Defazio and Jelassi 2021"),
    "momo": Entry(
        contrib.momo,
        _rate(1.0),
        needs=("value",),
        step_size=measures.momo_step,
        paper="Schaipp et al. 2023",
    ),
    "momo_adam": Entry(
        contrib.momo_adam,
        _rate(1e-2),
        needs=("value",),
        step_size=measures.momo_adam_step,
        paper="Schaipp et al. 2023",
    ),
    "muon": Entry(
        contrib.muon, _rate(1e-2), static=("ns_steps",), paper="Jordan et al. 2024"
    ),
    "nadam": Entry(adam_forms.nadam, paper="Dozat 2016"),
    "nadamw": Entry(adam_forms.nadamw, paper="Dozat 2016; Loshchilov and Hutter 2019"),
    "noisy_sgd": Entry(
        optax.noisy_sgd, _rate(1e-1), key="key", paper="Neelakantan et al. 2015"
    ),
    "novograd": Entry(optax.novograd, _rate(1e-2), paper="Ginsburg et al. 2019"),
    "optimistic_adam": Entry(adapted.optimistic_adam, paper="Daskalakis et al. 2018"),
    "optimistic_adam_v2": Entry(
        optax.optimistic_adam_v2, paper="Daskalakis et al. 2018"
    ),
    "optimistic_gradient_descent": Entry(
        optax.optimistic_gradient_descent, _rate(1e-1), paper="Mokhtari et al. 2020"
    ),
    "polyak_sgd": Entry(
        optax.polyak_sgd,
        rate=("max_learning_rate", 1.0),
        needs=("value",),
        step_size=measures.over_gradients,
        paper="Loizou et al. 2021",
    ),
    "prodigy": Entry(
        adapted.prodigy,
        _rate(1.0),
        step_size=measures.estimated_rate,
        paper="Mishchenko and Defazio 2023",
    ),
    "radam": Entry(optax.radam, paper="Liu et al. 2020"),
    "rmsprop": Entry(optax.rmsprop, paper="Tieleman and Hinton 2012"),
    "rprop": Entry(
        adapted.rprop, step_size=measures.mean_step, paper="Riedmiller and Braun 1993"
    ),
    "schedule_free_adamw": Entry(
        contrib.schedule_free_adamw,
        _rate(2.5e-3),
        static=("warmup_steps",),
        eval_params=schedule_free_params,
        paper="Defazio et al. 2024",
    ),
    "schedule_free_sgd": Entry(
        contrib.schedule_free_sgd,
        _rate(1.0),
        static=("warmup_steps",),
        eval_params=schedule_free_params,
        paper="Defazio et al. 2024",
    ),
    "sgd": Entry(optax.sgd, _rate(1e-1), paper="Sutskever et al. 2013"),
    "sign_sgd": Entry(optax.sign_sgd, _rate(1e-4), paper="Bernstein et al. 2018"),
    "signum": Entry(optax.signum, _rate(1e-4), paper="Bernstein et al. 2018"),
    "simplified_ademamix": Entry(
        contrib.simplified_ademamix, _rate(1e-5), paper="Morwani et al. 2025"
    ),
    "sm3": Entry(optax.sm3, _rate(1e-1), paper="Anil et al. 2019"),
    "sophia": Entry(
        adapted.sophia,
        static=("update_interval",),
        needs=("obj_fn",),
        num_gradients=measures.sophia_gradients,
        key="key",
        paper="Liu et al. 2023",
    ),
    "yogi": Entry(optax.yogi, paper="Zaheer et al. 2018"),
}
