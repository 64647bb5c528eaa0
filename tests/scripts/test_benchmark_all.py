"""All benchmarks on one page, and a sweep on one core and on all cores."""

import re

import numpy as np
import pytest

from gradjax.errors import Refusal
from scripts import benchmark
from scripts.baselines import Settings, every, table
from scripts.baselines.cases import CASES, Case
from scripts.baselines.every import Parts
from scripts.baselines.inputs import Inputs
from scripts.baselines.scale import ONE, TASKS, WAYS, Task
from scripts.baselines.scale import run as scaled

TINY = Task("a tiny sweep", 4, 2, 1, 100)


def timing(rival, run_s):
    return table.Timing(rival, 2, 2.5, np.asarray(run_s), 0.1)


def test_the_throughput_is_compared_with_one_core_round_by_round():
    # The machine was twice as slow in the second round: the ratio does not notice.
    found = {
        ONE: [4.0, 8.0, 4.0],
        "threads": [2.0, 4.0, 2.0],
        "pinned": [4.0, 8.0, 4.0],
    }
    lines = scaled.table(TINY, 8, 2, found).splitlines()
    assert lines[0] == "## a tiny sweep"
    assert lines[2] == "8 trials of 100 steps, batch 32, Adam."
    rows = [line for line in lines if line.startswith("| ") and "| of" not in line]
    assert rows == [
        f"| {WAYS[ONE].label} | 2.0 [1.0, 2.0] |  |",
        f"| {WAYS['threads'].label} | 4.0 [2.0, 4.0] | 2.00 [2.00, 2.00] |",
        f"| {WAYS['pinned'].label} | 2.0 [1.0, 2.0] | 1.00 [1.00, 1.00] |",
    ]
    assert (
        "has 2.00 times the throughput of one core; the target of 1.8 is reached"
        in (lines[-2] if lines[-1] == "" else lines[-1])
    )
    slow = scaled.table(TINY, 8, 2, found | {"threads": [3.0, 6.0, 3.0]})
    assert "1.33 times" in slow and "the target of 1.8 is not reached" in slow


def test_every_way_trains_the_same_trials_and_keeps_its_cores_busy(monkeypatch):
    started = []
    monkeypatch.setattr(scaled, "cores", lambda: [3, 5])
    monkeypatch.setattr(
        scaled, "start", lambda *given, **more: started.append((given, more))
    )
    for task in TASKS:
        for way in WAYS.values():
            started.clear()
            assert len(scaled._processes(task, way)) == len(started)
            arguments = [given[1] for given, _ in started]
            assert sum(one[1] for one in arguments) == task.num_trials(2)
            if way.has_executor:  # which takes all cores and itself shares the trials
                assert started[0][1] == {"has_children": True}
                continue
            for _, trials, num_cores, _ in arguments:
                assert trials % (task.width * num_cores) == 0
            pinned = [more.get("pinned_to") for _, more in started]
            assert pinned == ([3, 5] if way.is_pinned else [None])
            used = sum(one[2] for one in arguments)
            assert used == (1 if way is WAYS[ONE] else 2)


@pytest.mark.slow
def test_a_tiny_sweep_is_timed_in_every_way(capsys):
    text = scaled.report(1, (TINY,))
    assert capsys.readouterr().out.split() == text.split()
    assert "`python -m scripts.benchmark scale --rounds=1`" in text
    for way in WAYS.values():
        (row,) = [line for line in text.splitlines() if f"| {way.label} |" in line]
        assert float(re.findall(r"[\d.]+", row.rpartition(way.label)[2])[0]) > 0


@pytest.fixture
def images(monkeypatch):
    """Small images in place of those of the benchmark."""
    labels = np.zeros(100, np.int32)
    of = Inputs(np.zeros((100, 28, 28, 1), np.uint8), labels, "zeros", 2.3, False)
    monkeypatch.setattr(every, "INPUTS", {"images": lambda: of})
    return of


@pytest.fixture
def parts(monkeypatch, images):
    """The parts without their measurements; gives what each was asked for."""
    asked = {}

    def page(name, text="# A page\n\nHead.\n\n## A table\n\nRows."):
        def report(*given):
            asked[name] = given
            return text

        return report

    monkeypatch.setattr(every, "matrix_peak", lambda: 1e9)
    monkeypatch.setattr(every.sweeps, "report", page("sweep"))
    monkeypatch.setattr(every.streams, "report", page("stream"))
    monkeypatch.setattr(every.scaled, "report", page("scale"))
    monkeypatch.setattr(every.added, "tables", lambda *_: ["## Added\n\nTimes."])
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert images is every.INPUTS["images"]()
    return asked


def measure(case, num_rounds, _of):
    return [
        timing(one, [0.2 * (k + 1)] * num_rounds) for k, one in enumerate(case.rivals)
    ]


MLP = Case("MLP, loss", Settings("mlp", 32, False), CASES["mlp"][0].rivals, 100)
FEW = Parts(single=[MLP], diagnostics=[MLP._replace(rivals=("gradjax_run",))])


def test_all_parts_are_on_one_page_below_their_headings(parts, monkeypatch):
    monkeypatch.setattr(every.importlib.util, "find_spec", lambda _: object())
    text = every.report(2, measure, FEW)
    headings = re.findall(r"^##? .*", text, re.MULTILINE)
    parts_of = ["Single runs", "Sweeps", "Diagnostics", "Streamed data", "Scale"]
    assert headings == ["# All benchmarks", *(f"## {one}" for one in parts_of)]
    assert text.count("### A table") == 3 and "### Added" in text
    assert "Head." not in text and "### MLP, loss" in text
    # 2 x 784 x 128 and 2 x 128 x 10 operations of a product, times 32 and times three.
    us, peak_us = 2_000, 3 * 32 * 2 * (784 * 128 + 128 * 10) / 1e9 * 1e6
    row = f"| MLP | {us} [{us}, {us}] | 0.500 [0.500, 0.500] | 0.250 [0.250, 0.250] |"
    assert f"{row} {peak_us / us:.3f} |" in text
    assert "Not installed" not in text
    assert parts["sweep"][1].rounds == 2 and parts["scale"][0] == 2
    (flags,) = parts["stream"]
    assert flags.rounds == 2 and flags.sizes == (0,) and flags.model == ["mlp"]


def test_rivals_that_are_not_installed_are_left_out_with_a_line(parts, monkeypatch):
    monkeypatch.setattr(every.importlib.util, "find_spec", lambda _: None)
    text = every.report(1, measure, FEW)
    assert parts and "Not installed, and so left out: torch." in text
    assert "PyTorch, eager" not in text
    one, missing = every.installed(CASES["cnn"][0])
    assert missing == ["keras", "torch"]
    assert one.rivals == ("gradjax_run", "bare_scan", "flax_loop")


def test_a_network_that_does_not_learn_is_refused(parts):
    def bad(case, *_):
        return [timing(one, [0.1])._replace(loss=9.0) for one in case.rivals]

    with pytest.raises(Refusal, match="gradjax"):
        every.report(1, bad, FEW)
    assert "sweep" in parts


@pytest.mark.parametrize("what", ["all", "scale"])
def test_each_writes_its_page(what, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(benchmark.every, "report", lambda rounds, _: f"all {rounds}")
    monkeypatch.setattr(benchmark.scaled, "report", lambda rounds: f"scale {rounds}")
    assert benchmark.main([what, "--rounds=2", "--write"]) == 0
    page = tmp_path / "docs/results" / f"benchmark-{what}.md"
    assert page.read_text() == f"{what} 2"
    assert benchmark.main([what]) == 0
    usual = (tmp_path / "runs/results" / f"benchmark-{what}.md").read_text()
    assert usual == {"all": "all 3", "scale": "scale 7"}[what]
