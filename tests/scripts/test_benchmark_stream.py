import contextlib
import importlib
import pickle
import sys

import numpy as np
import pytest

from scripts import benchmark
from scripts.baselines.streams import NETWORKS, WAYS, Memory, Speed, memory, run, table
from scripts.baselines.sweeps.processes import Worker


def test_the_share_is_of_rounds_and_not_of_medians():
    # The machine was twice as slow in the second round: the share does not notice.
    rates = {WAYS[0]: [100, 50, 100], WAYS[1]: [80, 40, 80], WAYS[2]: [10, 5, 10]}
    found = {way: [Speed(rate, 0.5) for rate in rates[way]] for way in WAYS}
    lines = table.speed_table(NETWORKS["mlp"], found).splitlines()
    assert lines[0] == "## MLP 784-128-10, batch 32"
    assert lines[-3:] == [
        "| in memory | 100 [50, 100] |  | 0.500 |",
        "| `--stream` | 80 [40, 80] | 0.800 [0.800, 0.800] | 0.500 |",
        "| `--stream --cache_bytes=0` | 10 [5, 10] | 0.100 [0.100, 0.100] | 0.500 |",
    ]


def test_the_memory_is_growth_from_the_start():
    def one(loaded, rate, worker):
        sizes = [100, loaded, 150, 250, 400, 50, worker]
        return Memory(*(10**6 * size for size in sizes), Speed(rate, 0.1))

    found = {
        (20, 0): one(120, 1000, 0),
        (20, 2): one(120, 500, 140),
        (2000, 0): one(300, 900, 0),
        (2000, 2): one(120, 500, 160),
    }
    text = table.memory_table(NETWORKS["mlp"], "64x64x3", found)
    rows = [line for line in text.splitlines() if line.startswith("| 2")]
    assert rows[0] == (
        "| 20 | 0 | 1,000 | 100 | 120 | 150 | 250 | 150 | 100 | 400 | 50 |  |"
    )
    assert rows[2].startswith("| 2,000 | 0 | 900 | 100 | 300 | 150 | 250 | 200 |")
    assert "The growth is 150 to 200 MB, of which 100 to 100 MB are in training" in text
    assert "at most 160 MB" in text and "differ by 10 % at most" in text
    assert len({line.count("|") for line in text.splitlines() if "|" in line}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is of Linux")
def test_anonymous_memory_is_watched():
    before = memory.of_process("self")["RssAnon"]
    assert before > 10**6
    with memory._watched() as most:
        much = np.ones(8_000_000)  # 64 MB
        del much
        kept = np.ones(4_000_000)
    assert most["RssAnon"] - before > 0.9 * kept.nbytes
    with pytest.raises(OSError):
        memory.of_process(2**30)


@contextlib.contextmanager
def in_this_process(module, arguments, has_children=False):
    """Takes the place of a process, which would import everything once more."""
    arguments = pickle.loads(pickle.dumps((arguments, has_children)))[0]
    measure = importlib.import_module(module).make(*arguments)
    yield Worker(lambda: None, measure)


@pytest.mark.slow
def test_a_tiny_page_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(run, "_NUM_IMAGES", 300)
    monkeypatch.setattr(run, "_WORKERS", (0,))
    monkeypatch.setattr(run, "start", in_this_process)
    flags = ["stream", "--model=mlp", "--rounds=1", "--steps=20", "--sizes=1"]
    assert benchmark.main([*flags, "--shape=32,32,1"]) == 0
    text = (tmp_path / "runs/results/benchmark-stream.md").read_text()
    assert "300 synthetic images of 28x28 pixels" in text
    assert "--rounds=1 --steps=20 --sizes=1 --shape=32,32,1`" in text
    for way in WAYS:
        assert f"| {way} | " in text
    assert "| 1 | 0 | " in text
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["results"]
