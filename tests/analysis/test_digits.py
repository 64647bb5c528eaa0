import numpy as np
import pytest

from gradjax.analysis.digits import significant


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.012, 3, "0.0120"),
        (2.571e-10, 4, "2.571e-10"),
        (1234.5, 4, "1234"),
        (1.0, 4, "1.000"),
        (1e6, 1, "1e+06"),
        (-0.0, 3, "0"),
        (np.nan, 3, "nan"),
        (-np.inf, 3, "no bound"),
    ],
)
def test_a_number_keeps_its_significant_digits(value, digits, text):
    assert significant(value, digits) == text


def test_a_sign_is_written_on_request():
    assert significant(0.5, 2, "+") == "+0.50"
    assert significant(0.0, 2, "+") == "+0"
