import importlib
import importlib.util

import jax
import numpy as np
import pytest

from gradjax.errors import Refusal
from scripts import benchmark
from scripts.baselines import (
    Settings,
    added,
    gradjax_run,
    inputs,
    products,
    table,
    worker,
)
from scripts.baselines.gradjax_run import BLOCK_STEPS
from scripts.baselines.inputs import Inputs, check_loss


def _timing(rival, run_s, loss=0.1):
    return table.Timing(rival, 2, 2.5, np.asarray(run_s), loss)


def test_order_rotates_so_that_everyone_is_first_once():
    orders = [table.rotate(["a", "b", "c"], number) for number in range(4)]
    assert orders == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_ratio_is_of_rounds_and_not_of_medians():
    # The machine was twice as slow in the second round: the ratio does not notice.
    ours, theirs = _timing("a", [1.0, 2.0, 1.0]), _timing("b", [4.0, 8.0, 4.0])
    assert table.ratio(ours, theirs) == (0.25, 0.25, 0.25)


def test_microseconds_a_step_are_the_median_with_its_range():
    found = table.step_us(_timing("a", [0.1, 0.3, 0.2]), num_steps=1000)
    np.testing.assert_allclose(found, (200.0, 100.0, 300.0))


def test_table_has_a_row_for_each_rival_and_a_ratio_for_all_but_ours():
    timings = [_timing("gradjax_run", [0.2, 0.2]), _timing("flax_loop", [0.4, 0.4])]
    lines = table.table("A title", 1000, timings).splitlines()
    assert lines[0] == "## A title"
    assert lines[2] == "1000 steps a round."
    assert lines[-2:] == [
        "| gradjax | 2 | 200 [200, 200] |  | 2.50 | 0.100 |",
        "| flax, loop over a jitted step | 2 | 400 [400, 400] "
        "| 0.500 [0.500, 0.500] | 2.50 | 0.100 |",
    ]
    assert len({line.count("|") for line in lines[4:]}) == 1


def test_header_says_what_data_it_was(monkeypatch):
    monkeypatch.setattr(table.importlib.metadata, "version", lambda _: "1.2.3")
    text = table.header("--rounds=7", 7, ["55,000 images", "RANDOM characters"])
    assert "- Data: 55,000 images, RANDOM characters.\n" in text
    assert "torch 1.2.3" in text


def test_the_page_of_precisions_names_both_and_no_rival():
    text = table.header("--rounds=7", 7, ["images"], "precision")
    assert "`python -m scripts.benchmark precision --rounds=7`" in text
    assert "the network in float32 or in bfloat16" in text
    assert "torch" not in text and "keras" not in text


def test_every_network_is_timed_in_both_precisions():
    assert set(benchmark.PRECISIONS) == set(benchmark.CASES)
    for (case,) in benchmark.PRECISIONS.values():
        assert case.rivals == ("gradjax_run", "gradjax_bfloat16")
        assert set(case.rivals) <= set(table.LABELS)


def test_every_network_is_timed_with_and_without_diagnostics():
    assert set(benchmark.DIAGNOSTICS) == set(benchmark.CASES)
    for (case,) in benchmark.DIAGNOSTICS.values():
        assert case.rivals[0] == "gradjax_run" and len(case.rivals) == 4
        assert set(case.rivals) <= set(table.LABELS)
        for rival in case.rivals[1:]:
            made = importlib.import_module(f"scripts.baselines.{rival}").DIAGNOSTICS
            assert made.startswith(rival.removeprefix("gradjax_"))


def test_the_added_time_stands_beside_the_predicted_one():
    plain = _timing("gradjax_run", [0.2, 0.2])
    timings = [plain, _timing("gradjax_layer_norms", [0.22, 0.22])]
    text = added.added_table(
        "A title", 1000, timings, {"gradjax_layer_norms": (0.12, 0.09)}
    )
    assert text.splitlines()[-1] == (
        "| `layer_norms(every=10)` | 220 [220, 220] | 10.0 [10.0, 10.0] | 9.0 | 0.90 |"
        " 12.0 | 1.20 |"
    )
    assert len({line.count("|") for line in text.splitlines()[4:]}) == 1


@pytest.mark.slow
def test_products_are_timed_relative_to_a_gradient():
    images, labels = np.zeros((1_100, 28, 28, 1), np.uint8), np.zeros(1_100, np.int32)
    of = Inputs(images, labels, "zeros", 2.3, is_random=True)
    found = products.measure(Settings("mlp", 5, False), of, num_rounds=2)
    assert found.num_examples == 1_024 and found.gradient_s > 0
    assert len(found.ratios) == 3
    assert all(low > 0.1 for _, low, _ in found.ratios.values())
    assert "Gauss-Newton product" in products.table("MLP", found)


@pytest.mark.parametrize(("precision", "is_rounded"), [("bfloat16", 1), ("float32", 0)])
def test_a_network_of_the_benchmark_computes_in_its_precision(precision, is_rounded):
    images, labels = np.zeros((10, 28, 28, 1), np.uint8), np.arange(10, dtype=np.int32)
    problem = gradjax_run.problem_of(
        Settings("mlp", 5, False), images, labels, precision
    )
    params = jax.eval_shape(problem.init, jax.random.key(0))
    batch = {"image": images[:5], "label": labels[:5]}
    text = str(jax.make_jaxpr(problem.loss)(params, batch, jax.random.key(0)))
    assert ("bf16" in text) == is_rounded
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("loss", "is_random", "is_refused"),
    [(0.1, False, False), (2.3, False, True), (np.nan, False, True)]
    + [(2.3, True, False), (7.0, True, True)],
)
def test_a_network_that_does_not_learn_is_not_timed(loss, is_random, is_refused):
    of = Inputs(np.zeros(1), np.zeros(1), "", float(np.log(10)), is_random)
    if not is_refused:
        check_loss("Keras", loss, of)
        return
    with pytest.raises(Refusal, match="Keras.*expected under"):
        check_loss("Keras", loss, of)


def test_every_case_names_rivals_there_are_and_whole_blocks():
    for case in (case for cases in benchmark.CASES.values() for case in cases):
        assert case.rivals[0] == "gradjax_run"
        assert set(case.rivals) <= set(table.LABELS)
        for rival in case.rivals:
            assert importlib.util.find_spec(f"scripts.baselines.{rival}")
        assert case.num_steps % BLOCK_STEPS[case.settings.model] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "what"),
        (["triple"], "'triple'"),
        (["single", "--model=cnm"], "unknown model 'cnm'; did you mean 'cnn'?"),
        (["single", "--rounds=0"], "'0': must be from 1 to 1000"),
        (["single", "--rounds=nan"], "'nan': must be from 1 to 1000"),
        (["single", "--round=3"], "--round=3"),
        (["single", "--case=mlp"], "--case=mlp"),
        (["sweep", "--case=mpl"], "unknown case 'mpl'; did you mean 'mlp'?"),
        (["sweep", "--rates=3"], "'3': must be from 4 to 64"),
        (["sweep", "--trials=0"], "'0': must be from 1 to 1048576"),
    ],
)
def test_bad_flags_are_one_line_and_exit_code_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as exit_:
        benchmark.main(arguments)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_missing_extra_is_one_line_and_exit_code_2(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(benchmark, "_is_installed", lambda name: name != "torch")
    assert benchmark.main(["single", f"--out={tmp_path / 'b.md'}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "needs torch: `pip install 'gradjax[benchmark]'`" in error


def test_a_folder_is_refused_as_the_file_to_write(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "_is_installed", lambda _: True)
    with pytest.raises(Refusal, match="is a folder"):
        benchmark.run(["mlp"], 1, "single", tmp_path)


def test_what_is_not_prepared_is_random_and_known_to_be(monkeypatch):
    monkeypatch.setattr(inputs.data, "is_prepared", lambda _: False)
    images, characters = inputs.images(), inputs.characters()
    for of in (images, characters):
        assert of.is_random and "RANDOM" in of.about
        assert of.inputs.dtype == np.uint8
    assert images.inputs.shape == (len(images.targets), 28, 28, 1)
    assert set(images.targets) == set(range(10))
    assert (characters.inputs[1:] == characters.targets[:-1]).all()
    assert characters.chance == pytest.approx(np.log(65), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rivals", [("gradjax_run", "flax_loop"), ("gradjax_run", "gradjax_bfloat16")]
)
def test_they_learn_in_workers_of_their_own(rivals):
    # Ten classes told apart by one bright row: either network learns it at once.
    labels = np.arange(1000, dtype=np.int32) % 10
    images = np.zeros((1000, 28, 28, 1), np.uint8)
    images[np.arange(1000), 2 * labels + 4] = 255
    case = benchmark.Case("a toy", Settings("mlp", 32, True), rivals, 100)
    of = Inputs(images, labels, "rows", float(np.log(10)), is_random=False)
    timings = benchmark.measure(case, 2, of)
    assert tuple(timing.rival for timing in timings) == rivals
    for timing in timings:
        check_loss(timing.rival, timing.loss, of)
        assert timing.run_s.shape == (2,)
        assert 0 < timing.run_s.min() < timing.first_s


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lstm", "transformer"])
@pytest.mark.parametrize("rival", ["gradjax_run", "bare_scan", "torch_eager"])
def test_networks_over_characters_train(rival, model):
    if rival == "torch_eager":
        pytest.importorskip("torch")
    module = importlib.import_module(f"scripts.baselines.{rival}")
    codes = np.random.default_rng(0).integers(97, 100, 3_000, np.uint8)
    made = module.make(Settings(model, 2, False), codes[:-1], codes[1:])
    rounds = [made.train(BLOCK_STEPS[model]) for _ in range(4)]
    assert all(timed.run_s > 0 and np.isfinite(timed.loss) for timed in rounds)
    assert rounds[-1].loss < rounds[0].loss


def test_texts_have_mixed_lengths_and_half_of_their_tokens_tell_the_class():
    of = inputs.texts_of_mixed_length()
    assert of.inputs.shape == (20_000, 128) and of.inputs.max() < 8_000
    lengths = (of.inputs != 0).sum(axis=1)
    assert (lengths.min(), lengths.max()) == (1, 128)
    is_token = np.arange(128) < lengths[:, None]
    assert ((of.inputs >= 4) == is_token).all()
    is_told = (of.inputs - 4) % 10 == of.targets[:, None]
    assert is_told[is_token].mean() == pytest.approx(0.55, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["gradjax_run", "bare_scan", "torch_eager"])
def test_a_bag_of_embeddings_trains(rival):
    if rival == "torch_eager":
        pytest.importorskip("torch")
    module = importlib.import_module(f"scripts.baselines.{rival}")
    texts = inputs.texts_of_mixed_length()
    made = module.make(
        Settings("bag", 8, False), texts.inputs[:800], texts.targets[:800]
    )
    rounds = [made.train(BLOCK_STEPS["bag"]) for _ in range(4)]
    assert rounds[-1].loss < rounds[0].loss


@pytest.mark.slow
def test_a_worker_that_dies_is_named(capfd):
    arguments = (Settings("mlp", 32, True), np.zeros((1, 1)), np.zeros(1))
    with (
        pytest.raises(RuntimeError, match="the worker of no_such_rival died"),
        worker.start_workers(("no_such_rival",), *arguments, 1),
    ):
        pass
    assert "No module named" in capfd.readouterr().err
