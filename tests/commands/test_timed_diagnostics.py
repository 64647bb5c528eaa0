"""--time_diagnostics: what diagnostics add is timed before the trials run."""

import pytest

FLAGS = (
    "--problem=digits_logistic",
    "--steps=200",
    "--batch_size=32",
    "--noplot",
    "--diagnostics=[layer_norms]",
    "--time_diagnostics",
)
LINE = "diagnostics, timed, in % of the time of the steps: layer_norms every 10 steps,"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "num_rounds"),
    [((), 1), (("--seeds=2",), 1), (("--sweep=learning_rate=[0.1, 0.2]",), 2)],
)
def test_the_timed_share_is_printed_in_each_round(typed, more, num_rounds):
    ended = typed("experiments.minimize", *FLAGS, *more, "--workdir=here")
    assert ended.returncode == 0, ended.stderr
    assert (ended.stdout + ended.stderr).count(LINE) == num_rounds
    again = typed("experiments.minimize", *FLAGS, *more, "--workdir=here")
    assert "is finished already" in again.stdout + again.stderr
    assert LINE not in again.stdout + again.stderr


def test_streamed_data_are_refused(typed):
    flags = ("--dataset=digits", "--epochs=1", "--stream", "--time_diagnostics")
    ended = typed("experiments.mnist", *flags)
    assert ended.returncode == 2
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith("diagnostics are not timed with streamed data")
