"""Ctrl-C and its kin: rows 8 and 9 of what a sweep lives with."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gradjax.commands import signals
from gradjax.errors import Interrupted

ROOT = Path(__file__).resolve().parents[2]
names = pytest.mark.parametrize("number", signals.HEARD, ids=lambda n: n.name)


@pytest.fixture(autouse=True)
def _as_before():
    before = {number: signal.getsignal(number) for number in signals.HEARD}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def left(monkeypatch):
    """What ends the process raises here instead."""

    def leave(code):
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)


def code_of(number):
    """What a shell shows after a process that this signal ended."""
    command = f"sh -c 'kill -{number:d} $$'; exit $?"
    return subprocess.run(["sh", "-c", command], stderr=subprocess.DEVNULL).returncode


@pytest.mark.skipif(sys.platform != "linux", reason="signals have other numbers")
@pytest.mark.parametrize(
    ("name", "code"), [("INT", 130), ("TERM", 143), ("USR1", 138), ("HUP", 129)]
)
def test_the_exit_code_of_each_signal(name, code):
    assert signals.exit_code(getattr(signal, f"SIG{name}")) == code


@names
def test_row_8_the_first_only_asks_for_a_stop(number, capsys):
    with signals.heard() as stop_requested:
        assert stop_requested() is None
        signal.raise_signal(number)
        assert stop_requested() == number
    assert capsys.readouterr().err == (
        f"{number.name}: finishing this segment; a second signal stops at once\n"
    )
    stop = Interrupted(number, "segment search-0")
    assert str(stop) == "stopped after segment search-0; the same command goes on"
    assert signals.exit_code(stop.number) == code_of(number)
    assert not isinstance(stop, Exception), "`except Exception` lets it pass"


@pytest.mark.usefixtures("left")
@names
def test_row_9_the_second_of_any_kind_leaves_at_once(number, capsys):
    with signals.heard() as stop_requested, pytest.raises(SystemExit) as stopped:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(number)
        stop_requested()
    assert stopped.value.code == code_of(number)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("SIGTERM: ") and second.startswith("left at once; ")


@names
def test_while_it_compiles_a_signal_has_its_usual_effect(number):
    """Python's handlers would wait for the compiler; a cluster does not."""
    with signals.heard():
        handler = signal.getsignal(number)
        with signals.at_once():
            usual = handler if number == signal.SIGINT else signal.SIG_DFL
            assert signal.getsignal(number) == usual
        assert signal.getsignal(number) == handler


def test_what_is_ignored_stays_ignored_while_it_compiles(monkeypatch):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with signals.heard(), signals.at_once():
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    monkeypatch.setattr(os, "getpid", lambda: 1)  # of a container
    with signals.heard(), signals.at_once():
        assert callable(signal.getsignal(signal.SIGTERM))


def test_the_handlers_from_before_are_restored():
    def mine(_number, _frame):
        raise AssertionError

    for number in signals.HEARD:
        signal.signal(number, mine)
    with pytest.raises(ZeroDivisionError), signals.heard():
        assert all(signal.getsignal(number) is not mine for number in signals.HEARD)
        raise ZeroDivisionError
    assert all(signal.getsignal(number) is mine for number in signals.HEARD)


@names
def test_what_is_ignored_stays_ignored(number, capsys):
    """As nohup does with SIGHUP, and a shell with Ctrl-C of a background job."""
    signal.signal(number, signal.SIG_IGN)
    with signals.heard() as stop_requested:
        signal.raise_signal(number)
        assert stop_requested() is None
    signals.usual()
    assert signal.getsignal(number) is signal.SIG_IGN
    assert capsys.readouterr().err == ""


def test_in_another_thread_nothing_asks_for_a_stop():
    found = []

    def work():
        before = signal.getsignal(signal.SIGINT)
        with signals.heard() as stop_requested:
            found.append((stop_requested(), signal.getsignal(signal.SIGINT) is before))
        signals.usual()
        signals.ignore()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(None, True)]
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


@pytest.mark.parametrize("stream", ["closed", "none"])
def test_without_a_stderr_it_stops_all_the_same(stream, monkeypatch, tmp_path):
    file = (tmp_path / "err").open("w")
    file.close()
    monkeypatch.setattr(sys, "stderr", file if stream == "closed" else None)
    with signals.heard() as stop_requested:
        signal.raise_signal(signal.SIGTERM)
        assert stop_requested() == signal.SIGTERM


def test_on_a_terminal_a_bar_is_left_behind_and_the_cursor_shown(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with signals.heard():
        signal.raise_signal(signal.SIGTERM)
    assert capsys.readouterr().err.startswith("\n\x1b[?25hSIGTERM: ")


def test_once_it_leaves_nothing_disturbs_it():
    signals.ignore()
    for number in signals.HEARD:
        signal.raise_signal(number)


def interrupted_while_importing(arguments, folder, path):
    """Sends Ctrl-C to a Python that says it is importing: (exit code, stderr)."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "importing\n"
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=60)
    return started.returncode, said


@pytest.mark.parametrize("module", ["experiments.mnist", "scripts.sweep"])
def test_ctrl_c_while_libraries_are_imported_is_one_line(module, tmp_path):
    (tmp_path / "gradjax").mkdir()
    (tmp_path / "gradjax" / "__init__.py").write_text(
        "import time\nprint('importing', flush=True)\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    raise ImportError\n"
    )
    found = interrupted_while_importing(["-m", module], tmp_path, str(ROOT))
    assert found == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("/bin/gradjax", 130, "interrupted\n"),
        ("my_program.py", -signal.SIGINT, "KeyboardInterrupt\n"),
    ],
)
def test_ctrl_c_while_the_command_gradjax_imports_jax_is_one_line(
    name, code, said, tmp_path
):
    """Another program that imports gradjax keeps its own Ctrl-C."""
    (tmp_path / "jax.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    )
    start = f"import sys; sys.argv[0] = {name!r}; import gradjax.commands.console"
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    returncode, errors = interrupted_while_importing(["-c", start], tmp_path, path)
    assert returncode == code
    assert errors.endswith(said) and (code != 130 or errors == said)


def test_imported_by_another_program_an_experiment_leaves_ctrl_c_alone():
    code = "import signal, experiments; print(signal.getsignal(signal.SIGINT))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == f"{signal.default_int_handler}\n"
