"""The lesson of several descents in words: where each ended, and why."""

from typing import NamedTuple

from gradjax.report.terminal import join_words

_WHY = {
    "gradient": "gradient small",
    "loss": "loss unchanged",
}
_NEAR = 1e-3  # share of the first height up to which a descent reached the minimum


class Descended(NamedTuple):
    """The end of one descent; if it diverged, its last finite point."""

    steps: int
    reason: str  # why it ended: "gradient", "loss", "steps" or "diverged"
    num_gradients: int
    point: tuple[float, float]
    height: float  # the loss minus the minimum
    first_height: float  # the height at the start
    gradient_norm: float
    num_rises: int  # the number of steps at which the loss rose
    is_moving: bool = True  # whether the last step changed the point


def brief(one: Descended) -> str:
    """Returns the number of steps and the reason of the end, in a few words."""
    if one.reason == "diverged":
        return f"diverged at step {one.steps:,}"
    return f"{one.steps:,} steps, {_why(one)}"


def _why(one: Descended) -> str:
    """Returns the reason of the end, of a descent that did not diverge."""
    if one.reason == "steps":
        return "still moving" if one.is_moving else "not moving"
    return _WHY.get(one.reason, "")


def row(one: Descended) -> str:
    """Returns a line of the closing table."""
    said = {
        "steps": f"ran out of steps at {one.steps:,}: last",
        "diverged": f"diverged at step {one.steps:,}: last seen",
    }.get(one.reason, f"stopped at step {one.steps:,}, {_why(one)}:")
    x, y = one.point
    return f"{said} at ({x:.4g}, {y:.4g}), {_short(one.height)} above the minimum"


def sentence(title: str, descents: dict[str, Descended]) -> str:
    """Returns the lesson in one sentence, the fastest descents first."""
    order = sorted(descents, key=lambda name: descents[name].steps)
    near = [name for name in order if _is_near(descents[name])]
    clauses = []
    if near:
        highest = max(descents[name].height for name in near)
        steps = join_words([_format_steps(name, descents[name]) for name in near])
        clauses.append(
            f"{steps} came to a standstill within {_short(highest)} of the least loss"
        )
    clauses += [_clause(n, descents[n]) for n in order if n not in near]
    falling = [name for name in order if descents[name].num_rises == 0]
    lesson = "with each the loss also rose on the way"
    if falling:
        with_whom = "any" if len(falling) == len(order) else join_words(falling)
        lesson = f"the loss never rose with {with_whom}"
    return (
        "The gradient gives the direction in which the loss falls, and the optimizer"
        f" decides how far to go: on {title}, {'; '.join(clauses)}; {lesson}."
    )


def _is_near(one: Descended) -> bool:
    return one.reason in ("gradient", "loss") and (
        one.height <= _NEAR * one.first_height
    )


def _format_steps(name: str, one: Descended) -> str:
    """Returns the steps of one descent, and its gradients if their number differs."""
    steps = "1 step" if one.steps == 1 else f"{one.steps:,} steps"
    if one.num_gradients == one.steps:
        return f"{steps} of {name}"
    return f"{steps} ({one.num_gradients:,} gradients) of {name}"


def _clause(name: str, one: Descended) -> str:
    """Returns the clause for a descent that did not reach the minimum."""
    if one.reason == "diverged":
        return f"{name} diverged at step {one.steps:,}"
    height = f"{_short(one.height)} above the minimum"
    if one.reason == "steps":
        return f"{_format_steps(name, one)} led to {height}, {_why(one)}"
    return f"{_format_steps(name, one)} came to a standstill {height}"


def _short(value: float) -> str:
    return f"{value:.2g}"
