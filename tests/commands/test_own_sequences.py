"""Networks of the user for texts, characters and ratings, by an import path."""

import sys

import pytest

import gradjax

NETS = """import flax.linen as nn
import jax.numpy as jnp

from gradjax.models import factorisation


class Words(nn.Module):
    num_tokens: int
    num_classes: int
    width: int = 4

    @nn.compact
    def __call__(self, tokens, lengths):
        vectors = nn.Embed(self.num_tokens, self.width)(tokens)
        is_word = jnp.arange(tokens.shape[1])[None] < lengths[:, None]
        mean = (vectors * is_word[..., None]).sum(axis=1) / lengths[:, None]
        return nn.Dense(self.num_classes)(mean)


def words(num_tokens, num_classes, width=4):
    return Words(num_tokens, num_classes, width)


class Characters(nn.Module):
    num_tokens: int
    width: int = 4

    @nn.compact
    def __call__(self, tokens):
        vectors = nn.Embed(self.num_tokens, self.width)(tokens)
        return nn.Dense(self.num_tokens)(vectors)


def characters(num_tokens, width=4):
    return Characters(num_tokens, width)


def ratings(catalogue, rank=2):
    return factorisation(catalogue, rank)
"""
CASES = {  # the function, its argument, what `predict` gets, and the size of its answer
    "text": ("words", "width=8", ["a good one"], 1),
    "language": ("characters", "width=8", ["to be"], 1),
    "recommend": ("ratings", "rank=3", [("3", "4")], 1),
}
DATA = {
    "text": ["text,label", *(f"number {k} is good,{'pq'[k % 2]}" for k in range(40))],
    "language": ["to be or not to be"] * 40,
    "recommend": ["user,item,rating", *(f"{k % 9},{k % 7},3" for k in range(90))],
}


@pytest.fixture
def command(typed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_nets.py").write_text(NETS)

    def run(name, model):
        file = "data.txt" if name == "language" else "data.csv"
        (tmp_path / file).write_text("\n".join(DATA[name]))
        sys.modules.pop("own_nets", None)
        flags = (f"--dataset=./{file}", f"--model=own_nets:{model}", "--steps=4")
        return typed(f"experiments.{name}", *flags, "--workdir=run", "--noplot")

    yield run
    sys.modules.pop("own_nets", None)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_network_by_import_path_from_training_to_predict(name, command, tmp_path):
    function, argument, asked, count = CASES[name]
    done = command(name, f"{function}({argument})")
    assert (done.returncode, done.stderr) == (0, "")
    sys.modules.pop("own_nets", None)
    run = gradjax.load(tmp_path / "run")
    assert run.summary["status"] == "finished" and "own_nets" not in sys.modules
    with pytest.raises(gradjax.Refusal, match=f"model=own_nets.{function}"):
        run.predict(asked)
    import own_nets  # type: ignore

    more = {"num_characters": 5} if name == "language" else {}
    opened = gradjax.load(tmp_path / "run", model=getattr(own_nets, function))
    assert len(opened.predict(asked, **more)) == count
    if name == "recommend":
        with pytest.warns(UserWarning, match="'a new user' is not in the data set"):
            assert len(opened.recommend("a new user", count=2)) == 2


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_network_is_refused_in_one_line(name, command, tmp_path):
    function, *_ = CASES[name]
    for model, expected in (
        (f"{function}(depth=3)", "TypeError"),
        (f"{function[:-1]}", "cannot import"),
        ("NETS", "cannot import"),
        ("jnp", "is a module: not a network"),
    ):
        done = command(name, model)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert expected in done.stderr, done.stderr
        assert not (tmp_path / "run").exists()
