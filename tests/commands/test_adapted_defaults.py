"""A default that the data do not allow is adapted and said; what is given is not."""

import numpy as np
import pytest

from experiments import language, mnist, recommend, text, translation
from gradjax.commands import experiment, job
from gradjax.data import sizes, tokens
from gradjax.errors import Refusal
from gradjax.types import Options, Splits, Sweep


def put(folder, name, lines):
    path = folder / name
    path.write_text("\n".join(lines))
    return str(path)


def small(folder, name):
    """Returns an experiment, its flags for a small file, and the lines it must say."""
    match name:
        case "text":
            lines = [f"it is {k}\t{'ab'[k % 2]}" for k in range(60)]
            path = put(folder, "my.tsv", lines)
            said = [
                "my.tsv: TSV without a header, text in column 1, label in column 2,"
            ]
            said += ["batch size 16, because there are 42 training texts"]
            return text.EXPERIMENT, {"dataset": path, "model": "bag(width=4)"}, said
        case "recommend":
            lines = [f"u{k % 30},i{k % 17},{k % 5}" for k in range(300)]
            path = put(folder, "my.csv", lines)
            said = ["my.csv: CSV without a header, user in column 1, item in column 2,"]
            said += ["batch size 64, because there are 240 training ratings"]
            return recommend.EXPERIMENT, {"dataset": path}, said
        case "translation":
            path = put(folder, "my.tsv", [f"the {k}\tdie {k}" for k in range(60)])
            model = "transformer(width=8, depth=1, heads=2)"
            said = [
                "my.tsv: TSV without a header, source in column 1, target in column"
            ]
            said += ["batch size 1, because there are 3 training rows of several pairs"]
            return translation.EXPERIMENT, {"dataset": path, "model": model}, said
        case "language":
            path = put(folder, "my.txt", ["it is said so. "] * 94)
            flags = {"dataset": path, "model": "gru(width=4)"}
            said = ["batch size 4, because there are 11 training windows"]
            return language.EXPERIMENT, flags, said
    path = put(folder, "my.txt", ["0123456789"] * 9)
    said = ["window 88 characters, because the train split is as short"]
    said += ["batch size 1, because there is one example to train on"]
    return language.EXPERIMENT, {"dataset": path, "model": "gru(width=4)"}, said


SMALL = ("text", "recommend", "translation", "language", "short")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.slow
def test_small_data_get_a_batch_size_that_fits(tmp_path, name):
    what, flags, expected = small(tmp_path, name)
    settings = experiment.settings_of(what, **flags)
    problem = what.problem(settings)
    said = experiment.notes(what, problem, settings)
    assert len(said) == len(expected)
    for line, start in zip(said, expected, strict=True):
        assert line.startswith(start)
    program = experiment.program_of(what, problem, settings._replace(steps=2))
    assert f"batch size {program.plan.batch_size}," in said[-1]
    given = settings._replace(steps=2, batch_size=what.batch_size)
    with pytest.raises(Refusal, match=f"batch_size={what.batch_size}: must be between"):
        experiment.program_of(what, problem, given)
    if name == "short":
        asked = settings._replace(own=settings.own + (("window", 128),))
        with pytest.raises(Refusal, match="window=128: expected from 1 to the 88"):
            what.problem(asked)


@pytest.mark.slow
def test_a_sweep_fits_each_of_its_problems(tmp_path):
    what, flags, _ = small(tmp_path, "language")
    settings = experiment.settings_of(what, **flags, steps=2)
    options = Options(workdir=str(tmp_path / "swept"))
    asked = Sweep(sweep=("window=[16, 400]",))
    found = job.job_of(what, settings, asked, options, may_restart=False)
    assert found.notes == ["batch size 4, because there are 11 training windows"]
    assert found.plan["settings"]["batch_size"] == 4
    sizes = []
    for window in (16, 400):
        own = tuple((dict(found.settings.own) | {"window": window}).items())
        group = found.settings._replace(own=own)
        sizes.append(found.lanes(group).program.plan.batch_size)
    assert sizes == [32, 2], "of 82 windows, and of 4"


def test_the_largest_power_of_two_in_half_of_the_examples():
    def chosen(num_examples):
        source = type("S", (), {"num_examples": num_examples})
        problem = type("P", (), {"data": Splits(source)})
        given = experiment.settings_of(mnist.EXPERIMENT)
        return experiment.with_batch_size(mnist.EXPERIMENT, problem, given).batch_size

    found = {n: chosen(n) for n in (1, 2, 3, 4, 5, 15, 31, 32, 33)}
    assert found == {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 15: 4, 31: 8, 32: 32, 33: 32}


def test_the_lesson_on_batch_sizes_takes_those_that_there_are():
    assert sizes.usual(1000) == ("8", "32", "128", "full")
    assert sizes.usual(128) == ("1", "8", "32", "full")
    assert sizes.usual(23) == ("1", "8", "full")


def test_a_vocabulary_has_all_characters_where_none_was_given():
    many = ["".join(chr(0x4E00 + 7 * k + n) for n in range(7)) for k in range(20)]
    made = tokens.train_usual(many, "bpe", 50)
    assert 144 <= made.num_tokens <= 195
    assert made.decode(made.encode(many[:1])[0]) == many[0]
    (line,) = tokens.chosen(made, 50)["chosen"]
    assert line.startswith(f"vocab_size {made.num_tokens}, because the texts have more")
    with pytest.raises(Refusal, match="vocab_size=50: the texts have 141 characters"):
        tokens.train(many, "bpe", 50)
    few = tokens.train_usual(["a b c"], "bpe", 50)
    assert tokens.chosen(few, 50) == {}
    assert np.size(few.encode(["a b"])) == 2
