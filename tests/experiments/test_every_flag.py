"""Every flag of every experiment refuses wrong values in one line that names it."""

import importlib
import itertools
import pkgutil
import shutil

import pytest

import experiments
from gradjax.commands import lesson, train
from gradjax.commands.experiment import Experiment, groups_of

NAMES = sorted(one.name for one in pkgutil.iter_modules(experiments.__path__))
HUGE = "9" * 30
WRONG = {
    "integer": ("-1", "many", "1.5", "nan", "1e400", HUGE, ""),
    "float": ("nan", "-1", "fast", "1e400", "-inf", ""),
    "string": ("no_such_name", "", "{folder}", "{binary}", "{missing}", "\0", "("),
    "strings": ("no_such_name", "", "{folder}", "{binary}", "\0", "("),
    "boolean": ("maybe", "2", ""),
}
ONLY = {  # of flags that any text may be the value of
    "workdir": ("{missing}", "{binary}", "", "\0"),
    "user": ("", "\0"),
    "data_dir": ("{missing}", "{binary}", "", "\0"),
    "sweep": (
        "learning_rate",
        "=[1]",
        "learning_rate=",
        "learning_rate=[]",
        "learning_rate=[nan]",
        "learning_rate=log(0, 1)",
        "learning_rate=log(1, inf)",
        "optimizer=[adma]",
        "optimizer.b9=[1]",
        "steps=[-1]",
    ),
}
MAY_BE_ZERO = ("seed", "trace_every", "fresh_seeds", "split_index", "cache_bytes")
MAY_BE_ZERO += ("stream_workers",)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The smallest data of each kind, a folder, a binary file and no file."""
    folder = tmp_path_factory.mktemp("data")
    count = range(60)
    contents = {
        "texts.csv": ["text,label", *(f"{k} is good,{'pq'[k % 2]}" for k in count)],
        "book.txt": ["to be or not to be"] * 60,
        "pairs.csv": ["en,de", *(f"a dog {k},ein hund {k}" for k in count)],
        "ratings.csv": ["user,item,rating", *(f"{k % 9},{k % 7},3" for k in count)],
        "table.csv": ["x,y,label", *(f"{k},{k % 3},{'pq'[k % 2]}" for k in count)],
    }
    for name, lines in contents.items():
        (folder / name).write_text("\n".join(lines))
    (folder / "binary.bin").write_bytes(bytes(range(256)))
    return folder


def needed(name, files):
    """The flags without which an experiment has no data."""
    return {
        "language": [f"--dataset={files}/book.txt", "--steps=20"],
        "text": [f"--dataset={files}/texts.csv"],
        "translation": [f"--dataset={files}/pairs.csv", "--source=en", "--target=de"],
        "recommend": [f"--dataset={files}/ratings.csv"],
        "tabular": [f"--dataset={files}/table.csv"],
        "mnist": ["--dataset=digits"],
        "vision": ["--dataset=digits"],
    }.get(name, [])


def experiment_of(name):
    """The experiment, and the function that trains it."""
    module = importlib.import_module(f"experiments.{name}")
    what = getattr(module, "EXPERIMENT", None) or module.LESSON
    return what, getattr(module, "train_or_replay", train.train)


def flags_of(name):
    what, _ = experiment_of(name)
    return [flag for group in groups_of(what).values() for flag in group]


def values_of(flag):
    values = ONLY.get(flag.name, WRONG[flag.kind])
    is_count = flag.kind == "integer" and flag.name not in MAY_BE_ZERO
    return (*values, "0") if is_count else values


@pytest.fixture
def wrong(refused, files, monkeypatch):
    """Gives each flag its wrong value; all of them must be refused."""

    def accepted(*_args, **_more):
        raise AssertionError("it was accepted")

    def give(name, cases):
        what, trains = experiment_of(name)
        failed = []
        for flag, value in cases:
            value = value.format(
                folder=files, binary=files / "binary.bin", missing="/no/such/file.csv"
            )
            given = needed(name, files)
            if flag == "epochs":  # which cannot be given with steps
                given = [one for one in given if not one.startswith("--steps")]
            try:
                said = refused(what, *given, f"--{flag}={value}", train=trains)
                name_of_range = value.partition("=")[0].rpartition(".")[2]
                named = [flag, value[:20], name_of_range]
                assert any(one in said for one in named if one), said
                assert "Traceback" not in said
            except (Exception, pytest.fail.Exception) as error:
                failed.append(f"--{flag}={value[:60]!r}: {str(error)[:200]}")
                shutil.rmtree("runs", ignore_errors=True)
        assert not failed, "\n".join(failed)

    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(train.stored, "create_or_open", accepted)
    monkeypatch.setattr(lesson.stored, "begin", accepted)
    return give


def diagonal():
    """Each flag once, at the first experiment that has it, with one of its values."""
    seen, cases, turn = set(), {}, itertools.count()
    for name in NAMES:
        for flag in flags_of(name):
            if flag.name not in seen:
                values = values_of(flag)
                value = values[next(turn) % len(values)]
                cases.setdefault(name, []).append((flag.name, value))
                seen.add(flag.name)
    return cases


@pytest.mark.parametrize("name", diagonal())
def test_a_wrong_value_of_each_flag_is_refused_in_one_line(name, wrong):
    wrong(name, diagonal()[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_wrong_value_of_every_flag_is_refused_in_one_line(name, wrong):
    """The flags that all experiments share are tried with two of them."""
    what, _ = experiment_of(name)
    flags = flags_of(name)
    if isinstance(what, Experiment) and name not in ("minimize", "tabular"):
        flags = [flag for group in what.flags.values() for flag in group]
    wrong(name, [(one.name, value) for one in flags for value in values_of(one)])
