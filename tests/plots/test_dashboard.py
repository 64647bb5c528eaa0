"""The dashboard: which panels a record has, and how they are drawn."""

import inspect
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gradjax.diagnostics.warm import adam_sharpness
from gradjax.errors import Refusal
from gradjax.plots import dashboard as plot
from gradjax.report import dashboard, edges
from gradjax.report.edges import edge
from gradjax.types import Diagnostic, Series

STEPS = np.arange(1, 101)
BARE = SimpleNamespace(optimizer="sgd", numbers={})


def _series(value, num_trials=1, steps=STEPS):
    return Series(steps, np.full((num_trials, len(steps)), value, np.float32))


def _trace(**more):
    norms = ("grads_norm", "params_norm", "update_to_weight")
    layers = {
        f"layer_norms.{name}/{leaf}": _series(0.5) for name in norms for leaf in "abc"
    }
    totals = {f"layer_norms.total_{name}": _series(0.9) for name in norms}
    usual = {
        "loss": _series(2.0),
        "accuracy": _series(0.5),
        "learning_rate": _series(0.1),
        "validation_loss": _series(2.1, steps=STEPS[9::10]),
        "sharpness": _series(19.0, steps=STEPS[::10]),
        "sharpness.residual": _series(0.1, steps=STEPS[::10]),
        "noise_scale.noise_scale": _series(40.0),
        "noise_scale.trace": _series(4.0),
        "alpha.alpha": _series(-0.5),
    }
    return usual | layers | totals | more


def _panels(trace, measured=("sharpness", "layer_norms"), trial=BARE, size=32):
    said = dict.fromkeys(("sharpness", "adam_sharpness"), "of the batch of the step")
    known = edge(trial.optimizer, trial.numbers)
    of = dashboard._Curves(trace, size, said, known)
    return {one.title: one for one in dashboard.panels(of, measured)}


def _pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_the_usual_panels_come_first_and_one_s_own_follow():
    own = {"mine.a/x": _series(1.0), "mine.a/y": _series(1.0), "mine.b": _series(1.0)}
    found = _panels(_trace(**own, yours=_series(3.0)), ("layer_norms", "mine", "yours"))
    assert list(found) == [
        "loss",
        "learning rate",
        "gradient norm",
        "parameter norm",
        "update norm / parameter norm",
        "sharpness",
        "noise scale",
        "alpha",
        "mine.a",
        "yours",
        "mine.b",
    ]
    assert [line.label for line in found["gradient norm"].lines] == [*"abc", "all"]
    assert [line.label for line in found["mine.a"].lines] == ["x", "y"]
    assert [line.label for line in found["noise scale"].lines] == ["", "batch size 32"]


def test_what_was_not_measured_has_no_panel():
    trace = {"loss": _series(1.0), "accuracy": _series(0.5)}
    assert list(_panels(trace, ("mine",))) == ["loss"]
    panel = _panels(_trace(), size=None)["noise scale"]
    assert len(panel.lines) == 1  # without data there is no batch


def test_an_array_is_one_panel_and_the_other_values_are_not_in_it():
    trace = {"loss": _series(1.0)}
    trace |= {f"mine.{k}": _series(1.0) for k in range(3)}
    trace |= {f"yours.q/x.{k}": _series(1.0) for k in range(2)}
    trace |= {"his": _series(1.0), "his.residual": _series(0.0)}
    found = _panels(trace, ("mine", "yours", "his"))
    assert list(found) == ["loss", "mine", "yours.q", "his", "his.residual"]
    assert [line.label for line in found["mine"].lines] == ["0", "1", "2"]
    assert [line.label for line in found["yours.q"].lines] == ["x.0", "x.1"]
    assert len(found["his"].lines) == 1


def test_the_edge_of_gradient_descent_is_that_of_the_rate_at_each_step():
    rates = np.linspace(0.1, 0.0, 100)[None]  # ends at 0, where there is no edge
    panel = _panels(_trace(learning_rate=Series(STEPS, rates)))["sharpness"]
    (_, edge) = panel.lines
    assert (edge.label, edge.kind) == ("2 / learning rate", "bound")
    np.testing.assert_allclose(edge.values[0, :-1], 2 / rates[0, :-1])
    assert np.isnan(edge.values[0, -1])


@pytest.mark.parametrize(
    ("optimizer", "numbers", "expected"),
    [
        ("sgd", {}, 2.0),
        ("sgd(0.1)", {}, 2.0),
        ("sgd(momentum=0.0)", {}, 2.0),
        ("sgd(momentum=0.9)", {}, 3.8),
        ("sgd(0.1, 0.9)", {}, 3.8),
        ("sgd", {"optimizer.momentum": 0.9}, 3.8),
        ("sgd(momentum=0.9)", {"optimizer.momentum": 0.0}, 2.0),
        ("sgd(momentum=0.9, nesterov=True)", {}, 3.8 / 2.8),
        ("sgd(momentum=linear(peak=0.9))", {}, None),
        ("chain(clip_by_global_norm(1.0), sgd)", {}, None),
        ("lookahead(sgd)", {}, None),
        ("rmsprop", {}, None),
        ("adam", {}, None),
    ],
)
def test_the_edge_of_gradient_descent_is_its_closed_form(optimizer, numbers, expected):
    trial = SimpleNamespace(optimizer=optimizer, numbers=numbers)
    _, *edges = _panels(_trace(), trial=trial)["sharpness"].lines
    assert len(edges) == (expected is not None)
    if expected is not None:
        assert edges[0].label == f"{expected:.3g} / learning rate"
        assert edge(optimizer, numbers)[1] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("adam", 38.0),
        ("adam(b1=0.9, b2=0.999)", 38.0),
        ("adam(b1=0.5)", None),
        ("adam(nesterov=True)", None),
        ("adam(eps=0.1)", None),
        ("adam(eps_root=0.1)", None),
        ("adam(b2=0.5)", None),
        ("adamw", None),
        ("sgd", None),
    ],
)
def test_the_edge_of_adam_is_in_its_own_metric(optimizer, expected):
    trial = SimpleNamespace(optimizer=optimizer, numbers={})
    trace = _trace(adam_sharpness=_series(9.0))
    panel = _panels(trace, ("adam_sharpness",), trial=trial)
    _, *edges = panel["sharpness in the metric of Adam"].lines
    assert [one.label for one in edges] == (
        [] if expected is None else [f"{expected:g} / learning rate"]
    )
    assert "adam_sharpness" not in panel, "it has one panel"


def test_the_diagnostic_has_the_numbers_of_the_optimizer():
    assert edge("adam(b1=0.5)", {}, {"b1": 0.5}) == ("adam_sharpness", 6.0)
    assert edge("adam(0.1, 0.8)", {}, {"b1": 0.8})[1] == pytest.approx(18.0)
    assert edge("adam", {}, {"eps": 1e-3}) is None


def test_the_usual_numbers_are_those_of_the_diagnostic():
    known = inspect.signature(adam_sharpness).parameters
    assert {name: known[name].default for name in edges._USUAL} == edges._USUAL


def test_layers_with_rates_of_their_own_have_no_edge():
    trial = SimpleNamespace(optimizer="sgd", numbers={})
    for factors, expected in ((None, ("sharpness", 2.0)), (object(), None)):
        problem = SimpleNamespace(rate_factors=factors)
        plan = SimpleNamespace(problem=problem, diagnostics=())
        assert dashboard._edge(plan, trial) == expected


@pytest.mark.parametrize(
    ("on", "data", "expected"),
    [
        ("batch", True, "of the batch of the step"),
        (500, True, "of 500 examples"),
        ("train", True, "of the train split"),
        ("batch", False, "sharpness"),
    ],
)
def test_the_sharpness_says_of_which_examples_it_is(on, data, expected):
    one = Diagnostic(lambda: 0.0, on=on, name="sharpness")
    problem = SimpleNamespace(data=object() if data else None)
    plan = SimpleNamespace(problem=problem, diagnostics=(one,))
    assert dashboard._examples(plan, "sharpness") == expected


def test_a_training_loss_is_averaged_over_windows_and_ends_where_it_diverged():
    values = np.arange(250, dtype=float)[None].repeat(2, axis=0)
    values[1, 100:] = np.nan
    steps, means = dashboard._windows(Series(np.arange(1, 251), values))
    np.testing.assert_allclose(steps[:2], [2.0, 5.0])
    np.testing.assert_allclose(means[0, :2], [1.0, 4.0])
    assert means.shape == (2, 83) and np.isnan(means[1, 34:]).all()
    one = Series(np.arange(1, 4), np.ones((1, 3)))
    assert dashboard._windows(one).values.tolist() == [[1.0, 1.0, 1.0]]


def _panel(*values, is_linear=False):
    lines = tuple(plot.Line("", STEPS, np.full((1, 100), value)) for value in values)
    return plot.Panel("p", lines, is_linear)


def test_the_axis_is_logarithmic_where_positive_values_span_much():
    assert plot.is_logarithmic([_panel(1.0, 21.0)])
    assert plot.is_logarithmic([_panel(1.0), _panel(21.0)])
    assert not plot.is_logarithmic([_panel(1.0, 19.0)])
    assert not plot.is_logarithmic([_panel(0.0, 21.0)])
    assert not plot.is_logarithmic([_panel(1.0, 21.0, is_linear=True)])
    assert not plot.is_logarithmic([_panel(np.nan, np.inf)])


def test_rounding_errors_do_not_fill_a_panel():
    assert plot.flat_limits([_panel(18.0, 18.000002)]) == pytest.approx((16.2, 19.8))
    assert plot.flat_limits([_panel(0.0)]) == (-1.0, 1.0)
    assert plot.flat_limits([_panel(1.0, 1.1)]) is None
    assert plot.flat_limits([_panel(np.nan)]) is None


@pytest.mark.parametrize("count", [0, 13])
def test_too_many_panels_are_an_error(count):
    with pytest.raises(ValueError, match=f"{count} panels"):
        plot.dashboard("t", [plot.Column("", (_panel(1.0),) * count)])


def test_a_run_with_a_text_that_is_no_formula_is_drawn():
    column = plot.Column("", (_panel(1.0, np.nan)._replace(title="_a $b_{"),))
    image = _pixels(plot.dashboard("rule $x$_{", [column], "not drawn: $y_{"))
    assert image.shape[1] == 600


@pytest.mark.slow
def test_the_bound_is_dashed_and_a_column_may_lack_a_curve():
    from matplotlib.figure import Figure

    bound = plot.Line("2 / learning rate", STEPS, np.full((1, 100), 2.0), "bound")
    with_bound = _panel(1.0)._replace(lines=(*_panel(1.0).lines, bound))
    columns = [
        plot.Column("sgd", (_panel(1.0), with_bound)),
        plot.Column("adam", (_panel(3.0), None)),
    ]
    grid = Figure().subplots(2, 2, sharey="row")
    plot._draw_columns(grid, columns)
    styles = [line.get_linestyle() for line in grid[1, 0].lines]
    assert styles == ["-", "--"] and not grid[1, 1].lines
    said = [text.get_text() for axes in grid.ravel() for text in axes.texts]
    assert said == ["2 / learning rate", "not measured"]
    assert [axes.get_title() for axes in grid[0]] == ["sgd", "adam"]
    assert _pixels(plot.dashboard("t", columns)).shape[:2] == (660, 860)


@pytest.mark.slow
def test_many_layers_have_a_colour_scale_and_two_names():
    from matplotlib.figure import Figure

    lines = [
        plot.Line(f"layer {k}", STEPS, np.full((2, 100), 1.0 + k), "layer")
        for k in range(20)
    ]
    axes = Figure().subplots()
    plot._draw(axes, plot.Panel("norm", tuple(lines)), is_log=False)
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named == ["layer 0", "layer 19"]
    assert len({line.get_color() for line in axes.lines}) == 20


FLAGS = ("--problem=booth", "--steps=20", "--workdir=mine", "--diagnostics=[sharpness]")


@pytest.mark.slow
def test_a_finished_run_gets_its_dashboard_without_training(typed, tmp_path):
    png = tmp_path / "mine" / "dashboard.png"
    first = typed("experiments.minimize", *FLAGS, "--optimizer=sgd")
    assert first.returncode == 0 and not png.exists()
    again = typed("experiments.minimize", *FLAGS, "--optimizer=sgd", "--plot=dashboard")
    assert again.returncode == 0 and "finished already" in again.stdout
    assert png.read_bytes()[:4] == b"\x89PNG"
    over = typed("experiments.minimize", *FLAGS, "--optimizer=sgd", "--overwrite")
    assert over.returncode == 0 and not png.exists()


@pytest.mark.slow
def test_a_sweep_has_a_column_per_optimizer_or_per_setting(typed, monkeypatch):
    seen = []
    monkeypatch.setattr(
        dashboard, "dashboard", lambda *args: seen.append(args) or b"\x89PNG"
    )
    more = ("--sweep=learning_rate=[0.01, 0.02]", "--fresh_seeds=0", "--plot=dashboard")
    names = [f"adam(b1={k / 10})" for k in range(4)]
    for own in (["sgd"], names):
        swept = f"--sweep=optimizer={own}".replace("'", "")
        done = typed("experiments.minimize", *FLAGS, "--overwrite", swept, *more)
        assert (done.returncode, done.stderr) == (0, "")
    (one_title, one, _), (title, several, note) = seen
    assert one_title.endswith("the best 2 of 2 settings")
    assert {column.title for column in one} == {
        "learning rate 0.01",
        "learning rate 0.02",
    }
    assert title.endswith("the best setting of 3 of 4 optimizers")
    assert all(column.title.startswith("adam(b1=0.") for column in several)
    assert [panel.title for panel in several[0].panels][:2] == ["loss", "sharpness"]
    assert sum(len(column.panels) for column in several) <= plot.MAX_PANELS
    assert note == ""


@pytest.mark.slow
def test_a_dashboard_that_fails_is_one_line_and_the_curves_are_drawn(
    typed, tmp_path, monkeypatch
):
    def broken(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr(dashboard, "of_run", broken)
    done = typed("experiments.minimize", *FLAGS, "--plot=dashboard")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("no picture is drawn (RuntimeError: no font)") == 1
    assert (tmp_path / "mine" / "curves.png").is_file()
    assert (tmp_path / "mine" / "summary.json").is_file()
    assert not (tmp_path / "mine" / "dashboard.png").exists()


def test_plot_is_a_boolean_or_a_word():
    from gradjax.commands import flags, parsing

    groups = {"Output": [flags._PLOT]}

    def read(*given):
        return parsing.parse(["x", *given], groups)["plot"]

    assert read() is True and read("--plot") is True and read("--noplot") is False
    assert read("--plot=false") is False and read("--plot=True") is True
    assert read("--plot=dashboard") == "dashboard"
    with pytest.raises(Refusal, match="expected one of true, false, dashboard"):
        read("--plot=dashbord")


def test_plot_of_a_call_is_checked_before_anything_is_trained():
    from gradjax.commands import drawing

    drawing.check(True), drawing.check(False), drawing.check("dashboard")
    with pytest.raises(Refusal, match="--plot='curves'"):
        drawing.check("curves")
