"""The command `gradjax`, in a folder whose own package has the name of ours."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import gradjax
from gradjax.commands import console

ROOT = Path(gradjax.__file__).parents[1]


def refused(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["gradjax", *words])
    with pytest.raises(SystemExit) as stopped:
        console.main()
    said = capsys.readouterr()
    return stopped.value.code, said.out, said.err


def test_alone_it_lists_every_experiment_and_script(monkeypatch, capsys):
    code, said, _ = refused(monkeypatch, capsys)
    assert code == 0
    for folder in ("experiments", "scripts"):
        for path in (ROOT / folder).glob("[!_]*.py"):
            if 'if __name__ == "__main__"' in path.read_text():
                (line,) = (
                    one for one in said.splitlines() if one.split()[:1] == [path.stem]
                )
                assert len(line.split()) > 2, "the name and what it does"
                assert ast.get_docstring(ast.parse(path.read_text()))
    assert "  mnist " in said and "  sweep " in said
    assert "  device_networks " not in said, "it is no command"


def test_an_unknown_name_is_one_line_with_the_nearest(monkeypatch, capsys):
    code, said, error = refused(monkeypatch, capsys, "mnsit")
    assert (code, said) == (2, "")
    assert error == (
        "gradjax: unknown command 'mnsit'; did you mean 'mnist'? (`gradjax` alone"
        " lists them)\n"
    )


def run(folder, *words, python=sys.executable, **more):
    code = "import sys; sys.path.pop(0); from gradjax.commands.console import main; "
    code += f"sys.argv = ['gradjax', *{list(words)!r}]; main()"
    return subprocess.run(
        [python, "-c", code],
        cwd=folder,
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=False,
    )


def hide(folder):
    """Writes packages of the user that have the names of ours, and an optimizer."""
    for name in console.FOLDERS:
        package = folder / name
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "minimize.py").write_text("raise SystemExit('hidden')")
    (folder / "experiments" / "mine.py").write_text(RULE)


def files_in(folder):
    """The files of our packages, without what Python and pip write beside them."""
    found = [
        path
        for name in ("gradjax", *console.FOLDERS)
        for path in (folder / name).rglob("*")
    ]
    return {
        path.relative_to(folder).as_posix()
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    }


RULE = (
    "import optax\ndef rule(learning_rate=0.1):\n    return optax.sgd(learning_rate)\n"
)
WORDS = ("minimize", "--optimizer=experiments.mine:rule(0.1)", "--problem=ridge")
FLAGS = ("--steps=5", "--noplot", "--workdir=here")


@pytest.mark.slow
def test_an_installed_gradjax_runs_where_experiments_is_the_users_own(tmp_path):
    """From a wheel, in an environment that sees the packages of this one."""
    wheels, place = tmp_path / "wheels", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    source = tmp_path / "source"
    kept = ("gradjax", "experiments", "scripts", "pyproject.toml", "README.md")
    source.mkdir()
    for name in (*kept, "LICENSE"):
        here = ROOT / name
        copy = shutil.copytree if here.is_dir() else shutil.copy
        copy(here, source / name)
    build = [*pip, "wheel", "-q", "--no-deps", "-w", str(wheels), str(source)]
    made = subprocess.run(build, capture_output=True, text=True, check=False)
    if made.returncode:  # pip downloads setuptools, or finds it in its cache
        assert "setuptools" in made.stderr, made.stderr
        pytest.skip("pip cannot download setuptools to make a wheel")
    (wheel,) = wheels.glob("gradjax-*.whl")
    install = ["install", "-q", "--no-deps", "--target", str(place), str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    command = place / "bin" / "gradjax"
    assert command.is_file(), "the console command of pyproject.toml"
    user = tmp_path / "user"
    user.mkdir()
    hide(user)
    assert files_in(place) == files_in(source), "the wheel has every file of ours"
    assert {"gradjax/py.typed", "gradjax/pages/static/page.html"} <= files_in(place)
    packages = sysconfig.get_path("purelib")
    env = os.environ | {"PYTHONPATH": f"{place}{os.pathsep}{packages}"}
    done = subprocess.run(
        [sys.executable, "-P", str(command), *WORDS, *FLAGS],
        cwd=user,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    record = gradjax.load(user / "here")
    assert record.summary["command"].startswith("gradjax minimize ")
    listed = subprocess.run(
        [sys.executable, "-P", str(command), "list", "schedules"],
        cwd=user,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode == 0 and "warmup_cosine" in listed.stdout


@pytest.mark.slow
def test_both_forms_resume_each_other(tmp_path):
    words = ("--problem=ridge", *FLAGS)
    done = run(tmp_path, "minimize", *words, PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stderr) == (0, "")
    again = subprocess.run(
        [sys.executable, "-m", "experiments.minimize", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is finished already" in again.stdout
