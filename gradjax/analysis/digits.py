"""Numbers as a reader needs them in a sentence or a table."""

import math


def significant(value: float, digits: int = 3, sign: str = "") -> str:
    """Returns a number with so many significant digits, zeros at the end included.

    Args:
      value: a number.
      digits: at least 1.
      sign: "+" writes the sign of a positive number as well.

    Returns:
      A text such as "0.0120" or "2.57e-10"; "no bound" if the value is infinite.
    """
    if math.isinf(value):
        return "no bound"
    if value == 0 or math.isnan(value):
        return f"{value + 0.0:{sign}g}"  # -0.0 + 0.0 has no sign
    text = f"{value:{sign}#.{digits}g}"
    return text.removesuffix(".").replace(".e", "e")
