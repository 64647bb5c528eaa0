"""The command as its user types it, on the bundled digits and on prepared images."""

import functools
import json

import numpy as np
import pytest

import gradjax
from gradjax import data

QUICK = ("--dataset=digits", "--batch_size=32", "--noplot")


@pytest.fixture
def command(typed):
    """Runs `python -m experiments.vision` in an empty folder, without a terminal."""
    return functools.partial(typed, "experiments.vision")


@pytest.mark.slow
def test_a_network_from_an_expression_is_kept_and_opens_again(command, tmp_path):
    model = "mlp(widths=(16, 8))"
    done = command("--dataset=digits", f"--model={model}", "--epochs=2", "--workdir=r")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    run = gradjax.load(tmp_path / "r")
    assert run.config["settings"]["own"]["model"] == model
    assert run.config["data"]["augmentation"] == "none"
    assert (tmp_path / "r" / "curves.png").is_file()
    chances = run.predict(data.load("digits").test["image"][:5])
    assert chances.shape == (5, 10)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_an_autoencoder_draws_what_it_made_of_test_images(command, tmp_path):
    flags = ("--model=vae(widths=(32,), latent=4)", "--steps=100", "--workdir=r")
    done = command(*QUICK, *flags, "--learning_rate=0.01")
    assert done.returncode == 0, done.stderr
    run = gradjax.load(tmp_path / "r")
    assert run.predict is None
    losses = run.trace["loss"].values
    assert losses[-1] < 0.7 * losses[0]
    assert run.summary["test_loss"] > run.summary["test_kl"] > 0
    assert " | " in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        "all_cnn(width=8)",
        "cnn_2c2d(width=16)",
        "cnn_3c3d(widths=(16,))",
        "resnet(width=8)",
        "vit(width=16)",
    ],
)
def test_two_steps_of_each_network(command, model):
    flags = (f"--model={model}", "--steps=2", "--augmentation=crop_and_flip")
    done = command(*QUICK, *flags)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_learning_rates_networks_and_augmentations_are_swept(command, tmp_path):
    sweep = (
        "--sweep=learning_rate=[1e-4, 1e-2]",
        "--sweep=model=[logistic, cnn(channels=(8,))]",
        "--sweep=augmentation=[none, crop]",
    )
    done = command(*QUICK, *sweep, "--steps=20", "--lane_width=2", "--workdir=swept")
    assert done.returncode == 0, done.stderr
    assert "8 trials in 4 programs" in done.stdout
    summary = json.loads((tmp_path / "swept" / "summary.json").read_text())
    assert summary["num_trials"] == 8 and summary["num_diverged"] == 0


@pytest.mark.slow
def test_colour_images_of_32_pixels(command, data_dir, tmp_path):
    """A lossy subset of CIFAR-10: for the path, not for figures."""
    flags = ("--dataset=cifar10_jpeg_subset", f"--data_dir={data_dir}", "--steps=3")
    model = "--model=cnn_3c3d(widths=(16,))"
    done = command(*flags, model, "--batch_size=16", "--workdir=r")
    assert done.returncode == 0, done.stderr
    run = gradjax.load(tmp_path / "r")
    assert run.config["data"]["input_shape"] == [32, 32, 3]
    assert run.config["data"]["augmentation"] == "crop_and_flip"
    assert run.config["data"]["num_examples"] == {
        "train": 4_500,
        "validation": 500,
        "test": 1_000,
    }
    assert run.predict(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 10)


@pytest.mark.slow
def test_logistic_regression_reads_mnist(command, data_dir, tmp_path):
    flags = ("--dataset=mnist", "--model=logistic", "--learning_rate=5e-3")
    more = ("--workdir=r", "--noplot", f"--data_dir={data_dir}")
    done = command(*flags, *more)
    assert done.returncode == 0, done.stderr
    assert gradjax.load(tmp_path / "r").summary["test_accuracy"] >= 0.92


REFUSED = {
    "--model=mpl": "did you mean 'mlp'?",
    "--model=mlp(widths=64)": "as in (128,) or (128, 64)",
    "--model=vit(patch=3)": "an image of 8x8 splits into patches of 1, 2, 4, 8",
    "--model=": "the value is empty",
    "--augmentation=corp": "did you mean 'crop'",
    "--augmentation=": "the value is empty",
    "--dataset=mnist": "not prepared",
    "--batch_size=1258": "1257 training examples",
    "--epochs=0": "positive",
}


@pytest.mark.parametrize("flag", REFUSED)
def test_refuses_in_one_line_and_writes_nothing(flag, refused, tmp_path, monkeypatch):
    from experiments import vision

    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    given = [] if "data" in flag.split("=")[0] else ["--dataset=digits"]
    said = refused(vision.EXPERIMENT, *given, flag)
    assert REFUSED[flag] in said
    assert len(said) < 400


def test_an_autoencoder_has_no_augmentation(refused):
    from experiments import vision

    flags = ("--dataset=digits", "--model=vae", "--augmentation=flip")
    assert "augmentation=flip: vae takes no augmentation" in refused(
        vision.EXPERIMENT, *flags
    )
