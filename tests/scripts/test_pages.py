"""No script overwrites a committed page of docs/results unless it is asked to."""

from pathlib import Path

import pytest

from gradjax import optimizers
from gradjax.errors import Refusal
from scripts import benchmark, check_device, optimizer_table, pages


def test_a_page_is_written_below_runs_unless_it_is_to_be_committed():
    assert pages.place("a.md") == Path("runs/results/a.md")
    assert pages.place("a.md", None, True) == Path("docs/results/a.md")
    assert pages.place("a.md", Path("b.md")) == Path("b.md")
    with pytest.raises(Refusal, match="--write and --out=b.md are both given"):
        pages.place("a.md", Path("b.md"), True)


WRITTEN = [((), "runs/results"), (("--write",), "docs/results")]


@pytest.mark.parametrize(("flags", "folder"), WRITTEN)
def test_every_script_with_a_page_takes_the_flag(flags, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    places = []
    for what in ("run", "run_sweep"):
        monkeypatch.setattr(benchmark, what, lambda *given: places.append(given[-1]))
    monkeypatch.setattr(optimizer_table, "run", lambda *given: places.append(given[-1]))
    monkeypatch.setattr(check_device, "report", lambda _: ("A 1", "page"))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    for what in ("single", "sweep", "precision"):
        assert benchmark.main([what, *flags]) == 0
    assert optimizer_table.main(list(flags)) == 0
    assert check_device.main(list(flags)) == 0
    names = [f"benchmark-{what}.md" for what in ("single", "sweep", "precision")]
    names += ["optimizers.md"]
    assert places == [Path(folder, name) for name in names]
    assert Path(folder, "device-a-1.md").read_text() == "page"


def test_a_part_of_the_optimizers_is_no_committed_page(capsys):
    assert len(optimizers.OPTIMIZERS) > 1
    assert optimizer_table.main(["--optimizers=adam", "--write"]) == 2
    assert "the committed page is of all optimizers" in capsys.readouterr().err
