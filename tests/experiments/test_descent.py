import json
import math
import sys

import jax
import numpy as np
import pytest

import gradjax
from experiments import descent
from gradjax import problems
from gradjax.optimizers import OPTIMIZERS
from gradjax.types import Options

PATIENCE = 4


def descended(optimizer, surface="booth", start=None, **given):
    """One descent, with a short patience."""
    settings = descent.Settings("descent", surface, patience=PATIENCE, **given)
    begin = start or problems.SURFACES[surface].start
    problem = problems.PROBLEMS[surface](begin)
    program = gradjax.program(
        problem, optimizer, settings.schedule, num_steps=settings.steps
    )
    return descent.descend(program, settings)


def test_it_stops_where_theory_says():
    # From (-6, -4) the minimum lies along the eigenvector of curvature 18, so that the
    # gradient is 18 sqrt(98) (1 - 18 rate)^k.
    rate, tolerance = 0.02, 1e-5
    seen, ending = descended(f"sgd({rate})", loss_tolerance=0.0, steps=1_500)
    ratio, first = 1.0 - 18.0 * rate, 18.0 * math.sqrt(98.0)
    below = math.ceil(math.log(1e-4 / first) / math.log(ratio))
    assert ending == (below + PATIENCE - 1, "gradient")
    steps = np.arange(ending.step + 1)
    np.testing.assert_allclose(seen.gradient_norm, first * ratio**steps, rtol=1e-5)
    np.testing.assert_allclose(seen.loss, 9.0 * 98.0 * ratio ** (2 * steps), rtol=1e-5)
    more = {"gradient_tolerance": tolerance, "loss_tolerance": 0.0}
    longer = descended(f"sgd({rate})", **more, steps=1_500)[1].step
    assert longer - ending.step == pytest.approx(math.log(0.1) / math.log(ratio), abs=1)


def test_a_step_too_long_diverges_and_the_walk_ends_before():
    seen, ending = descended("sgd(0.2)", steps=1_500)  # above 2 / 18
    assert ending.reason == "diverged"
    # The norm's squares overflow first: (18 sqrt(98) 2.6^k)^2.
    most = 0.5 * math.log(sys.float_info.max) - math.log(18.0 * math.sqrt(98.0))
    assert ending.step == math.ceil(most / math.log(2.6))
    assert len(seen.loss) == ending.step and np.isfinite(seen.loss).all()


def test_a_standstill_may_be_a_saddle_or_a_rate_of_zero():
    seen, ending = descended("sgd(0.1)", "saddle", (1.0, 0.0))
    assert ending.reason == "gradient"
    assert seen.loss[-1] == pytest.approx(0.0, abs=1e-8), "1/4 above the minima"
    assert descended("sgd(0.0)")[1] == (PATIENCE, "loss")


def test_it_runs_out_of_steps_across_blocks():
    seen, ending = descended("sgd(1e-3)", "rosenbrock", steps=1_234)
    assert ending == (1_234, "steps") and seen.params.shape == (1_235, 2)
    assert (np.diff(seen.loss) < 0.0).all(), "a small step against the gradient falls"


@pytest.mark.parametrize(
    "optimizer",
    [
        "noisy_sgd(1e-4)",
        "lookahead(sgd(1e-4))",
        pytest.param("lbfgs", marks=pytest.mark.slow),
        pytest.param("sam(momo)", marks=pytest.mark.slow),
    ],
)
def test_the_steps_are_those_of_a_run(optimizer):
    num_steps = 13
    none = {"gradient_tolerance": 0.0, "loss_tolerance": 0.0}
    seen, ending = descended(optimizer, "rosenbrock", **none, steps=num_steps)
    program = gradjax.program(
        problems.PROBLEMS["rosenbrock"](), optimizer, num_steps=num_steps
    )
    with jax.enable_x64(True):
        result = gradjax.run(program)
    assert ending == (num_steps, "steps")
    np.testing.assert_allclose(seen.params[-1], result.params, rtol=1e-9)
    assert seen.num_gradients[:num_steps].sum() == result.num_gradients


@pytest.mark.slow
def test_keeps_what_it_found_and_shows_it_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    chosen = ("sgd(0.05)", "schedule_free_adamw(0.1)", "sgd(1.0)")
    settings = descent.Settings("descent", "booth", "0, 0", chosen, steps=400)
    descent.run(settings, Options())
    said = " ".join(capsys.readouterr().out.split())
    (folder,) = (tmp_path / "runs" / "descent").iterdir()
    run = gradjax.load(folder)
    found = run.summary["descents"]
    reasons = [found[name]["reason"] for name in chosen]
    assert reasons == ["gradient", "steps", "diverged"]
    assert "diverged at step" in said and run.summary["sentence"] in said
    assert run.summary["start"] == [0.0, 0.0]
    x, steps = run.trace["x"].values, run.trace["x"].steps
    assert x.shape == (3, len(steps)) and (x[:, 0] == 0.0).all() and steps[-1] == 400
    assert x[0][np.isfinite(x[0])][-1] == pytest.approx(1.0, abs=1e-4)
    assert json.loads((folder / "summary.json").read_text())["status"] == "finished"
    assert (folder / "picture.png").stat().st_size > 10_000
    assert (folder / "animation.gif").stat().st_size < 1_500_000
    descent.run(settings, Options())
    assert "is finished already" in capsys.readouterr().out


REFUSED = {
    "--surface=rosenbrok": "'rosenbrock'",
    "--start=1": "such as '-1.2, 1.0'",
    "--start=1, 2, 3": "two numbers",
    "--start=0, x": "two numbers",
    "--start=0, 3.5": "y=3.5: expected a number from -1 to 3",
    "--start=nan, 0": "x=nan",
    "--optimizer=adma": "'adam'",
    "--optimizer=dpsgd(l2_norm_clip=1.0, noise_multiplier=1.0)": "no data",
    "--optimizer=sgd(-1.0)": "at least 0",
    "--schedule=cosin": "'cosine'",
    "--steps=0": "from 1 to 100000",
    "--gradient_tolerance=-1": "from 0 to",
    "--loss_tolerance=nan": "from 0 to",
    "--patience=0": "from 1",
    "--problem=booth": "problem",
}
SEVERAL = {
    "given twice": ["sgd", "sgd"],
    "9 of them; at most 8": sorted(OPTIMIZERS)[:9],
}


@pytest.mark.parametrize("flag", [*REFUSED, *SEVERAL])
def test_refuses_in_one_line_and_writes_nothing(flag, refused):
    given = [f"--optimizer={name}" for name in SEVERAL.get(flag, [])] or [flag]
    assert REFUSED.get(flag, flag) in refused(descent.LESSON, *given)


@pytest.mark.slow
def test_a_rate_of_zero_is_said_by_its_optimizer(typed):
    flags = ("--optimizer=sgd(0.0)", "--optimizer=sgd(0.01)", "--noplot")
    done = typed("experiments.descent", *flags)
    assert done.returncode == 0, done.stderr
    said = "learning rate 0: the parameters will stay where they start"
    lines = [line for line in done.stdout.splitlines() if "learning rate 0" in line]
    assert lines == [f"sgd(0.0): {said}"]
