"""The command as its user types it, on a table of their own and on real requests."""

import functools
import json

import pytest

import gradjax

WORDS = ("alpha", "beta", "gamma")
LINES = [f"{WORDS[k % 3]}\tit is {WORDS[k % 3]} of {k}" for k in range(90)]
QUICK = ("--dataset=mine.tsv", "--batch_size=8", "--noplot")


@pytest.fixture
def command(tmp_path, typed):
    """Runs `python -m experiments.text` in a folder with mine.tsv."""
    (tmp_path / "mine.tsv").write_text("\n".join(LINES))
    return functools.partial(typed, "experiments.text")


@pytest.mark.parametrize(
    "tokenizer", ["word", pytest.param("bpe", marks=pytest.mark.slow)]
)
def test_learns_a_table_of_ones_own(command, tmp_path, tokenizer):
    flags = ("--model=bag(width=16)", "--steps=60", f"--tokenizer={tokenizer}")
    done = command(*QUICK, *flags, "--learning_rate=0.05", "--workdir=here")
    assert done.returncode == 0, done.stderr
    assert "mine.tsv (mine.tsv)" not in done.stdout
    assert done.stderr == ""
    run = gradjax.load(tmp_path / "here")
    assert run.summary["test_accuracy"] == 1.0, "the label is a word of the text"
    assert "it is alpha of" in done.stdout and " -> " in done.stdout
    assert run.config["data"]["num_classes"] == 3
    assert run.config["data"]["class_names"] == sorted(WORDS)
    found = run.predict(["is it gamma?", "it is alpha of 91", "", "beta " * 500])
    assert found.shape == (4, 3)
    first, second, _, last = found.argmax(axis=1).tolist()
    assert (first, second, last) == (2, 0, 1)
    for given in ("alpha", [], None, 3, ["alpha", 3], ["\ud800"]):
        with pytest.raises(gradjax.Refusal, match="a list of texts"):
            run.predict(given)
    (tmp_path / "here" / "tokenizer.json").write_text("{}")
    with pytest.raises(gradjax.Refusal, match="tokenizer.json: a damaged tokenizer"):
        gradjax.load(tmp_path / "here").predict(["alpha"])
    (tmp_path / "here" / "tokenizer.json").unlink()
    with pytest.raises(gradjax.Refusal, match="tokenizer.json: No such file"):
        gradjax.load(tmp_path / "here").predict(["alpha"])
    assert run.config["data"]["num_examples"] == {
        "train": 63,
        "validation": 9,
        "test": 18,
    }


@pytest.mark.slow
def test_several_texts_share_a_row(command, tmp_path):
    flags = ("--packed", "--model=bag(width=16)", "--steps=60", "--learning_rate=0.05")
    done = command(*QUICK, *flags, "--workdir=here")
    assert done.returncode == 0, done.stderr
    assert "63 texts in 63 rows" in done.stdout, "all are as long as a row"
    assert "padding: 0.0%" in done.stdout
    run = gradjax.load(tmp_path / "here")
    assert run.summary["test_accuracy"] == 1.0
    assert run.predict(["it is alpha of 91", "it is beta of 1"]).shape == (2, 3)
    (tmp_path / "mine.tsv").write_text("\n".join(LINES + ["alpha\t" + "long " * 20]))
    done = command(*QUICK, *flags[:2], "--steps=2")
    assert done.returncode == 0, done.stderr
    assert "padding: " in done.stdout and "texts in 63 rows" not in done.stdout
    done = command(*QUICK, "--packed", "--model=mine:net")
    assert done.returncode == 2
    assert "packed: mine:net reads one text in each row" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gru(width=8)", "transformer(width=8, depth=1)"])
def test_two_steps_of_each_network(command, model):
    done = command(*QUICK, f"--model={model}", "--steps=2")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_learning_rates_are_swept_in_lanes(command, tmp_path):
    flags = ("--model=bag(width=16)", "--steps=40", "--lane_width=2")
    sweep = "--sweep=learning_rate=[1e-4, 5e-2]"
    done = command(*QUICK, *flags, sweep, "--workdir=swept")
    assert done.returncode == 0, done.stderr
    assert "2 trials in 1 program" in done.stdout
    summary = json.loads((tmp_path / "swept" / "summary.json").read_text())
    assert summary["num_trials"] == 2 and summary["num_diverged"] == 0
    assert summary["optimizers"]["adam"]["best"]["learning_rate"] == 5e-2


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--dataset=none.tsv",), "'none.tsv': No such file or directory"),
        (("--dataset=clinc_oos",), "not prepared"),
        (("--dataset=mine.tsv", "--model=bga"), "did you mean 'bag'?"),
        (("--dataset=mine.tsv", "--tokenizer=words"), "expected 'word' or 'bpe'"),
        (("--dataset=mine.tsv", "--max_length=0"), "max_length=0: expected from 1"),
        (("--dataset=mine.tsv", "--batch_size=64"), "63 training examples"),
        (("--dataset=mine.tsv", "--steps=2", "--epochs=1"), "give one"),
    ],
)
def test_refuses_in_one_line(command, flags, expected):
    done = command(*flags)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.optimized
def test_requests_of_clinc_are_told_apart(command, tmp_path, data_dir):
    flags = ("--epochs=4", "--noplot", "--workdir=here")
    done = command(*flags, TFDS_DATA_DIR=str(data_dir))
    if "clinc_oos' is not prepared" in done.stderr:
        pytest.skip("clinc_oos is not prepared in TFDS_DATA_DIR")
    assert done.returncode == 0, done.stderr
    assert "15,000 train, 3,000 validation, 4,500 test" in done.stdout
    assert gradjax.load(tmp_path / "here").summary["test_accuracy"] > 0.85
