"""The rule of lane widths that a machine measures and keeps."""

import json

import jax
import pytest

from gradjax import Refusal
from gradjax.trials import cost, lane_width
from scripts import calibrate, check_device, device_networks
from scripts.check_device import Timing


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(calibrate.compilation_cache, "keep", lambda _: None)


def timings(**times):
    """width -> us per step."""
    return [Timing(int(w[1:]), us * 1e-6, 0.0, 0, 0.0) for w, us in times.items()]


def test_the_smallest_width_near_the_fastest_is_taken():
    found = {
        70_000: timings(w1=20, w16=10, w64=7, w256=6.9),
        200_000: timings(w1=39, w2=28, w16=21, w64=25),
        5_000_000: timings(w1=1_158, w2=1_414),
    }
    assert calibrate.rule_of(found) == ((70_000, 64), (200_000, 16), (None, 1))


def test_a_larger_network_gets_no_more_lanes_than_a_smaller_one():
    found = {10: timings(w1=2, w4=1), 20: timings(w1=3, w16=1), 30: []}
    assert calibrate.rule_of(found) == ((10, 4), (None, 4))


def test_without_a_timing_there_is_no_rule():
    with pytest.raises(Refusal, match="no network fits into the memory"):
        calibrate.rule_of({10: [], 20: []})


def test_where_the_time_is_over_no_rule_is_kept(monkeypatch, capsys):
    (one,) = timings(w1=3)
    monkeypatch.setattr(check_device, "time_width", lambda *_: one)
    assert calibrate.main(["--minutes=1e-9"]) == 2
    assert "not all widths were timed" in capsys.readouterr().err
    assert not lane_width.kept_path().exists()


def test_the_rule_is_measured_kept_used_and_forgotten(monkeypatch, capsys):
    sizes = {}

    def time_width(case, width, _until):
        size = sizes.setdefault(case.title, len(sizes))
        return None if size and width > 16 else timings(**{f"w{width}": 100 / width})[0]

    monkeypatch.setattr(check_device, "time_width", time_width)
    usual = lane_width.default_widths()
    assert calibrate.main(["--show"]) == 0
    assert "(the rule of gradjax)" in capsys.readouterr().out
    lane_width.kept_path().parent.mkdir()
    lane_width.kept_path().write_text(json.dumps({"another": [[None, 3]]}))
    assert calibrate.main([]) == 0
    said = capsys.readouterr().out
    assert "(measured here)" in said
    known = device_networks.calibration_cases(jax.default_backend() == "cpu")
    first = cost.touched_bytes(device_networks.program_of(known[0]))
    rule = lane_width.default_widths()
    assert rule[0] == (first, max(calibrate._WIDTHS["cpu"])) and rule[-1] == (None, 16)
    assert f"64 lanes up to {first:,} bytes" in said and "16 lanes above" in said
    assert len([line for line in said.splitlines() if line[:5] == "| MLP"]) == 20
    assert lane_width.kept_widths()["another"] == ((None, 3),)
    assert calibrate.main(["--forget"]) == 0
    assert "removed" in capsys.readouterr().out
    assert lane_width.default_widths() == usual
    assert calibrate.main(["--forget"]) == 0
    assert "no rule is kept" in capsys.readouterr().out


def test_the_networks_of_a_cpu_are_those_of_its_table():
    touched = [
        cost.touched_bytes(device_networks.program_of(case))
        for case in device_networks.calibration_cases(is_cpu=True)
    ]
    assert touched == sorted(touched)
    limits = [size for size, _ in lane_width._WIDTHS["cpu"][:-1]]
    for below, limit, above in zip(touched, limits, touched[1:], strict=False):
        assert below < limit < above


@pytest.mark.parametrize("flag", ["--minutes=0", "--minutes=x", "--hide"])
def test_bad_flags_are_one_line(flag, capsys):
    with pytest.raises(SystemExit) as stopped:
        calibrate.main([flag])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
