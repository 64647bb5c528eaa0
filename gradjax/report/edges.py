"""The edge of stability of the optimizers for which it has a closed form."""

from collections.abc import Mapping
from typing import Any

from gradjax import expressions, optimizers

_USUAL = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}  # of adam, and of `adam_sharpness`


def edge(
    optimizer: str, numbers: dict[str, Any], options: Mapping[str, Any] | None = None
) -> tuple[str, float] | None:
    """Returns the edge of stability of an optimizer whose closed form is known.

    With the rate r it is 2 / r for gradient descent, (2 + 2 b) / r with the momentum b,
    (2 + 2 b) / ((1 + 2 b) r) with Nesterov's, and (2 + 2 b1) / ((1 - b1) r) for Adam
    with frozen moments (Cohen et al. 2021, 2022).

    Args:
      optimizer: an expression.
      numbers: path -> value of the trial, which replaces that of the expression.
      options: of the diagnostic `adam_sharpness`; None: the usual ones.

    Returns:
      (the diagnostic that measures the sharpness, its value at the edge times the
      rate); None for all other optimizers, also for those within another one, and where
      `adam_sharpness` has other numbers than the optimizer.
    """
    name = expressions.parse(optimizer).name
    if name not in ("sgd", "adam"):
        return None
    spec, known = optimizers.split(optimizer)
    own, known = dict(spec.kwargs), known | numbers
    if spec.scheduled or (name == "adam" and own.get("nesterov")):
        return None
    if name == "adam":
        own = {k: float(known.get(f"optimizer.{k}", v)) for k, v in _USUAL.items()}
        measured = {k: float((options or {}).get(k, v)) for k, v in _USUAL.items()}
        if known.get("optimizer.eps_root") or own != measured:
            return None
        b1 = own["b1"]
        return "adam_sharpness", (2 + 2 * b1) / (1 - b1)
    b = float(known.get("optimizer.momentum", 0.0) or 0.0)
    return "sharpness", (2 + 2 * b) / (1 + 2 * b if own.get("nesterov") else 1)
