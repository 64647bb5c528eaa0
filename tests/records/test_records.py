import importlib
import json

import numpy as np
import pytest
from gradjax.records.save import stacked_params, stacked_trace, thinned

from gradjax import files, records
from gradjax.errors import Refusal
from gradjax.records.folder import NAMES
from gradjax.types import Result, Series, Settings

SETTINGS = Settings("mnist", dataset="digits", steps=10)


def result(values, status="finished"):
    steps = np.arange(1, len(values) + 1, dtype=np.int32)
    trace = {"loss": Series(steps, np.asarray(values, np.float32))}
    return Result({"w": np.ones(2)}, None, trace, {}, status, None, 3, 3, 0.0, 1.0, 0.0)


def config(settings=SETTINGS):
    return {"settings": settings._asdict()}


def test_thinned_to_window_means_with_the_last_window_shorter():
    series = Series(np.arange(1, 8), np.arange(7, dtype=np.float32))
    thin = thinned(series, every=3)
    assert thin.steps.tolist() == [3, 6, 7]
    assert thin.values.tolist() == [1.0, 4.0, 6.0]


@pytest.mark.parametrize("count", [1, 999, 1_000, 1_001, 8_595, 100_000])
def test_thinned_to_at_most_1000_points_ending_at_the_last_step(count):
    thin = thinned(Series(np.arange(1, count + 1), np.ones(count, np.float32)))
    assert len(thin.values) <= 1_000
    assert thin.steps[-1] == count
    assert (thin.values == 1.0).all()


def test_a_window_with_nan_is_nan():
    values = np.ones(4, np.float32)
    values[1] = np.nan
    thin = thinned(Series(np.arange(4), values), every=2)
    assert np.isnan(thin.values).tolist() == [True, False]


def test_trials_of_other_lengths_stack_with_nan_behind_the_shorter():
    arrays = stacked_trace([result([1.0, 2.0, 3.0]), result([1.0])], every=1)
    assert arrays["loss.step"].tolist() == [1, 2, 3]
    assert arrays["loss"].shape == (2, 3)
    assert np.isnan(arrays["loss"][1]).tolist() == [False, True, True]


def test_params_are_named_by_their_place():
    tree = {"Dense_0": {"kernel": np.zeros((2, 3)), "bias": np.zeros(3)}}
    arrays = stacked_params([tree, tree])
    shapes = {name: values.shape for name, values in arrays.items()}
    assert shapes == {"Dense_0/kernel": (2, 2, 3), "Dense_0/bias": (2, 3)}


def test_begin_tells_new_unfinished_finished_and_overwritten(tmp_path):
    folder = tmp_path / "run"
    assert records.begin(folder, SETTINGS, config(), False) is records.State.NEW
    assert records.begin(folder, SETTINGS, config(), False) is records.State.UNFINISHED
    files = {"tokenizer.json": b"{}"}
    summary = {"status": "finished"}
    records.save(folder, [result([1.0])], summary, b"png", files=files)
    of_a_run = sorted(set(NAMES) - {"picture.png", "animation.gif"})
    assert sorted(p.name for p in folder.iterdir()) == of_a_run
    assert records.begin(folder, SETTINGS, config(), False) is records.State.FINISHED
    assert sorted(p.name for p in folder.iterdir()) == of_a_run
    assert records.begin(folder, SETTINGS, config(), True) is records.State.OVERWRITTEN
    assert [p.name for p in folder.iterdir()] == ["config.json"]


def test_begin_refuses_other_settings_naming_each(tmp_path):
    records.begin(tmp_path / "run", SETTINGS, config(), False)
    other = SETTINGS._replace(seed=3, optimizer="sgd")
    with pytest.raises(
        Refusal, match="'adam' there, 'sgd' asked; seed 0 there, 3 asked"
    ):
        records.begin(tmp_path / "run", other, config(other), False)


def test_overwriting_leaves_files_of_others_alone(tmp_path):
    folder = tmp_path / "run"
    records.begin(folder, SETTINGS, config(), False)
    (folder / "notes.txt").write_text("mine")
    records.begin(folder, SETTINGS, config(), True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_summary_goes_first_and_comes_last(tmp_path, monkeypatch):
    """A kill at any commit leaves no folder that claims to be whole and is not."""
    folder = tmp_path / "run"
    records.begin(folder, SETTINGS, config(), False)
    records.save(folder, [result([1.0])], {"status": "finished"}, b"png")
    saving = importlib.import_module("gradjax.records.save")
    written = []

    def killed_at(count):
        real = files.write_bytes

        def write(path, content):
            if len(written) == count:
                raise KeyboardInterrupt
            written.append(path.name)
            real(path, content)

        return write

    for count in range(5):
        written.clear()
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(files, "write_bytes", killed_at(count))
            patched.setattr(saving, "write_bytes", files.write_bytes)
            records.begin(folder, SETTINGS, config(), True)
            records.save(folder, [result([2.0])], {"status": "finished"}, b"png")
        assert not (folder / "summary.json").exists()


def test_default_paths_are_readable_and_differ_with_the_settings():
    settings = SETTINGS._replace(optimizer="chain(clip(1.0), sgd)")
    path = records.default_path(settings, "digits", settings.optimizer, "seed0")
    assert path.parts[:2] == ("runs", "mnist")
    assert path.name.startswith("digits-chain-clip-1.0-sgd-seed0-")
    others = [SETTINGS._replace(schedule="cosine"), SETTINGS._replace(seeds=2)]
    assert len({records.default_path(s) for s in (SETTINGS, *others)}) == 3


def test_load_names_what_is_missing_or_damaged(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Refusal, match="no finished run"):
        records.load(folder)
    records.begin(folder, SETTINGS, config(), False)
    records.save(folder, [result([1.0])], {"status": "finished"}, None)
    (folder / "params.npz").write_bytes(b"PK")
    with pytest.raises(Refusal, match=r"params\.npz"):
        records.load(folder)
    (folder / "params.npz").unlink()
    with pytest.raises(Refusal, match=r"params\.npz is missing"):
        records.load(folder)
    (folder / "summary.json").write_text("{")
    with pytest.raises(Refusal, match=r"summary\.json: damaged"):
        records.load(folder)


def test_numbers_that_json_has_no_word_for_become_null(tmp_path):
    files.write_json(tmp_path / "x.json", {"a": float("nan"), "b": [np.float32("inf")]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None]}


def test_the_environment_names_versions_and_device():
    seen = records.environment()
    assert seen["versions"]["jax"] and seen["device"] and seen["python"]
