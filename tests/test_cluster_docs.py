"""The scripts of docs/cluster.md and docs/hardware.md are right as written."""

import importlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from gradjax.commands import parsing, signals
from gradjax.commands.experiment import groups_of
from gradjax.trials import lane_width

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "cluster.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
SCRIPTS = [text for kind, text in BLOCKS if kind in ("bash", "console")]
SLURM = SCRIPTS[0]
(CLUSTER,) = [yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml"]
# Fields of a cluster file that the reference of Ray's cluster launcher lists, and those
# of its provider "local".
FIELDS = {"cluster_name", "max_workers", "min_workers", "provider", "auth"}
FIELDS |= {"file_mounts", "rsync_exclude", "setup_commands"}
FIELDS |= {"head_start_ray_commands", "worker_start_ray_commands"}


def commands(text):
    """(module, flags) of each command of Python in a script, also in quoted ones."""
    text = re.sub(r"\$\(([^()]|\([^()]*\))*\)|\$\w+", "0", text.replace("\\\n", " "))
    words = shlex.split(text, comments=True)
    for at, word in enumerate(words):
        if word == "-m":
            rest = words[at + 2 :]
            flags = next((k for k, one in enumerate(rest) if one[:2] != "--"), None)
            yield words[at + 1], rest[:flags]
        elif "python -m" in word:
            yield from commands(word)


COMMANDS = [one for text in SCRIPTS for one in commands(text)]


@pytest.mark.parametrize("script", SCRIPTS, ids=["slurm", "nodes", "ray", "tpu"])
def test_a_script_is_correct_shell(script):
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("module", "flags"), COMMANDS)
def test_the_flags_of_a_command_are_read(module, flags):
    groups = groups_of(importlib.import_module(module).EXPERIMENT)
    assert len(flags) >= 4 and "--workdir" in {one.split("=")[0] for one in flags}
    values = parsing.parse([module, *flags], groups)
    assert values["workdir"]


def test_every_script_has_its_command():
    assert len(COMMANDS) == len(SCRIPTS) == 4


def test_the_ray_cluster_is_made_of_documented_fields():
    assert set(CLUSTER) <= FIELDS
    provider = CLUSTER["provider"]
    assert provider["type"] == "local" and set(provider) == {
        "type",
        "head_ip",
        "worker_ips",
    }
    workers = len(provider["worker_ips"])
    assert CLUSTER["min_workers"] == CLUSTER["max_workers"] == workers
    assert set(CLUSTER["auth"]) == {"ssh_user", "ssh_private_key"}
    started = CLUSTER["head_start_ray_commands"], CLUSTER["worker_start_ray_commands"]
    assert all("ray stop" in one and "ray start" in two for one, two in started)
    (folder,) = CLUSTER["file_mounts"]
    lines = [*CLUSTER["setup_commands"], *started[0], *started[1]]
    assert all(folder in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="signals have other numbers")
def test_the_exit_codes_are_those_of_the_signals():
    rows = re.findall(r"^\| (SIG\w+) \|.*\| (\d+)", PAGE, re.MULTILINE)
    assert len(rows) == len(signals.HEARD)
    for name, code in rows:
        assert int(code) == signals.exit_code(getattr(signal, name))
    assert f'"$code" -eq {signals.exit_code(signal.SIGUSR1)}' in SLURM


HARDWARE = (ROOT / "docs" / "hardware.md").read_text()


@pytest.mark.parametrize(
    "line", re.findall(r"^(?:\w+=\w+ )?python -m .*", HARDWARE, re.M)
)
def test_commands_of_the_page_on_hardware_exist(line):
    words = line.partition("python -m ")[2].split()
    module = importlib.import_module(words[0])
    if words[0] == "scripts.calibrate":
        assert vars(module._parser().parse_args(words[1:]))
    else:
        assert len(words) == 1


def test_the_widths_of_the_page_on_hardware_are_those_of_the_rule():
    cpu, accelerator = lane_width._WIDTHS["cpu"], lane_width._WIDTHS["accelerator"]
    assert cpu[0] == (100_000, 64) and cpu[-2:] == ((2_000_000, 2), (None, 1))
    assert accelerator == ((2_000_000, 256), (None, 64))
    page = " ".join(HARDWARE.split())
    assert "64 for a step that touches up to 100 kB, down to 1 above 2 MB" in page
    assert "on an accelerator 256 up to 2 MB, and 64 above" in page


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="signals have other numbers")
def test_the_slurm_script_requeues_and_goes_on(tmp_path):
    """With a shorter command, and a scontrol that notes what it was asked."""
    flags = "--dataset=digits --steps=4000 --eval_every=200 --batch_size=64"
    own = f"python -m experiments.mnist {flags} --noplot --workdir=it &"
    script = re.sub(r"^python -m .*? &$", own, SLURM, flags=re.DOTALL | re.MULTILINE)
    assert script != SLURM
    (tmp_path / "train.sh").write_text(script)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    place = shlex.quote(str(tmp_path))
    (tmp_path / ".venv/bin/activate").write_text(f"PATH={place}:$PATH\n")
    for name, line in (
        ("python", f'exec {shlex.quote(sys.executable)} "$@"'),
        ("scontrol", f'echo "$@" >>{place}/asked'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if k != "TFDS_DATA_DIR"}
    more = {"SLURM_JOB_ID": "71", "PYTHONPATH": str(ROOT)}

    def run(signalled):
        with subprocess.Popen(
            ["bash", "train.sh"],
            cwd=tmp_path,
            env=kept | more,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as started:
            journal = tmp_path / "it" / "journal.jsonl"
            while signalled and started.poll() is None:
                if journal.is_file() and b'"kind":"segment"' in journal.read_bytes():
                    started.send_signal(signal.SIGUSR1)
                    break
                time.sleep(0.02)
            _, said = started.communicate(timeout=120)
        return started.returncode, said

    code, said = run(signalled=True)
    assert code == 138 and "SIGUSR1: finishing this segment" in said
    assert (tmp_path / "asked").read_text() == "requeue 71\n"
    assert run(signalled=False) == (0, "")
    assert (tmp_path / "asked").read_text() == "requeue 71\n"
    assert (tmp_path / "it" / "summary.json").is_file()
