"""The README is right as written: its snippets run, its commands exist."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]


def snippet_with(word):
    (found,) = [snippet for snippet in SNIPPETS if word in snippet]
    return found


@pytest.mark.slow
def test_the_ten_lines_train(capsys):
    names = {}
    exec(snippet_with("gradjax.run("), names)
    (w0, w1, w2) = names["result"].params["w"]
    assert [w0, w1, w2] == pytest.approx([1.0, -2.0, 0.5], abs=1e-3)
    assert capsys.readouterr().out


def test_the_sweep_sweeps():
    names = {}
    exec(snippet_with("gradjax.sweep("), names)
    losses = names["found"].trace["loss"].values
    assert losses.shape == (48, 100)
    assert (losses[:3, -1] < losses[:3, 0]).all() and not losses[-1, -1] < 1e6


@pytest.mark.slow
def test_tuning_tunes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    exec(snippet_with("gradjax.tune("), names)
    assert list(names["tuned"].optimizers) == ["given:my_rule", "adamw"]
    assert len(names["trials"]) == 8 + 2 * 2 and names["best"].value < 1.0
    assert (tmp_path / "my-sweep/plan.json").is_file() and capsys.readouterr().out


def test_the_gradient_checker_finds_it_right(capsys):
    exec(snippet_with("check_gradient"), {})
    assert "the gradient is right" in capsys.readouterr().out


def trained(*asked):
    """Trains 20 steps on digits, as the command of the experiment does."""
    from experiments.mnist import EXPERIMENT
    from gradjax.commands.experiment import settings_of
    from gradjax.commands.train import train
    from gradjax.types import Options

    settings = settings_of(EXPERIMENT, dataset="digits", steps=20)
    train(EXPERIMENT, settings, *asked, options=Options(plot=False))


def test_a_record_opens_as_written(tmp_path, monkeypatch):
    from gradjax.data import digits

    monkeypatch.chdir(tmp_path)
    trained()
    (folder,) = (tmp_path / "runs" / "mnist").iterdir()
    snippet = snippet_with("gradjax.load(").replace("<name>", folder.name)
    names = {"images": digits.load().test["image"][:4]}
    for line in snippet.splitlines():
        exec(f"shown = {line}" if line.startswith("run.") else line, names)
        if line.startswith("run.trace"):
            assert names["shown"].shape == (20,)
        if line.startswith("run.predict"):
            assert names["shown"].shape == (4, 10)
    run, first = names["run"], names["first"]
    assert (first.trace["loss"].values == run.trace["loss"].values).all()


@pytest.mark.slow
def test_a_sweep_opens_in_pandas_as_written(tmp_path, monkeypatch):
    from gradjax.types import Sweep

    monkeypatch.chdir(tmp_path)
    varied = ("learning_rate=[0.001, 0.01]", "optimizer=[adam, sgd]")
    trained(Sweep(varied, fresh_seeds=0))
    (folder,) = (tmp_path / "runs" / "mnist").iterdir()
    snippet = snippet_with('gradjax.frames("runs').replace("<name>", folder.name)
    lines = snippet.splitlines()
    names = {}
    exec("\n".join(lines[:-2]), names)
    means, losses = (eval(line, names) for line in lines[-2:])
    assert means.shape == (4,) and means.notna().all()
    assert losses.shape == (20, 4) and losses.notna().all().all()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python -m")])
def test_commands_of_python_exist(command, tmp_path, monkeypatch):
    from gradjax import expressions, optimizers, schedules
    from gradjax.commands import parsing
    from gradjax.commands.experiment import groups_of

    words = shlex.split(command)
    module = ROOT / (words[2].replace(".", "/") + ".py")
    assert module.is_file()
    monkeypatch.chdir(tmp_path)
    if words[2] in ("scripts.list", "scripts.show_schedule"):
        assert importlib.import_module(words[2]).main(words[3:]) == 0
    if words[2].startswith("experiments."):
        module = importlib.import_module(words[2])
        what = getattr(module, "EXPERIMENT", None) or module.LESSON
        values = parsing.parse(words[2:], groups_of(what))
        if "optimizer" not in values:
            return
        given = values["optimizer"]
        for text in given if isinstance(given, tuple) else [given]:
            call = expressions.parse(text)
            if ":" not in call.name:
                optimizers.split(call)
        if "schedule" in values:
            schedules.split(values["schedule"], 1_000)


def test_the_flags_of_the_table_exist_with_these_defaults():
    from experiments.mnist import EXPERIMENT
    from gradjax.commands.experiment import groups_of

    groups = groups_of(EXPERIMENT).values()
    known = {flag.name: flag.default for group in groups for flag in group}
    rows = re.findall(r"^\| `--(\w+)=(\S+)`", README, re.MULTILINE)
    assert len(rows) == 5
    for name, value in rows:
        assert known[name] == (value if value.islower() else None), name


@pytest.mark.parametrize(
    "target", re.findall(r"(?:^|`)make ([\w-]+)", README, re.MULTILINE)
)
def test_commands_of_make_exist(target):
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_experiment_has_its_row():
    files = [path.stem for path in (ROOT / "experiments").glob("[!_]*.py")]
    assert files
    for name in files:
        assert f"`experiments.{name}`" in README


@pytest.mark.slow
def test_a_comparison_compares(capsys):
    names = {}
    exec(snippet_with("gradjax.compare("), names)
    (table,) = names["found"].tables
    assert {row.optimizer for row in table.rows} == {"sgd(momentum=0.9)", "adam"}
    assert all(len(row.values) == 3 for row in table.rows)
    assert "Verdict(first=" in capsys.readouterr().out
