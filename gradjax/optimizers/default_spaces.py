"""The space in which a comparison tunes each optimizer, unless it is told otherwise.

A range is wide enough for the best values of the suites to lie inside of it: for the
rate four decades. A number that is written out, as in `sgd(momentum=0.9)`, is fixed.
"""

from gradjax.types import Entry

RATE = "learning_rate"  # whatever the argument of the rate is called
OWN_RATE = "log(1e-4, 10)"  # of an optimizer that declares no space
_ADAPTIVE, _GRADIENT, _SIGN = "log(1e-4, 1)", "log(1e-3, 10)", "log(1e-6, 1e-2)"
_FACTOR = "log(0.1, 10)"  # of a rate that multiplies a step size of its own
_DECAY = ("weight_decay", "log(1e-4, 1)")  # that is multiplied by the rate
_MOMENTUM = ("momentum", "linear(0, 0.99)")

_RATES: dict[str, tuple[str, ...]] = {
    _ADAPTIVE: (
        *("acprop", "adabelief", "adafactor", "adam", "adamax", "adamaxw", "adamw"),
        *("adan", "ademamix", "adopt", "amsgrad", "fromage", "galore", "kron", "lamb"),
        *("madgrad", "momo_adam", "muon", "nadam", "nadamw", "novograd", "radam"),
        *("optimistic_adam", "optimistic_adam_v2", "rmsprop", "schedule_free_adamw"),
        *("soap", "sophia", "yogi"),
    ),
    _GRADIENT: (
        *("adagrad", "dpsgd", "lars", "momo", "noisy_sgd", "polyak_sgd"),
        *("optimistic_gradient_descent", "schedule_free_sgd", "sgd", "sm3"),
    ),
    _SIGN: ("lion", "rprop", "sign_sgd", "signum", "simplified_ademamix"),
    _FACTOR: ("adadelta", "cocob", "dadapt_adamw", "dog", "dowg", "prodigy"),
}
_OTHERS: dict[str, tuple[tuple[str, str], ...]] = {
    "adamaxw": (_DECAY,),
    "adamw": (_DECAY,),
    "lamb": (_DECAY,),
    "lion": (("weight_decay", "log(1e-3, 10)"),),  # its rate is ten times smaller
    "muon": (_DECAY,),
    "nadamw": (_DECAY,),
    "sam": (("rho", "log(0.01, 0.5)"),),
    "schedule_free_adamw": (_DECAY,),
    "sgd": (_MOMENTUM,),
    "soap": (_DECAY,),
    "sophia": (_DECAY,),
}


def with_space(name: str, entry: Entry) -> Entry:
    """Returns an entry of the registry with the space of its name."""
    rates = [text for text, names in _RATES.items() if name in names]
    space = tuple((RATE, text) for text in rates) + _OTHERS.get(name, ())
    return entry._replace(space=space)
