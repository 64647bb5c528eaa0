"""A run or a sweep is watched from its record alone."""

import base64
import hashlib
import html.parser
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import gradjax
from gradjax import problems
from gradjax.errors import Refusal
from gradjax.pages.watch import watch_page
from gradjax.records import opening, reading
from gradjax.report import look as looking
from gradjax.report import status, watched, watched_page
from gradjax.report.look import Look
from gradjax.types import Series
from scripts import watch

STEPS = np.arange(1, 101)
EVIL = "</style><script>alert(1)</script>\x1b[2J"


def _series(values, first=1):
    values = np.asarray(values, np.float32)
    return Series(np.arange(first, first + len(values)), values)


def _look(**more):
    curves = {"loss": _series(np.exp(-STEPS / 20)), "sharpness": _series([1.0, 3.0])}
    usual = {
        "folder": "runs/mine",
        "state": "running",
        "share": 0.5,
        "rows": [("time", "about 3 s left"), ("best so far", "loss 0.1")],
        "curves": curves,
        "trial": "sgd, seed 0",
    }
    return Look(**(usual | more))


def _lines(found, width=80, height=40, encoding="utf-8"):
    return watched.lines(found, width, height, encoding)


def test_the_lines_say_how_far_how_long_and_the_last_values():
    first, bar, *rest = _lines(_look())
    assert first == "runs/mine: running"
    assert bar == f"  [{'#' * 15}{'-' * 15}]  50%"
    assert rest[0].split() == ["time", "about", "3", "s", "left"]
    assert rest[2] == "  curves of sgd, seed 0"
    assert rest[3].split() == [
        "loss",
        "0.0067",
        watched.sparkline(_look().curves["loss"]),
    ]
    assert rest[4].split() == ["sharpness", "3.0000", "▁█"]


def test_a_sparkline_falls_with_its_curve_and_has_gaps():
    falling = watched.sparkline(_series(np.linspace(8, 1, 8)))
    assert falling == "█▇▆▅▄▃▂▁"
    assert watched.sparkline(_series([1.0, np.nan, 2.0])) == "▁ █"
    assert watched.sparkline(_series([np.nan, np.inf])) == "  "
    assert watched.sparkline(_series([0.5, 0.5 + 1e-7])) == "▅▅"
    assert watched.sparkline(_series([-3e38, 0.0, 3e38])) == "▁▅█"
    assert len(watched.sparkline(_series(np.arange(1_000)))) == 24
    # A logarithmic scale: the fall from 1 to 0.1 is as high as that from 0.1 to 0.01.
    assert watched.sparkline(_series([1.0, 0.1, 0.01]), "01234") == "420"


def test_parts_of_a_curve_are_means_of_what_is_finite():
    steps, values = looking.resampled(_series([1, 3, np.nan, 5, np.nan, np.inf]), 3)
    np.testing.assert_allclose(steps, [1.5, 3.5, 5.5])
    np.testing.assert_allclose(values, [2.0, 5.0, np.nan])
    steps, values = looking.resampled(_series([1.0]), 24)
    assert steps.tolist() == [1.0] and values.tolist() == [1.0]


def test_lines_fit_the_terminal_and_name_what_is_left_out():
    curves = {f"metric{k}": _series([1.0, 2.0]) for k in range(40)}
    curves |= {f"norms.{part}/kernel": _series([1.0]) for part in "abc"}
    found = _lines(_look(curves=curves, trial="x" * 200), width=60, height=20)
    assert len(found) <= 19 and max(map(len, found)) <= 60
    assert "curves more: --html=" in found[-1]
    few = {name: curves[name] for name in ("metric0", "norms.a/kernel")}
    assert _lines(_look(curves=few))[-1].startswith("  1 curves of single layers")
    assert not any("kernel" in line for line in _lines(_look(curves=few)))


def test_a_terminal_without_blocks_and_an_escape_sequence():
    lines = _lines(_look(folder=f"a{EVIL}"), encoding="ascii")
    "\n".join(lines).encode("ascii")
    assert "\x1b" not in "".join(lines) and lines[0].startswith("a</style>")
    assert "_@" in lines[-1]


def test_curves_are_sorted_and_one_without_points_is_left_out():
    names = ("b.x/kernel", "b.0", "b.x", "learning_rate", "accuracy", "validation_loss")
    curves = {name: _series([1.0]) for name in (*names, "loss")}
    curves["none"] = _series([])
    assert list(looking._sorted(curves)) == [
        "loss",
        "validation_loss",
        "accuracy",
        "learning_rate",
        "b.x",
        "b.x/kernel",
        "b.0",
    ]


class _Page(html.parser.HTMLParser):
    """The tags of a page, its attributes and its texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_escapes_everything_and_allows_its_own_style_alone():
    evil = _look(
        folder=EVIL,
        rows=[(EVIL, EVIL)],
        trial=EVIL,
        curves={EVIL: _series([1.0, 2.0]), f"a/{EVIL}": _series([1.0])},
    )
    text = watch_page(watched_page.content(evil), 2.0)
    page = _Page(text)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "img", "a")]
    assert sum("alert(1)" in one for one in page.texts) >= 5
    heads = [
        attrs for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs
    ]
    policy, refresh = (one["content"] for one in heads)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"
    assert refresh == "2" and "url" not in refresh
    assert "style=" not in text and "http://" not in text and "https://" not in text


def test_the_page_of_a_finished_record_is_not_read_again():
    page = watch_page(watched_page.content(_look(state="finished", share=1.0)), None)
    assert 'http-equiv="refresh"' not in page and "does not change any more" in page
    empty = watch_page(watched_page.content(_look(curves={}, trial="")), 0.5)
    assert "No curve is stored yet" in empty and 'content="0.5"' in empty


def test_a_curve_with_a_gap_is_drawn_in_parts():
    values = [1.0, 2.0, np.nan, 3.0, np.nan, np.nan]
    (_, (curve,)), *_ = watched_page.content(_look(curves={"a": _series(values)}))[
        "groups"
    ]
    assert len(curve["lines"]) == 2
    assert curve["lines"][1] == [(0.6, 1.0), (0.6, 1.0)]  # one point, as a dot
    assert (curve["last"], curve["range"]) == ("nan", "1.0000 to 3.0000")


def _asked(folder, **more):
    usual = {"folder": folder, "interval": 0.5, "html": None, "once": False}
    return watch.Asked(**(usual | more))


def test_it_waits_for_a_folder_and_ends_when_the_record_is_finished(
    monkeypatch, tmp_path
):
    states = [None, None, _look(), _look(state="stopped"), _look(state="finished")]
    waiting, slept, seen = iter(states), [], []
    monkeypatch.setattr(watch, "look", lambda _: next(waiting))
    page = tmp_path / "page.html"
    watch.watch(_asked(tmp_path / "no", html=page), seen.append, slept.append)
    assert seen[0] == [f"{tmp_path / 'no'}: no run or sweep yet; waiting for it"]
    assert [one[0].partition(": ")[2] for one in seen[2:]] == [
        "running",
        "no process writes it; the same command resumes it",
        "finished",
    ]
    assert len(slept) == 4 and min(slept) >= 0.5
    assert 'http-equiv="refresh"' not in page.read_text()


def test_a_record_that_is_replaced_just_now_is_read_again(monkeypatch, tmp_path):
    answers = iter([Refusal("damaged"), FileNotFoundError("gone"), _look()])

    def read(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(watch, "look", read)
    seen = []
    watch.watch(_asked(tmp_path, once=True), seen.append, lambda _: None)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["nothing", "--once"], "watch: nothing: there is no run or sweep yet"),
        (["other", "--once"], "holds 'notes.txt' and no plan.json"),
        (
            ["nothing", "--html=no/page.html"],
            "--html=no/page.html: there is no folder no",
        ),
        (["nothing", "--html=other"], "--html=other: is a folder; name a file"),
        (["nothing", "--interval=0"], "argument --interval: invalid"),
    ],
)
def test_a_wrong_command_is_one_line(more, line, typed, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    done = typed("scripts.watch", *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert line in done.stderr and done.stderr.count("\n") == 1


RATES = {"learning_rate": [0.01, 0.1, 1e30]}


@pytest.mark.slow
def test_a_sweep_is_watched_before_during_and_after(tmp_path, typed, interrupted):
    folder = tmp_path / "sweep"
    tuned = {"num_steps": 20, "batch_size": 32, "num_fresh_seeds": 1, "lane_width": 1}

    def tune():
        return gradjax.tune(
            problems.make("ridge"), "sgd", RATES, workdir=folder, **tuned
        )

    assert looking.look(folder) is None
    with interrupted(3):
        tune()
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    found = looking.look(folder)
    assert found.state == "stopped" and 0.3 < found.share < 1.0
    assert dict(found.rows)["trials"] == "1 of 3 of the search have ended"
    assert found.trial.startswith("the best trial so far: sgd, learning_rate 0.")
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    tune()
    done = typed("scripts.watch", "sweep", "--html=page.html")  # ends by itself
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sweep: finished\n") and "100%" in done.stdout
    page = (tmp_path / "page.html").read_text()
    assert "polyline" in page and 'http-equiv="refresh"' not in page
    store = opening.open_to_read(folder, say=print)
    best = status.best_of(store, reading.rows(store)).trial
    trace, curves = gradjax.load(folder, best).trace, looking.look(folder).curves
    assert set(trace) == set(curves)
    for name, series in trace.items():
        np.testing.assert_array_equal(curves[name].values, series.values)


@pytest.mark.slow
def test_a_run_of_another_process_is_watched_and_ctrl_c_ends_it(tmp_path, process):
    command = [sys.executable, "-u", "-m", "scripts.watch", "mine", "--interval=0.2"]
    environment = os.environ | {"PYTHONPATH": str(Path(watch.__file__).parents[1])}
    watching = subprocess.Popen(
        [*command, "--html=page.html"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert "waiting for it" in watching.stdout.readline()
        flags = ("--problem=booth", "--steps=20", "--workdir=mine", "--noplot")
        done = process(tmp_path, "experiments.minimize", *flags)
        assert done.returncode == 0, done.stderr
        said, _ = watching.communicate(timeout=60)
        assert watching.returncode == 0 and "mine: finished" in said
        assert "Traceback" not in said and (tmp_path / "page.html").is_file()
    finally:
        watching.kill()
    waiting = subprocess.Popen(
        [*command[:4], "nothing"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        waiting.stdout.readline()
        time.sleep(0.2)
        waiting.send_signal(signal.SIGINT)
        said, _ = waiting.communicate(timeout=30)
        assert (waiting.returncode, said) == (130, "")
    finally:
        waiting.kill()
