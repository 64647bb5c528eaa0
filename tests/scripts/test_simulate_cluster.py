"""A sweep of a command on a simulated cluster, and the page that it gives."""

import pytest

from gradjax.records import store
from scripts import simulate_cluster, simulated_sweep
from scripts.simulated_cluster import Cluster


@pytest.mark.slow
def test_a_sweep_is_complete_although_workers_are_lost(tmp_path):
    cluster = Cluster(20, failures=0.05, stragglers=0.02, poisoned=0.02, seed=1)
    folder = tmp_path / "sweep"
    found = simulated_sweep.measure(cluster, 203, 2, folder)
    assert found.faults == []
    assert found.num_batches == 102  # the last one has one trial
    assert found.counts["lost"] > 0
    assert found.num_set_aside == found.num_poisoned > 0
    assert store.verify(folder) == []


@pytest.mark.slow
def test_a_trial_that_is_missing_is_a_fault(tmp_path, monkeypatch):
    real = simulated_sweep.frames

    def without_one(folder):
        found = real(folder)
        return found._replace(trials=found.trials.iloc[1:])

    monkeypatch.setattr(simulated_sweep, "frames", without_one)
    cluster = Cluster(5, failures=0.0, stragglers=0.0)
    found = simulated_sweep.measure(cluster, 10, 1, tmp_path / "sweep")
    assert found.faults == ["9 trials"]


@pytest.mark.slow
def test_the_page_has_a_row_for_each_width(tmp_path, capsys):
    out = tmp_path / "page.md"
    arguments = ["--workers=10", "--trials=20", "--lane_width=1,4", f"--out={out}"]
    assert simulate_cluster.main([*arguments, f"--folder={tmp_path}"]) == 0
    text = out.read_text()
    assert "| 10 | 20 | 1 | 20 |" in text
    assert "| 10 | 20 | 4 | 5 |" in text
    assert text.strip() in capsys.readouterr().out
