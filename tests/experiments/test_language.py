"""The command as its user types it, on a text file of their own and on the real one."""

import functools
import json

import pytest

import gradjax
from gradjax.errors import Refusal

STORY = "the cat sat on the mat. a dog sat on a log!\n" * 40
QUICK = ("--model=gru(width=8)", "--window=16", "--batch_size=8", "--noplot")


@pytest.fixture
def command(tmp_path, typed):
    """Runs `python -m experiments.language` in a folder with story.txt."""
    (tmp_path / "story.txt").write_text(STORY)
    return functools.partial(typed, "experiments.language")


def test_trains_on_a_file_and_prints_a_sample(command, tmp_path):
    done = command("--dataset=story.txt", "--steps=2", *QUICK, "--workdir=here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "a sample:" in done.stdout
    assert "validation bits per character" in done.stdout
    run = gradjax.load(tmp_path / "here")
    figures = run.summary
    bits = figures["validation_bits_per_character"]
    assert bits == pytest.approx(figures["validation_loss"] / 0.6931472, rel=1e-4)
    assert run.config["data"]["num_examples"]["validation"] == len(STORY) // 20
    (rate,) = gradjax.frames(tmp_path / "here").trials.learning_rate
    assert rate == pytest.approx(5e-3)


@pytest.mark.slow
def test_two_learning_rates_are_swept_in_lanes(command, tmp_path):
    flags = ("--dataset=story.txt", "--steps=20", *QUICK, "--lane_width=2")
    sweep = "--sweep=learning_rate=[1e-4, 3e-2]"
    done = command(*flags, sweep, "--workdir=swept")
    assert done.returncode == 0, done.stderr
    assert "2 trials in 1 program" in done.stdout
    summary = json.loads((tmp_path / "swept" / "summary.json").read_text())
    assert summary["num_trials"] == 2 and summary["num_diverged"] == 0
    (one,) = summary["optimizers"].values()
    assert one["best"]["learning_rate"] == 3e-2


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--dataset=none.txt",), "'none.txt': No such file or directory"),
        (("--dataset=tiny_shakespeare",), "not prepared"),
        (("--dataset=story.txt", "--model=lsmt"), "did you mean 'lstm'?"),
        (("--dataset=story.txt", "--window=0"), "window=0: expected from 1 to"),
        (("--dataset=story.txt", "--batch_size=9999"), "training examples"),
    ],
)
def test_refuses_in_one_line(command, flags, expected):
    done = command(*flags)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_real_text_is_learned(command, data_dir):
    flags = ("--steps=100", "--eval_every=50", "--model=gru(width=64)", "--noplot")
    done = command(*flags, "--workdir=here", TFDS_DATA_DIR=str(data_dir))
    if "tiny_shakespeare' is not prepared" in done.stderr:
        pytest.skip("tiny_shakespeare is not prepared in TFDS_DATA_DIR")
    assert done.returncode == 0, done.stderr
    assert "7,843 train, 436 validation, 436 test" in done.stdout


@pytest.fixture
def tokens_of(command):
    """Runs the command on byte-pair tokens of story.txt."""
    return functools.partial(
        command, "--dataset=story.txt", "--tokenizer=bpe", "--vocab_size=265", *QUICK
    )


@pytest.mark.slow
def test_trains_on_byte_pairs_and_predicts_from_the_record(tokens_of, tmp_path):
    done = tokens_of("--steps=3", "--workdir=here", "--temperature=0.5", "--top_k=7")
    assert done.returncode == 0, done.stderr
    assert "training tokens of 265 different" in done.stdout
    assert "test bits per byte" in done.stdout
    run = gradjax.load(tmp_path / "here")
    about, figures = run.config["data"], run.summary
    bits = figures["validation_loss"] * about["num_split_tokens"]["validation"]
    bits /= about["num_bytes"]["validation"] * 0.6931472
    assert figures["validation_bits_per_byte"] == pytest.approx(bits, rel=1e-5)
    assert figures["validation_bits_per_character"] == pytest.approx(bits, rel=1e-5)
    asked = {"num_characters": 30, "top_k": 5}
    first, again = (run.predict(["the \u6f22"], **asked) for _ in range(2))
    assert first == again and len(first[0]) <= 30
    with pytest.raises(Refusal, match="top_k=265: expected a whole number from 1 to 2"):
        run.predict(["the"], top_k=265)
    with pytest.raises(Refusal, match="cannot be written in UTF-8"):
        run.predict(["\ud800"])
    path = tmp_path / "here" / "tokenizer.json"
    state = path.read_text()
    path.write_text(state + " ")
    with pytest.raises(Refusal, match="it is not the tokenizer of this trial"):
        gradjax.load(tmp_path / "here").predict(["the"])
    path.unlink()
    with pytest.raises(Refusal, match="tokenizer.json: No such file"):
        gradjax.load(tmp_path / "here").predict(["the"])
    other = tokens_of("--vocab_size=260", "--steps=3", "--workdir=here")
    assert other.returncode == 2
    assert "holds trials of another plan" in other.stderr
    assert len(about["tokenizer_sha256"]) == 64, "it decides what a run is"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--tokenizer=bqe",), "expected 'characters' or 'bpe'"),
        (("--vocab_size=300",), "give tokenizer='bpe', too"),
        (("--tokenizer=bpe", "--vocab_size=9"), "vocab_size=9: expected from 257"),
        (("--temperature=0",), "temperature=0.0: expected a number from 0.001"),
        (("--top_k=99",), "top_k=99: expected a whole number from 1 to 16"),
    ],
)
@pytest.mark.slow
def test_refuses_tokens_in_one_line(command, flags, expected):
    done = command("--dataset=story.txt", *QUICK, *flags)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
