import io

import numpy as np
import pytest
from PIL import Image

from gradjax import Refusal, problems
from gradjax.plots.lr_range import Curve, Marks
from gradjax.plots.lr_range import lr_range as draw
from gradjax.tuning.lr_range import lr_range
from scripts import lr_range as script

QUADRATIC = "quadratic(dim=2, condition=1)"
RATIO = 1e7 ** (1 / 199)
GREEN, RED, BLUE = (0x00, 0x9E, 0x73), (0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)


@pytest.fixture
def ran(capsys, monkeypatch, tmp_path):
    """Runs the script in tmp_path: its exit code, its lines and those on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            code = script.main(list(arguments))
        except SystemExit as stopped:
            code = stopped.code
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    return run


def test_the_rates_of_the_program_are_those_of_the_test():
    found = lr_range(problems.make(QUADRATIC), "sgd", 1e-3, 1.0, 50, range(2))
    start = found.losses[:, 0]
    factors = np.cumprod((1.0 - found.rates[:-1]) ** 2)
    np.testing.assert_allclose(found.losses[:, 1:], start[:, None] * factors, 1e-3)
    assert found.seeds == (0, 1) and found.ratios == {}


def test_gradient_descent_on_a_quadratic_diverges_within_one_step_of_2_over_l(ran):
    code, lines, errors = ran(f"--problem={QUADRATIC}", "--optimizer=sgd")
    assert (code, errors) == (0, [])
    assert lines[1].split() == [
        *("seed", "suggestion", "diverges", "from", "smoothed", "loss", "steps")
    ]
    divergences = [float(line.split()[2]) for line in lines[2:7]]
    assert all(2.0 < one <= 2.01 * RATIO for one in divergences)
    assert lines[-3].startswith("suggested learning rate: ")
    assert lines[-2].startswith("the loss diverges from: 2.15, the median; 5 seeds")
    assert lines[-1] == "lr_range.png shows it"
    with Image.open("lr_range.png") as image:
        assert image.format == "PNG"


def test_quiet_prints_the_number_alone_and_draws_nothing(ran, tmp_path):
    flags = (f"--problem={QUADRATIC}", "--optimizer=sgd", "--seeds=2", "--quiet")
    code, lines, errors = ran(*flags)
    assert (code, len(lines), errors) == (0, 1, [])
    assert 0.01 < float(lines[0]) < 2.0
    assert not list(tmp_path.iterdir())
    assert ran(*flags, "--out=a.png")[1] == lines
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_seeds_that_diverge_at_once_are_said_plainly(ran):
    flags = (f"--problem={QUADRATIC}", "--optimizer=sgd", "--low=100", "--high=1e4")
    code, lines, errors = ran(*flags, "--seeds=3")
    assert (code, errors) == (1, [])
    said = "no suggestion: the loss of 3 of 3 seeds diverges in the first steps"
    assert lines[-3] == f"{said}: give a smaller --low"
    assert lines[2].split()[1:4] == ["no", "fall", "100"]
    code, lines, errors = ran(*flags, "--quiet", "--seeds=3")
    assert (code, lines, errors) == (
        *(1, []),
        [f"lr_range: {said}: give a smaller --low"],
    )


@pytest.mark.slow
def test_a_loss_that_never_falls_or_diverges_is_said_plainly(ran):
    flags = ("--problem=wine_mlp", "--optimizer=sgd", "--high=1e-5")
    code, lines, _ = ran(*flags, "--seeds=2", "--batch_size=16", "--steps=60")
    assert code == 1 and "batches of 16 examples" in lines[0]
    said = "no suggestion: the loss of 2 of 2 seeds never falls by more than its noise"
    assert lines[-3] == f"{said}: give a larger --high"
    assert lines[-2].startswith("no seed diverges up to a learning rate of 1e-05")


def test_a_problem_without_gradients_is_noted_in_one_line(ran):
    flags = ("--problem=saddle(start=(0.0, 0.0))", "--optimizer=sgd", "--seeds=1")
    code, lines, errors = ran(*flags)
    assert code == 1 and len(errors) == 1
    assert errors[0].startswith("lr_range: nothing was learned")
    assert lines[-3].startswith("no suggestion: the loss never falls")


@pytest.mark.slow
def test_multi_steps_tries_one_rate_in_each_update():
    problem = problems.make("least_squares")
    found = lr_range(problem, "multi_steps(sgd, every=3)", num_steps=40, batch_size=8)
    assert found.losses.shape == (5, 40)
    assert found.divergence is not None and found.divergence.median < 10.0
    once = lr_range(problem, "sgd", num_steps=40, batch_size=24)
    np.testing.assert_allclose(found.losses[:, :25], once.losses[:, :25], rtol=1e-4)


@pytest.mark.slow
def test_several_learning_rates_keep_their_ratio():
    optimizer = "partition(matrices=sgd(0.2), others=adam(0.02))"
    found = lr_range(problems.make("wine_mlp"), optimizer, num_steps=20, seeds=[0])
    assert list(found.ratios.values()) == pytest.approx([0.1])


@pytest.mark.slow
def test_the_test_split_is_not_read():
    def take(_arrays, _indices):
        raise AssertionError("the test split was read")

    problem = problems.make("wine_mlp")
    assert problem.data is not None
    unread = problem.data._replace(test=problem.data.train._replace(take=take))
    problem = problem._replace(data=unread)
    found = lr_range(problem, "sgd", num_steps=20, seeds=[0], batch_size=16)
    assert np.isfinite(found.losses[0, 0])


def test_suites_give_the_batch_size():
    flags = script._parser().parse_args(["--problem=wine_mlp", "--optimizer=sgd"])
    assert script._checked(flags).batch_size == 32
    flags = script._parser().parse_args(["--problem=wine", "--optimizer=sgd"])
    assert script._checked(flags).batch_size is None


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--low=0"], "argument --low: '0': must be a number from 1e-15 to 1e+15"),
        (["--high=nan"], "argument --high: 'nan': must be a number from"),
        (["--low=1", "--high=1"], "--low=1 is not below --high=1"),
        (["--steps=19"], "argument --steps: '19': must be from 20 to 100000"),
        (["--seeds=0"], "argument --seeds: '0': must be from 1 to 1000"),
        (["--out=a.jpg"], "--out=a.jpg: expected a file whose name ends in .png"),
        (["--out=no/such/a.png"], "--out=no/such/a.png: no/such is not a folder"),
        (["--optimizer=adma"], "did you mean 'adam'"),
        (["--optimizer=lbfgs"], "lbfgs has no learning rate that a test could vary"),
        (["--problem=ridg"], "did you mean 'ridge'"),
        (["--batch_size=9999"], "must be between 1 and the"),
        (["--batch_size=0"], "argument --batch_size: '0': must be from 1"),
        (["--nope"], "unrecognized arguments: --nope"),
        (["nope"], "unrecognized arguments: nope"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(ran, flags, line):
    code, lines, errors = ran("--problem=ridge", "--optimizer=sgd", *flags)
    assert (code, lines, len(errors)) == (2, [], 1)
    assert errors[0].startswith("lr_range: ") and line in errors[0]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"low": 0.0}, "low=0.0: expected a number from 1e-15 to 1e+15"),
        ({"high": "1"}, "high='1': expected a number"),
        ({"low": 2.0, "high": 1.0}, "low=2 is not below high=1"),
        ({"num_steps": 10}, "num_steps=10: expected a whole number from 20"),
        ({"num_steps": 50.0}, "num_steps=50.0: expected a whole number from 20"),
        ({"seeds": []}, "seeds is empty"),
        (
            {"optimizer": "partition(matrices=sgd(0.0), others=adam(0.1))"},
            "learning_rate is 0, so the other learning rates have no ratio",
        ),
    ],
)
def test_the_function_refuses_wrong_arguments(given, line):
    with pytest.raises(Refusal, match=line.replace("+", r"\+")):
        lr_range(problems.make("ridge"), **({"optimizer": "sgd"} | given))


def drawn(curves, marks):
    rates = np.geomspace(1e-6, 10.0, 100)
    png = draw("title_$", rates, curves, marks)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def columns_of(image, color):
    """The columns of the upper half, without the legend, with many such pixels."""
    upper = image[: image.shape[0] // 2]
    return np.flatnonzero((np.abs(upper - color).sum(axis=2) < 60).sum(axis=0) > 120)


def test_the_picture_marks_the_suggestion_left_of_the_divergence():
    losses = np.full(100, 2.0)
    curve = Curve(losses, losses, 1e-2, 1.0)
    marks = Marks((1e-2, 5e-3, 2e-2), (1.0, 0.9, 1.1))
    image = drawn([curve], marks)
    green, red = columns_of(image, GREEN), columns_of(image, RED)
    assert green.size and red.size and green.max() < red.min()
    bare = drawn([curve._replace(suggestion=None, divergence=None)], Marks(None, None))
    assert not columns_of(bare, GREEN).size and not columns_of(bare, RED).size


@pytest.mark.slow
def test_the_picture_is_drawn_of_a_seed_that_diverged_at_once():
    gone = Curve(np.full(100, np.nan), np.full(100, np.nan), None, 1e-6)
    huge = Curve(np.geomspace(1.0, 1e30, 100), np.geomspace(1.0, 1e30, 100), 1e-3, 1.0)
    for curves in ([gone], [gone, huge]):
        assert drawn(curves, Marks(None, None)).std() > 0.0
