"""What a task takes of a Ray node, and what its process takes over."""

import os
import sys
from pathlib import Path

import pytest

from gradjax.executors import Asked, ray_tasks


@pytest.mark.parametrize(
    ("threads", "backend", "node", "wanted"),
    [
        (None, "cpu", {"CPU": 4.0}, 4),
        (3, "cpu", {"CPU": 8.0, "GPU": 1.0}, 2),
        (1, "gpu", {"CPU": 8.0, "GPU": 2.0}, 2),
        (1, "gpu", {"CPU": 8.0}, 0),
        (None, "tpu", {"CPU": 2.0, "TPU": 4.0}, 2),
        (2, "cpu", {"CPU": 1.0}, 0),
        (1, "cpu", {"memory": 1e9}, 0),
    ],
)
def test_the_room_of_a_node(threads, backend, node, wanted):
    needs = ray_tasks.needs_of(Asked(threads=threads), backend)
    assert ray_tasks.room(node, needs) == wanted


def test_a_process_takes_over_paths_and_variables(tmp_path, monkeypatch):
    own = str(tmp_path / "own")
    monkeypatch.setattr(sys, "path", ["", own, *sys.path])
    monkeypatch.chdir(tmp_path)
    paths = ray_tasks._paths()
    assert paths[:2] == [str(tmp_path), own]
    site = Path(pytest.__file__).parents[1]
    assert str(site) in sys.path and str(site) not in paths

    monkeypatch.setenv("XLA_FLAGS", "--a")
    monkeypatch.setenv("JAX_OWN", "1")
    monkeypatch.setenv("TFDS_DATA_DIR", "here")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    given = ray_tasks._variables()
    assert given["XLA_FLAGS"] == "--a" and given["OMP_NUM_THREADS"] is None

    monkeypatch.setenv("XLA_FLAGS", "--b")
    monkeypatch.setenv("JAX_OWN", "2")
    monkeypatch.setenv("TFDS_DATA_DIR", "there")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(ray_tasks, "called", lambda *given: given)
    here = ([str(tmp_path), str(tmp_path / "none")], given, "no folder", b"function")
    answer = ray_tasks._function()(here, ["work"], b"task")
    assert answer == (b"function", "work", b"task")
    assert (os.environ["XLA_FLAGS"], os.environ["JAX_OWN"]) == ("--a", "1")
    assert os.environ["TFDS_DATA_DIR"] == "there"  # a worker has its own data
    assert "OMP_NUM_THREADS" not in os.environ
    assert sys.path.count(str(tmp_path)) == 1 and str(tmp_path / "none") not in sys.path
