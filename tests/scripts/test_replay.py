"""Steps of a finished run or sweep computed again, to the same bits."""

import csv
import re

import jax.numpy as jnp
import numpy as np
import pytest

import gradjax
from gradjax import Refusal
from gradjax.commands.replay import program, replay
from gradjax.data import streaming
from gradjax.sweeps import replay as replays
from gradjax.types import Diagnostic, Sweep
from scripts import check_replay
from scripts import replay as script
from scripts.sweep import experiment_of

pytestmark = pytest.mark.optimized

WINDOW = (11, 17)


def trained(typed, *flags, workdir="r", steps=30):
    ended = typed(
        "experiments.minimize",
        f"--steps={steps}",
        f"--workdir={workdir}",
        "--noplot",
        *flags,
    )
    assert ended.returncode == 0, ended.stderr


def replayed(folder, trial=None, diagnostics="[]", steps=WINDOW):
    found = script.recorded(folder, trial)
    what = experiment_of(found.plan["settings"]["experiment"])
    return found, replay(what, found, steps, diagnostics)


@pytest.fixture
def digits(typed, tmp_path):
    """The folder of a finished run of 30 steps."""
    trained(typed, "--problem=digits_logistic", "--batch_size=16")
    return tmp_path / "r"


@pytest.mark.slow
def test_a_window_of_a_run_has_its_losses_bit_for_bit(digits):
    found, made = replayed(digits, diagnostics="[layer_norms, distances(every=3)]")
    assert made.changes == []
    assert made.num_compared == made.num_equal > 0
    assert made.trace["loss"].steps.tolist() == list(range(11, 18))
    recorded = dict(zip(found.loss.steps.tolist(), found.loss.values, strict=True))
    for step, value in zip(*made.trace["loss"], strict=True):
        assert recorded[step] == value
    norms = made.trace["layer_norms.total_grads_norm"]
    assert norms.steps[~np.isnan(norms.values)].tolist() == list(range(11, 18))
    far = made.trace["distances.from_start"]
    assert far.steps[~np.isnan(far.values)].tolist() == [11, 14, 17]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_streamed_replay_has_the_same_bits(digits, typed, workers):
    del digits
    flags = ("--stream", f"--stream_workers={workers}", "--examples=1")
    ended = typed("scripts.replay", "r", "--steps=11:17", *flags)
    assert ended.returncode == 0, ended.stderr
    assert "points of the recorded loss are equal in every bit" in ended.stdout


def test_a_replay_is_streamed_where_this_is_asked(digits):
    found = script.recorded(digits, None)
    what = experiment_of(found.plan["settings"]["experiment"])
    for asked in (Sweep(), Sweep(stream=True)):
        problem = program(what, found, asked).plan.problem
        assert streaming.is_streamed(problem) is asked.stream


def test_workers_without_a_stream_are_refused(digits, typed):
    del digits
    ended = typed("scripts.replay", "r", "--steps=11:17", "--stream_workers=1")
    assert ended.returncode == 2
    assert "nothing is streamed without --stream" in ended.stderr


@pytest.mark.slow
def test_the_examples_are_those_that_the_step_took(digits):
    found, made = replayed(digits, diagnostics="per_example_loss")
    curves = [made.trace[f"per_example_loss.{k}"].values for k in range(16)]
    np.testing.assert_allclose(
        np.mean(curves, axis=0), made.trace["loss"].values, rtol=1e-5
    )
    assert found.trial.seed == 0


@pytest.mark.slow
def test_the_named_examples_are_those_that_a_run_logs():
    def example(batch):
        return batch["number"]

    problem = gradjax.problem(
        lambda params, batch, _key: ((params * batch["number"]).mean(), {}),
        jnp.float32(0.0),
        {"number": np.arange(70, dtype=np.float32)},
    )
    program = gradjax.program(
        problem,
        "sgd",
        num_steps=20,
        batch_size=16,
        diagnostics=Diagnostic(example, every=1),
    )
    trace = gradjax.run(program, seed=3).trace
    for step in range(1, 21):  # four epochs end within a step
        logged = [trace[f"example.{k}"].values[step - 1] for k in range(16)]
        np.testing.assert_array_equal(script.indices(program, 3, step), logged)


def test_the_command_prints_draws_and_writes(digits, typed, tmp_path):
    ended = typed(
        "scripts.replay",
        "r",
        "--steps=11:17",
        "--diagnostics=[sharpness(every=3)]",
        "--examples=1",
        "--out=all.csv",
    )
    assert ended.returncode == 0, ended.stderr
    assert "points of the recorded loss are equal in every bit" in ended.stdout
    assert "the loss rose by" in ended.stdout
    assert len(list(tmp_path.glob("examples_*.png"))) == 1
    assert not list(digits.glob("examples_*.png"))
    text = (tmp_path / "all.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    steps = [int(row["step"]) for row in rows if row["name"] == "sharpness"]
    assert steps == [11, 14, 17]


@pytest.mark.slow
def test_lanes_of_a_sweep_have_their_losses_bit_for_bit(typed, tmp_path):
    trained(
        typed,
        "--problem=digits_mlp",
        "--batch_size=16",
        "--sweep=learning_rate=[0.01, 0.03, 0.1]",
        "--sweep=optimizer=[sgd, adam]",
        "--lane_width=2",
        "--fresh_seeds=0",
        steps=220,
    )
    ids = gradjax.frames(tmp_path / "r").trials.trial
    for k in range(0, len(ids), 2):
        steps = (60 + 30 * k, 71 + 30 * k)
        _, made = replayed(tmp_path / "r", k, "[sharpness]", steps)
        assert made.num_compared == made.num_equal > 0
        assert np.isfinite(made.trace["sharpness"].values[-1])


WRONG = [
    (["--steps=0:3"], "expected a window within 1:30"),
    (["--steps=20:31"], "expected a window within 1:30"),
    (["--steps=a:b"], "expected FIRST:LAST"),
    (["--steps=1:2", "--trial=7"], "but it has 1 trials"),
    (["--steps=1:2", "--diagnostics=[sharpnes]"], "did you mean 'sharpness'"),
    (["--steps=1:2", "--diagnostics=[sharpness(every=9)]"], "more than the 2 steps"),
]


def test_what_cannot_be_computed_again_is_one_line(digits, typed):
    for flags, said in WRONG:
        ended = typed("scripts.replay", "r", *flags)
        assert ended.returncode == 2
        assert said in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    ended = typed("scripts.replay", "nothing", "--steps=1:2")
    assert ended.returncode == 2 and len(ended.stderr.strip().splitlines()) == 1
    assert digits.is_dir()


def test_a_lesson_has_no_trials(tmp_path, typed):
    ended = typed("experiments.gradient", "--workdir=lesson", "--noplot")
    assert ended.returncode == 0, ended.stderr
    with pytest.raises(Refusal, match="is a lesson"):
        replays.recorded(tmp_path / "lesson", None)


@pytest.mark.slow
def test_random_windows_of_five_problems_have_their_losses_bit_for_bit(tmp_path):
    for one in check_replay.check(check_replay.CASES, 1, 0, tmp_path):
        assert one.same == one.windows == 1 and one.points > 0, one.case.name


@pytest.mark.slow
def test_the_examples_of_texts_are_printed(typed, tmp_path):
    check_replay.write_data(tmp_path)
    flags = ("--dataset=texts.csv", "--epochs=2", "--batch_size=8", "--noplot")
    ended = typed("experiments.text", "--workdir=r", "--model=bag(width=16)", *flags)
    assert ended.returncode == 0, ended.stderr
    ended = typed("scripts.replay", "r", "--steps=2:16", "--examples=1")
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"example \d+ +\d\.\d+  (good|bad|fine|poor) film", ended.stdout)
