from gradjax.report.descent import Descended, brief, row, sentence

QUICK = Descended(12, "gradient", 30, (1.0, 1.0), 1e-12, 5.0, 1e-6, 0)
SLOW = Descended(3_456, "loss", 3_456, (1.0, 1.0), 2e-7, 5.0, 1e-3, 2)
STUCK = Descended(40, "gradient", 40, (0.0, 0.0), 0.25, 5.0, 1e-6, 1)
TIRED = Descended(9_000, "steps", 9_000, (3.0, 2.0), 4.5, 5.0, 0.1, 0)
LOST = Descended(7, "diverged", 7, (1e200, 1.0), 1e300, 5.0, 1e250, 6)


def test_a_sentence_orders_what_reached_the_minimum_by_steps():
    said = sentence("bowl", {"slow": SLOW, "quick": QUICK})
    quick, slow = "12 steps (30 gradients) of quick", "3,456 steps of slow"
    assert f"on bowl, {quick} and {slow} came to a standstill within 2e-07" in said
    assert said.endswith("the loss never rose with quick.")


def test_a_sentence_says_of_each_that_did_not_arrive_why():
    said = sentence("bowl", {"lost": LOST, "tired": TIRED, "stuck": STUCK})
    assert "lost diverged at step 7;" in said
    assert "40 steps of stuck came to a standstill 0.25 above the minimum;" in said
    assert "9,000 steps of tired led to 4.5 above the minimum, still moving;" in said
    assert "within" not in said


def test_a_sentence_says_when_none_or_all_only_fell():
    assert "with each the loss also rose" in sentence("bowl", {"slow": SLOW})
    both = sentence("bowl", {"quick": QUICK, "tired": TIRED})
    assert both.endswith("the loss never rose with any.")


def test_a_line_gives_the_reason_and_the_place():
    place = "at (1, 1), 2e-07 above the minimum"
    assert row(SLOW) == f"stopped at step 3,456, loss unchanged: {place}"
    assert row(TIRED).startswith("ran out of steps at 9,000: last at (3, 2)")
    assert row(LOST).startswith("diverged at step 7: last seen at (1e+200, 1)")
    words = [brief(one) for one in (QUICK, TIRED, LOST)]
    assert words == [
        "12 steps, gradient small",
        "9,000 steps, still moving",
        "diverged at step 7",
    ]


def test_a_descent_that_stood_still_in_its_last_step_is_not_moving():
    still = TIRED._replace(is_moving=False)
    assert brief(still) == "9,000 steps, not moving"
    said = sentence("bowl", {"still": still})
    assert "led to 4.5 above the minimum, not moving;" in said
