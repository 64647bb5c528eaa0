"""The panels of a dashboard, from the results of a run or a sweep."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradjax.plots.dashboard import MAX_PANELS, Column, Line, Panel, dashboard
from gradjax.report.edges import edge
from gradjax.report.summary import Winner
from gradjax.sweeps import choose, names
from gradjax.sweeps.choose import GroupResult, SettingScore
from gradjax.sweeps.points import Trial
from gradjax.types import Plan, Series

_MAX_COLUMNS = 3
_NUM_POINTS = 100  # of a training loss, which is too noisy to read without windows
_NORMS = (  # title, curves of the layers, curve of all parameters
    ("gradient norm", "grads_norm", "total_grads_norm"),
    ("parameter norm", "params_norm", "total_params_norm"),
    ("update norm / parameter norm", "update_to_weight", "total_update_to_weight"),
)
_OF_NORMS = tuple(title for title, _, _ in _NORMS)
_SHARPNESSES = (  # title, diagnostic
    ("sharpness", "sharpness"),
    ("sharpness in the metric of Adam", "adam_sharpness"),
)
# Have panels of their own.
_USUAL = ("layer_norms", "sharpness", "adam_sharpness", "noise_scale", "alpha")
# The order of the rows of a sweep, which has room for four to six of them.
_OF_SHARPNESS = tuple(title for title, _ in _SHARPNESSES)
_FIRST = ("loss", *_OF_SHARPNESS, "gradient norm", "noise scale", "alpha")
_LAST = ("learning rate", *_OF_NORMS[1:])

Rows = list[tuple[GroupResult, int]]  # a trial each: a group, and a row of the group


class _Curves(NamedTuple):
    """The curves of the trials of one setting."""

    trace: dict[str, Series]  # values f[trials, points]
    batch_size: int | None  # None: the problem has no data
    examples: dict[str, str]  # diagnostic -> those of which a sharpness is
    edge: tuple[str, float] | None = None  # of stability, see `edges.edge`


def of_run(title: str, won: Winner, plan: Plan) -> bytes:
    """Draws the panels of a run; see `panels`.

    Args:
      title: the title of the figure.
      won: the trials to draw: the seeds of the run.
      plan: of the run.

    Returns:
      A PNG.
    """
    found = panels(_curves(won.rows, plan), [one.name for one in plan.diagnostics])
    drawn, left = found[:MAX_PANELS], [one.title for one in found[MAX_PANELS:]]
    return dashboard(title, [Column("", tuple(drawn))], _note(left))


def of_sweep(title: str, done: list[GroupResult], plan: Plan) -> bytes:
    """Draws a column of panels for the best setting of each optimizer.

    With one optimizer there is a column for each of the three best settings; with more
    than three optimizers there are those of the three best ones.

    Args:
      title: what is trained and for how long.
      done: the groups of the search.
      plan: of a run with the settings of the command.

    Returns:
      A PNG.
    """
    settings = choose.setting_scores([one for of in done for one in of.scores])
    own = choose.by_optimizer(settings)
    by_score = lambda one: one.score  # noqa: E731
    ranked = sorted(settings, key=by_score)
    if len(own) > 1:
        ranked = sorted((min(of, key=by_score) for of in own.values()), key=by_score)
    chosen = ranked[:_MAX_COLUMNS]
    rows = {one.id: (of, k) for of in done for k, one in enumerate(of.trials)}
    measured = [one.name for one in plan.diagnostics]
    curves = [_curves([rows[of.trial.id] for of in one.trials], plan) for one in chosen]
    columns = [panels(one, measured) for one in curves]
    titles = _in_order([one.title for column in columns for one in column])
    room = MAX_PANELS // len(columns)
    shown, left = titles[:room], titles[room:]
    heads = [_head(one, is_named=len(own) > 1) for one in chosen]
    what = "the best setting of each optimizer"
    if len(own) == 1:
        what = f"the best {len(chosen)} of {len(settings)} settings"
    elif len(own) > len(chosen):
        what = f"the best setting of {len(chosen)} of {len(own)} optimizers"
    found = [_column(*pair, shown) for pair in zip(heads, columns, strict=True)]
    return dashboard(f"{title}: {what}", found, _note(left))


def panels(of: _Curves, measured: Sequence[str]) -> list[Panel]:
    """Returns the panels of the trials of one setting, the usual ones first.

    They are the loss, the learning rate, the norms of `layer_norms`, the sharpness,
    that in the metric of Adam, the noise scale and alpha; then each quantity of every
    other diagnostic, the first one of each diagnostic before the second ones. What was
    not measured has no panel.

    Args:
      of: the curves.
      measured: the names of the diagnostics.
    """
    trace = of.trace
    found = [_loss(trace)]
    if "learning_rate" in trace:
        found.append(Panel("learning rate", (_line("", trace["learning_rate"]),)))
    found += [_norms(trace, *names) for names in _NORMS]
    found += [_sharpness(of, *names) for names in _SHARPNESSES]
    found += [_noise_scale(of), _alpha(trace)]
    others = [_quantities(trace, one) for one in measured if one not in _USUAL]
    longest = max(map(len, others), default=0)
    found += [own[k] for k in range(longest) for own in others if k < len(own)]
    return [one for one in found if one is not None and one.lines]


def _curves(rows: Rows, plan: Plan) -> _Curves:
    """Returns the curves of trials of one setting, with an axis of trials."""
    (first, k), *_ = rows
    trace = {
        name: Series(
            np.asarray(series.steps),
            np.stack([np.asarray(of.found.trace[name].values[j]) for of, j in rows]),
        )
        for name, series in first.found.trace.items()
    }
    trial = first.trials[k]
    size = None
    if plan.batch_size is not None:
        size = trial.settings.batch_size or plan.batch_size
    examples = {name: _examples(plan, name) for _, name in _SHARPNESSES}
    return _Curves(trace, size, examples, _edge(plan, trial))


def _edge(plan: Plan, trial: Trial) -> tuple[str, float] | None:
    """Returns the edge of stability; there is none if the layers have own rates."""
    if plan.problem.rate_factors is not None:
        return None
    own = [dict(x.options) for x in plan.diagnostics if x.name == "adam_sharpness"]
    return edge(trial.optimizer, trial.numbers, own[0] if own else None)


def _examples(plan: Plan, name: str) -> str:
    """Returns the words for the examples of which a sharpness is measured."""
    if plan.problem.data is None:
        return "sharpness"
    found = [one.on for one in plan.diagnostics if one.name == name]
    if not found or found[0] == "batch":
        return "of the batch of the step"
    is_split = isinstance(found[0], str)
    return f"of the {found[0]} split" if is_split else f"of {found[0]:,} examples"


def _line(label: str, series: Series, kind: str = "value") -> Line:
    return Line(label, np.asarray(series.steps), np.asarray(series.values), kind)


def _loss(trace: dict[str, Series]) -> Panel | None:
    lines = []
    if "loss" in trace:
        lines.append(_line("training", _windows(trace["loss"])))
    if "validation_loss" in trace:
        lines.append(_line("validation", trace["validation_loss"]))
    return Panel("loss", tuple(lines))


def _windows(series: Series) -> Series:
    """Averages the values over equal windows: f[trials, windows]."""
    size = -(-len(series.steps) // _NUM_POINTS)
    count = len(series.steps) // max(size, 1) * size
    if not count:
        return series
    values = series.values[:, :count]
    return Series(
        series.steps[:count].reshape(-1, size).mean(axis=1),
        values.reshape(len(values), -1, size).mean(axis=2),
    )


def _norms(
    trace: dict[str, Series], title: str, layers: str, total: str
) -> Panel | None:
    lines = _layers(trace, f"layer_norms.{layers}")
    if f"layer_norms.{total}" in trace:
        lines += (_line("all", trace[f"layer_norms.{total}"], "total"),)
    return Panel(title, lines)


def _layers(trace: dict[str, Series], quantity: str) -> tuple[Line, ...]:
    """Returns a line for each layer of a quantity, or the only line that it has."""
    own = {}
    for name, series in trace.items():
        rest = name.removeprefix(quantity)
        is_place = rest.startswith(".") and rest[1:].isdecimal()
        if name == quantity or (rest != name and (rest[0] == "/" or is_place)):
            own[rest.lstrip("/.")] = series
    if len(own) == 1:  # the title of the panel names it
        return tuple(_line("", series) for series in own.values())
    return tuple(_line(name, series, "layer") for name, series in own.items())


def _sharpness(of: _Curves, title: str, name: str) -> Panel | None:
    """Returns a sharpness with the edge of stability, if its closed form is known."""
    if name not in of.trace:
        return None
    lines = [_line(of.examples[name], of.trace[name])]
    if "learning_rate" in of.trace and of.edge is not None and of.edge[0] == name:
        steps, rates = of.trace["learning_rate"]
        values = of.edge[1] / np.where(rates > 0, rates, np.nan)
        label = f"{of.edge[1]:.3g} / learning rate"
        lines.append(_line(label, Series(steps, values), "bound"))
    return Panel(title, tuple(lines))


def _noise_scale(of: _Curves) -> Panel | None:
    name = "noise_scale.noise_scale"
    if name not in of.trace:
        return None
    lines, size = [_line("", of.trace[name])], of.batch_size
    if size is not None:
        lines.append(_level(f"batch size {size:,}", of.trace[name], size))
    return Panel("noise scale", tuple(lines))


def _alpha(trace: dict[str, Series]) -> Panel | None:
    if "alpha.alpha" not in trace:
        return None
    series = trace["alpha.alpha"]
    levels = (
        _level("0: a step to the minimum", series, 0.0),
        _level("1: to the same height", series, 1.0),
    )
    return Panel("alpha", (_line("", series), *levels), is_linear=True)


def _level(label: str, series: Series, value: float) -> Line:
    return Line(label, series.steps, np.full((1, len(series.steps)), value), "bound")


def _quantities(trace: dict[str, Series], name: str) -> list[Panel]:
    """Returns a panel for each quantity of a diagnostic: `name.quantity/layer`."""
    own = [one for one in trace if one == name or one.startswith(f"{name}.")]
    quantities = dict.fromkeys(_quantity(one, name) for one in own)
    return [Panel(one, _layers(trace, one)) for one in quantities]


def _quantity(curve: str, name: str) -> str:
    """Returns the curve without its layer and without its place in an array."""
    head = curve.partition("/")[0]
    rest = head.removeprefix(name).lstrip(".")
    first, _, place = rest.rpartition(".")
    if rest.isdecimal():
        return name
    return f"{name}.{first}" if first and place.isdecimal() else head


def _in_order(titles: list[str]) -> list[str]:
    known = list(dict.fromkeys(titles))
    own = [one for one in known if one not in (*_FIRST, *_LAST)]
    return [one for one in (*_FIRST, *own, *_LAST) if one in known]


def _column(head: str, own: list[Panel], titles: list[str]) -> Column:
    known = {one.title: one for one in own}
    return Column(head, tuple(known.get(title) for title in titles))


def _head(one: SettingScore, is_named: bool) -> str:
    parts = [
        f"{names.words(name)} {value:.3g}"
        if choose.is_number(value)
        else f"{names.words(name)} {value}"
        for name, value in one.point.items()
        if name != "optimizer"
    ]
    name = str(one.point.get("optimizer", one.optimizer))
    said = ", ".join(parts)
    return f"{name}\n{said}" if is_named else said or name


def _note(left: list[str]) -> str:
    if not left:
        return ""
    named = ", ".join(left[:6]) + (", ..." if len(left) > 6 else "")
    return f"in the record and not drawn: {named}"
