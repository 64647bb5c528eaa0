"""The command as its user types it, on aligned files of their own and on real ones."""

import functools
import gzip
import json

import pytest

import gradjax

QUICK = (
    "--dataset=multi",
    "--source=en",
    "--target=de",
    "--model=transformer(width=16, depth=1, heads=2)",
    "--vocab_size=80",
    "--max_length=32",
    "--batch_size=4",
    "--noplot",
)


@pytest.fixture
def command(tmp_path, typed):
    """Runs `python -m experiments.translation` beside a folder of splits."""
    (tmp_path / "multi").mkdir()
    for language, word in (("en", "cat"), ("de", "Katze")):
        for split, count in (("train", 40), ("val", 4), ("test", 3)):
            lines = "".join(f"{word} {k} {k % 3}\n" for k in range(count))
            path = tmp_path / "multi" / f"{split}.{language}.gz"
            path.write_bytes(gzip.compress(lines.encode()))
    return functools.partial(typed, "experiments.translation")


@pytest.mark.slow
def test_trains_on_files_and_prints_translations(command, tmp_path):
    done = command(*QUICK, "--steps=2", "--workdir=here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (
        "en to de: 40 pairs in " in done.stdout
        and "cut to fit: 0; padding: " in done.stdout
    )
    assert "translations of the test split:\n  cat 0 0\n    -> " in done.stdout
    assert "(it is: Katze 0 0)" in done.stdout
    assert "greedy bleu" in done.stdout and "nrefs:1|case:mixed" in done.stdout
    run = gradjax.load(tmp_path / "here")
    assert 0.0 <= run.summary["bleu"] <= 100.0
    lines = run.summary["texts"]["translations of the test split"]
    said = [line.removeprefix("  -> ") for line in lines[1::3]]
    assert run.predict(["cat 0 0", "cat 1 1", "cat 2 2"]) == said
    counts = run.config["data"]["num_examples"]
    assert counts == {"train": 40, "validation": 4, "test": 3}
    (rate,) = gradjax.frames(tmp_path / "here").trials.learning_rate
    assert rate == pytest.approx(2e-3)


@pytest.mark.slow
def test_two_learning_rates_are_swept_in_lanes(command, tmp_path):
    sweep = "--sweep=learning_rate=[1e-5, 1e-2]"
    done = command(*QUICK, "--steps=20", "--lane_width=2", sweep, "--workdir=swept")
    assert done.returncode == 0, done.stderr
    assert "2 trials in 1 program" in done.stdout
    summary = json.loads((tmp_path / "swept" / "summary.json").read_text())
    assert summary["num_trials"] == 2 and summary["num_diverged"] == 0
    (one,) = summary["optimizers"].values()
    assert one["best"]["learning_rate"] == 1e-2


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--dataset=none/of_this",), "not prepared"),
        (("--source=fr",), "unknown language 'fr'"),
        (("--model=transfomer",), "did you mean 'transformer'?"),
        (("--label_smoothing=2",), "label_smoothing=2.0: expected a number from 0"),
        (("--max_length=1",), "max_length=1: expected from 2"),
        (("--batch_size=9999",), "training examples"),
    ],
)
def test_refuses_in_one_line(command, flags, expected):
    done = command(*QUICK, *flags)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


def test_unaligned_files_are_refused_by_line(command, tmp_path):
    (tmp_path / "multi" / "val.de.gz").unlink()
    (tmp_path / "multi" / "val.de").write_text("eins\nzwei\n")
    done = command(*QUICK)
    assert done.returncode == 2
    assert "lines: line 3 of multi/val.en.gz has no partner" in done.stderr


@pytest.mark.slow
def test_real_translations_are_read(command, tmp_path, data_dir):
    flags = ("--steps=2", "--model=transformer(width=16, depth=1)", "--noplot")
    real = {"TFDS_DATA_DIR": str(data_dir)}
    chosen = "--dataset=tatoeba/tatoeba_de"
    done = command(chosen, *flags, "--workdir=here", **real)
    if "is not prepared" in done.stderr:
        pytest.skip("tatoeba/tatoeba_de is not prepared in TFDS_DATA_DIR")
    assert done.returncode == 0, done.stderr
    counts = gradjax.load(tmp_path / "here").config["data"]["num_examples"]
    assert sum(counts.values()) == 1_000
