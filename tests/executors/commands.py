"""Sweeps of the digits as commands in processes of their own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RATES = "[0.01, 0.02, 0.03, 0.05, 0.1, 0.2]"


def sweep(steps, batch_size=32, rates=RATES, optimizer="sgd"):
    """The flags of a sweep of six batches of one trial, or one for each rate."""
    return (
        "--dataset=digits",
        "--model=mlp",
        f"--optimizer={optimizer}",
        f"--sweep=learning_rate={rates}",
        f"--steps={steps}",
        f"--batch_size={batch_size}",
        "--fresh_seeds=0",
        "--lane_width=1",
        "--num_threads=1",
        "--noplot",
    )


class Command:
    """`python -m experiments.mnist`, which writes what it says into a file."""

    def __init__(self, folder, *flags, **variables):
        self.folder, self.log = folder, folder.with_suffix(".log")
        command = [sys.executable, "-m", "experiments.mnist", *flags]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*command, f"--workdir={folder}"],
                cwd=folder.parent,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def said(self):
        return self.log.read_text(errors="replace")

    def is_running(self):
        return self.process.poll() is None

    def wait(self, seconds):
        """The exit code; the process is killed after a time."""
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def segments(self):
        return journal_names(self.folder, "segment")

    def until(self, count, seconds):
        """Waits until this many segments are committed."""
        end = time.monotonic() + seconds
        while len(self.segments()) < count:
            assert self.is_running(), self.said()
            assert time.monotonic() < end
            time.sleep(0.02)


def journal(folder, kind):
    """The lines of the committed files of a kind."""
    path, found = folder / "journal.jsonl", []
    for line in path.read_text().splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):  # the last one may be half written
            found.append(json.loads(line))
    return [one for one in found if one.get("kind") == kind]


def journal_names(folder, kind):
    """The names of the committed files of a kind, as often as the journal has them."""
    return [one["name"] for one in journal(folder, kind)]


def ordered(curves):
    """Curves in an order that does not depend on how many segments hold them."""
    by = ["trial", "name", "step"]
    return curves.sort_values(by, kind="stable").reset_index(drop=True)
