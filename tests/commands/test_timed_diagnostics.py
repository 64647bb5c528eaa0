"""What diagnostics add is printed before the trials run."""

import pytest

FLAGS = (
    "--problem=digits_logistic",
    "--batch_size=32",
    "--noplot",
    "--diagnostics=[layer_norms]",
)
LINE = "diagnostics, {}, in % of the time of the steps: layer_norms every 10 steps,"


def said(typed, *flags):
    ended = typed("experiments.minimize", *FLAGS, *flags, "--workdir=here")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "num_rounds"),
    [((), 1), (("--seeds=2",), 1), (("--sweep=learning_rate=[0.1, 0.2]",), 2)],
)
def test_the_share_is_printed_once_in_each_round(typed, more, num_rounds):
    flags = ("--steps=200", *more)
    assert said(typed, *flags).count(LINE.format("counted")) == num_rounds
    again = said(typed, *flags)
    assert "is finished already" in again and "of the time of the steps" not in again


@pytest.mark.slow
def test_a_run_of_some_seconds_is_timed(typed):
    assert said(typed, "--steps=400_000").count(LINE.format("timed")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--sweep=learning_rate=[0.1, 0.2]",)])
def test_workers_train_and_the_share_is_counted(typed, more):
    flags = ("--steps=200", "--executor=processes", *more)
    assert LINE.format("counted") in said(typed, *flags)
