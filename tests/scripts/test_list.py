import pytest

from gradjax import optimizers, problems, schedules
from gradjax.diagnostics.registry import DIAGNOSTICS
from scripts import list as listing

REGISTRIES = {
    "optimizers": optimizers.OPTIMIZERS,
    "wrappers": optimizers.WRAPPERS,
    "transforms": optimizers.TRANSFORMS,
    "schedules": schedules.SCHEDULES,
    "problems": problems.PROBLEMS,
    "masks": optimizers.MASKS,
    "diagnostics": DIAGNOSTICS,
}


def test_every_kind_is_a_registry():
    assert listing.KINDS.keys() == REGISTRIES.keys()


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_name_is_a_call_with_words_about_it(kind, capsys):
    assert listing.main([kind]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 88
    assert said.rstrip().endswith(f"{len(REGISTRIES[kind])} {kind}")
    paragraphs = said.split("\n\n")[:-1]
    names = [paragraph.partition("(")[0].split()[0] for paragraph in paragraphs]
    assert names == sorted(REGISTRIES[kind])
    if kind not in ("wrappers", "transforms"):
        assert all("\n    " in paragraph for paragraph in paragraphs)


def test_an_optimizer_has_its_arguments_defaults_and_paper(capsys):
    assert listing.main(["optimizers", "lion", "dpsgd"]) == 0
    lion, dpsgd, count = capsys.readouterr().out.split("\n\n")
    assert lion.startswith("lion(learning_rate=0.0001, b1=0.9, b2=0.99,")
    assert "Chen et al. 2023" in lion
    assert "key" not in dpsgd
    assert "this problem has no data" in " ".join(dpsgd.split())
    assert count == "2 optimizers\n"


def test_an_optimizer_says_where_it_differs_from_its_paper(capsys):
    assert listing.main(["optimizers", "amsgrad", "adam"]) == 0
    amsgrad, adam, _ = capsys.readouterr().out.split("\n\n")
    assert "with max_before_correction=True it is that of v" in " ".join(
        amsgrad.split()
    )
    assert "differs" not in adam


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "usage: python -m scripts.list optimizers|"),
        (["optimizrs"], "did you mean 'optimizers'?"),
        (["optimizers", "adma"], "did you mean 'adam'"),
    ],
)
def test_refuses_in_one_line(arguments, line, capsys):
    assert listing.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert line in said.err


def test_help_is_its_own_words(capsys):
    assert listing.main(["--help"]) == 0
    assert "KIND" in capsys.readouterr().out
