"""Finds the target of a problem that a suite knows with the same budget."""

from gradjax.suites import SUITES, Workload


def target_of(problem: str, metric: str) -> float | None:
    """Returns the target of a problem in a suite.

    Args:
      problem: its expression with its budget, as in "digits_mlp, 500 gradients, batch
        size 32"; a run of as many steps counts as well.
      metric: its name with the split, as in "validation_accuracy".

    Returns:
      The target; None if no suite has the problem with this budget, or if the target is
      that of another metric.
    """
    name = metric.partition("_")[2]
    for suite in SUITES.values():
        for one in suite:
            if problem in _labels(one) and name == one.target.metric:
                return one.target.value
    return None


def _labels(one: Workload) -> list[str]:
    sizes = [f", batch size {one.batch_size}"]
    sizes += [""] if one.batch_size is None else []
    return [
        f"{one.problem}, {one.num_steps:,} {unit}{size}"
        for unit in ("steps", "gradients")
        for size in sizes
    ]
