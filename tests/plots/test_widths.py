import numpy as np
import pytest

from gradjax.analysis.width_slopes import LAYER, Sizes, slopes
from gradjax.plots.width_check import width_check
from gradjax.plots.width_transfer import Sweep, width_transfer

PNG = b"\x89PNG"


@pytest.mark.slow
def test_sizes_of_zero_and_of_no_number_are_drawn():
    widths = [64, 128]
    values = np.asarray([[[0.0], [1.0]], [[2.0], [np.inf]]])
    layers = {f"Dense_{k}": Sizes(LAYER, values, values) for k in range(5)}
    assert width_check("a", widths, layers, slopes(widths, layers)).startswith(PNG)


@pytest.mark.slow
@pytest.mark.parametrize("best", [0.1, None])
def test_a_width_at_which_every_rate_diverged_is_drawn(best):
    losses = [2.0, np.inf] if best else [np.inf, np.inf]
    sweeps = {64: Sweep([0.1, 0.2], losses, best), 128: Sweep([0.1], [np.inf], None)}
    found = {"sgd": {"standard": sweeps, "mup": sweeps}}
    assert width_transfer("a", found).startswith(PNG)
