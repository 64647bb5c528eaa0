"""The curves of diagnostics in a report."""

import base64

import numpy as np
import pytest

from gradjax.analysis.comparison import compare
from gradjax.pages import content as contents
from gradjax.pages.content import content
from gradjax.pages.page import page
from gradjax.records.comparisons import outcomes_of
from gradjax.types import Series
from tests.pages import browser as browsers
from tests.pages.comparisons import ACCURACY, outcomes

STEPS = np.arange(1, 200, 20)
HOSTILE = "</script><script>alert(1)</script>"


def _tables(names=("sharpness", HOSTILE)):
    """Sgd has all of the diagnostics, and adam has none."""
    found = []
    for one in outcomes(("sgd", "adam")):
        if (one.optimizer, one.role) == ("sgd", "fresh"):
            own = {name: Series(STEPS, STEPS + one.seed) for name in names}
            one = one._replace(measured=own)
        found.append(one)
    return [compare(found, ACCURACY, "adam")]


def _unpacked(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_the_fresh_seeds_have_the_curves_at_their_own_steps():
    (problem,) = content("t", _tables(), {})["problems"]
    assert problem["measured"] == sorted(["sharpness", HOSTILE])
    having = [one for one in problem["trials"] if "measured" in one]
    assert len(having) == 6
    assert {(one["optimizer"], one["role"]) for one in having} == {("sgd", "fresh")}
    for one in having:
        curve = one["measured"]["sharpness"]
        np.testing.assert_array_equal(_unpacked(problem["axes"][curve["axis"]]), STEPS)
        np.testing.assert_array_equal(_unpacked(curve["values"]), STEPS + one["seed"])


def test_a_page_keeps_thirty_diagnostics_and_its_curves_stay_small():
    names = [f"mine.{k:03}" for k in range(40)]
    (problem,) = content("t", _tables(names), {})["problems"]
    assert problem["measured"] == names[: contents._MOST_MEASURED]
    having = [one for one in problem["trials"] if "measured" in one]
    assert all(len(one["measured"]) == 30 for one in having)


def test_a_report_without_diagnostics_has_none():
    found = [compare(list(outcomes(("sgd", "adam"))), ACCURACY, "adam")]
    (problem,) = content("t", found, {})["problems"]
    assert problem["measured"] == []
    assert not any("measured" in one for one in problem["trials"])


def test_a_hostile_name_of_a_diagnostic_is_escaped():
    assert HOSTILE not in page(content("t", _tables(), {}), {})


@pytest.mark.slow
def test_a_record_gives_the_curves_of_its_diagnostics(typed, tmp_path):
    flags = ("--problem=booth", "--steps=20", "--seeds=2", "--workdir=mine", "--noplot")
    measured = "--diagnostics=[sharpness(every=5), layer_norms(every=10)]"
    done = typed("experiments.minimize", *flags, measured)
    assert (done.returncode, done.stderr) == (0, "")
    ((_, found),) = outcomes_of(tmp_path / "mine")
    assert len(found) == 2
    for one in found:
        assert one.measured is not None
        steps, values = one.measured["sharpness"]
        assert steps.tolist() == [1, 6, 11, 16]
        np.testing.assert_allclose(values, 18.0, rtol=1e-4)
        assert one.measured["layer_norms.total_grads_norm"].steps.tolist() == [1, 11]
        assert not any("/" in name for name in one.measured)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_the_panel_draws_each_diagnostic(width, tmp_path):
    if browsers.path() is None:
        pytest.skip("no chromium on this machine")
    file = tmp_path / "report.html"
    file.write_text(page(content("t", _tables(("sharpness", "zero")), {}), {}), "utf-8")
    browser = browsers.Browser(tmp_path / "user")
    try:
        browser.open(file, width)
        heading = "Diagnostics of the fresh seeds"
        one = f"document.querySelector('.panel[aria-label=\"{heading}\"]')"
        assert browser.evaluate(f"{one}.querySelectorAll('svg path').length") >= 2
        said = browser.evaluate(f"{one}.textContent")
        assert "It was not measured for adam." in said
        browser.evaluate(
            f"(() => {{ const e = {one}.querySelector('select'); e.value = 'zero';"
            " e.dispatchEvent(new Event('change')); })()"
        )
        assert "zero" in browser.evaluate(f"{one}.querySelector('.area').textContent")
        wide = "document.documentElement.scrollWidth"
        assert browser.evaluate(wide) <= width
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        assert not [one for one in browser.events if one.get("method") in kinds]
    finally:
        browser.close()
