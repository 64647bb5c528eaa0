import json
import math
import re

import jax
import numpy as np
import pytest

import gradjax
from gradjax.errors import Refusal
from gradjax.trials import cost
from scripts import check_device
from scripts.check_device import Timing
from scripts.device_networks import cases, program_of

SMALL = cases(is_small=True)
MLP = SMALL["mlp"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of the small MLP alone, as the command writes it, and its output."""
    out = tmp_path_factory.mktemp("device") / "new" / "page.md"
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check_device, "cases", lambda _: {"mlp": MLP})
        patch.setattr(check_device, "_TIMED_S", 0.02)
        patch.setattr(check_device, "_say", said.append)
        cache = jax.config.jax_compilation_cache_dir
        patch.setenv("JAX_COMPILATION_CACHE_DIR", cache)  # of the process on the CPU
        assert check_device.main(["--minutes=5", f"--out={out}"]) == 0
    return out.read_text(), "\n".join(said)


@pytest.mark.slow
def test_the_cpu_has_the_bits_of_a_fresh_process_with_the_cpu(page):
    for kind in ("run", "sweep"):
        line = f"- mlp, {kind}: the same bits twice; from the CPU's losses at most"
        assert f"{line} 0.0e+00 (relative, 10 steps)\n" in page[0]


@pytest.mark.slow
def test_the_page_has_a_row_for_each_width_and_names_the_fastest(page):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page[0].splitlines()
        if line.startswith(f"| {MLP.title}")
    ]
    assert [row[2] for row in rows] == ["1", "4"]
    for row in rows:
        step_us, steps_per_s = (float(cell.replace(",", "")) for cell in row[3:5])
        assert steps_per_s * step_us == pytest.approx(1e6, rel=0.05)
        assert len(row) == 9 and float(row[8]) > 0.0
    width = min(rows, key=lambda row: float(row[3].replace(",", "")))[2]
    assert f"mlp, {rows[0][1]} bytes: {width}." in page[0]
    assert f"for `_WIDTHS`: ({rows[0][1]}, {width})." in page[0]


@pytest.mark.slow
def test_what_is_written_was_printed(page):
    text, said = page
    assert all(line in said for line in text.splitlines())
    assert said.endswith("page.md keeps this page")


def given(monkeypatch, here, there):
    """Replaces the losses of this device, call by call, and those of the CPU."""

    class Done:
        returncode, stdout = 0, json.dumps({"run": [there]})

    answers = iter([{"run": [one]} for one in here])
    monkeypatch.setattr(check_device, "losses", lambda _: next(answers))
    monkeypatch.setattr(check_device.subprocess, "run", lambda *_, **__: Done)


def test_other_bits_the_second_time_are_named(monkeypatch):
    given(monkeypatch, [[2.0, 1.0], [2.0, np.nextafter(1.0, 2.0)]], [2.0, 1.01])
    (line,) = check_device.check_bits("mlp", is_small=True)
    assert "OTHER BITS the second time" in line
    assert "at most 9.9e-03 (relative, 2 steps)" in line


@pytest.mark.parametrize("last", [1.03, 0.97, math.nan])
def test_a_loss_far_from_the_cpu_is_refused(monkeypatch, last):
    given(monkeypatch, [[2.0, last], [2.0, last]], [2.0, 1.0])
    with pytest.raises(Refusal, match="mlp, run: .*more than 0.02"):
        check_device.check_bits("mlp", is_small=True)


def test_a_cpu_that_fails_is_refused_with_its_last_line(monkeypatch):
    class Done:
        returncode, stderr = 1, "Traceback\nValueError: no room\n"

    monkeypatch.setattr(check_device, "losses", lambda _: {})
    monkeypatch.setattr(check_device.subprocess, "run", lambda *_, **__: Done)
    with pytest.raises(Refusal, match="on the CPU: ValueError: no room"):
        check_device.check_bits("mlp", is_small=True)


def test_when_the_time_is_over_nothing_is_timed_and_the_page_says_so():
    assert check_device.time_width(MLP, 1, until=0.0) is None
    row = check_device._row(MLP, 1, None, 1e12)
    assert "| 1 | not measured |" in row
    assert row.count("|") == check_device._HEAD.splitlines()[-1].count("|")
    assert "--minutes allows more" in check_device._rule(SMALL, {"mlp": []})


@pytest.mark.slow
def test_the_rule_is_in_the_order_of_the_bytes():
    slow, fast = Timing(1, 2e-5, 0.0, 0, 0.0), Timing(16, 1e-5, 0.0, 0, 0.0)
    said = check_device._rule(SMALL, {"cnn": [fast, slow], "mlp": [slow, fast]})
    touched = {name: cost.touched_bytes(program_of(SMALL[name])) for name in SMALL}
    assert touched["mlp"] < touched["cnn"]
    rule = f"({touched['mlp']:,}, 16), ({touched['cnn']:,}, 16)"
    assert f"As a rule for `_WIDTHS`: {rule}. It is" in said


@pytest.mark.slow
def test_evaluations_compute_nothing():
    result = gradjax.run(program_of(MLP, 10))
    assert result.evaluation["train"]["loss"] == 0.0
    assert result.trace["loss"].values[0] == pytest.approx(math.log(10.0), rel=0.3)


@pytest.mark.parametrize("is_small", [True, False])
def test_the_titles_have_the_sizes_of_the_networks(is_small):
    for name, case in cases(is_small).items():
        assert f"batch {case.batch_size}" in case.title
        params = jax.eval_shape(case.make().init, jax.random.key(0))
        shapes = [leaf.shape for leaf in jax.tree.leaves(params)]
        sizes = list(map(int, re.findall(r"\d+", case.title.partition(", batch")[0])))
        if name == "mlp":
            assert {tuple(sizes[:2]), tuple(sizes[1:])} < set(shapes)
        elif name == "cnn":
            assert (3, 3, 1, sizes[0]) in shapes and (3, 3, *sizes[:2]) in shapes
        else:
            depth, width, _ = sizes
            assert shapes.count((width, 3 * width)) == depth  # queries, keys, values


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--minute=3"], "'--minute=3' is no flag"),
        (["--minutes="], "'--minutes=' is no flag"),
        (["--losses=mpl"], "'mpl'; did you mean 'mlp'"),
    ],
)
def test_bad_flags_are_one_line_and_exit_code_2(arguments, words, capsys):
    assert check_device.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_help_prints_the_usage(capsys):
    assert check_device.main(["--help"]) == 0
    assert "usage: python -m scripts.check_device" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_convolutions_and_attention_have_the_bits_of_the_cpu(name, monkeypatch):
    cache = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", cache)
    lines = check_device.check_bits(name, is_small=True)
    assert [line.split(":")[0] for line in lines] == [
        f"- {name}, run",
        f"- {name}, sweep",
    ]
    assert all("the same bits twice" in line for line in lines)
