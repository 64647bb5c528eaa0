import pytest

import gradjax
from gradjax.errors import Refusal

_SMALL = {"num_trials": 3, "num_seeds": 2, "num_gradients": 40}


def test_an_unknown_executor_is_refused():
    with pytest.raises(Refusal, match="executor: unknown executor 'rai'; did you mean"):
        gradjax.compare(["sgd", "adam"], ["wine"], executor="rai", **_SMALL)


def test_workers_of_this_process_are_refused():
    with pytest.raises(Refusal, match="num_workers=2: .* has no workers"):
        gradjax.compare(["sgd", "adam"], ["wine"], num_workers=2, **_SMALL)


@pytest.mark.slow
def test_a_comparison_by_processes_is_the_one_of_this_process(tmp_path):
    found = {}
    for name in ("inline", "processes"):
        where = {"workdir": tmp_path / name, "executor": name}
        gradjax.compare(["sgd", "adam"], ["wine"], **where, **_SMALL)
        (folder,) = (tmp_path / name / "wine").glob("sgd*")
        found[name] = gradjax.frames(folder).trials
    assert len(found["inline"]) == 5
    assert found["inline"].equals(found["processes"])
