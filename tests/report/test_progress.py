import pytest

from gradjax.report import announce, progress


def _steps(num_steps, eval_every, capsys):
    show = progress._line(None)
    for step in range(eval_every, num_steps + 1, eval_every):
        show(step, num_steps, {"loss": 0.5})
    found = capsys.readouterr().out.splitlines()
    return [int(line.split("step ")[1].partition("/")[0]) for line in found]


def test_few_evaluations_have_a_line_each(capsys):
    assert _steps(50, 10, capsys) == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("num_evaluations", [13, 30, 100, 1_001])
def test_many_evaluations_fit_on_a_screen(num_evaluations, capsys):
    found = _steps(num_evaluations * 10, 10, capsys)
    assert found[0] == 10
    assert found[-1] == num_evaluations * 10
    assert len(found) <= 14


def test_rounds_have_words():
    assert announce.words_of("search-0") == "search"
    assert announce.words_of("search-2") == "search, round 3"
    assert announce.words_of("fresh-0") == "fresh seeds"
    assert announce.words_of("run-0") == "run"
