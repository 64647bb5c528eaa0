"""Every script refuses wrong flags in one line, and writes nothing."""

import importlib

import pytest

from gradjax.commands import compilation_cache

NUMBERS = ("-1", "0", "1.5", "nan", "1e400", "many", "", "9" * 30)
LEARNING_RATES = "--sweep=learning_rate=[1]"


def with_numbers(*flags):
    return [[f"{flag}={value}"] for flag in flags for value in NUMBERS]


WRONG = {
    "benchmark": [
        ["nope"],
        ["single", "--model=mpl"],
        ["single", "--model="],
        ["sweep", "--case=mpl"],
        *(["single", *flag] for flag in with_numbers("--rounds")),
        ["stream", "--model=lstm"],
        *(["stream", *flag] for flag in with_numbers("--rounds", "--steps", "--shape")),
        *(["stream", f"--sizes={one}"] for one in NUMBERS if one != "0"),
        *(["sweep", *flag] for flag in with_numbers("--rates", "--steps", "--trials")),
    ],
    "check_device": [["nope"], ["--steps=1"], ["--minutes=many"], ["--minutes=nan"]],
    "check_statistics": [["nope"], ["--nope"], *with_numbers("--studies", "--real")],
    "compare": [
        ["nope"],
        ["--optimizers=adma,sgd"],
        ["--optimizers="],
        ["--optimizers=sgd"],
        *(
            ["--optimizers=sgd,adam", flag]
            for flag in (
                "--suite=smal",
                "--suite=",
                "--problems=quadratc",
                "--problems=",
                "--baseline=lion",
                "--baseline=",
                "--space=learning_rate",
                "--space=",
                "--search=randm",
                "--search=",
                "--schedule=cosin",
                "--schedule=",
                "--horizons=0",
                "--horizons=many",
                "--horizons=",
                "--workdir={file}",
                "--workdir=",
                "--workdir={missing}/run",
            )
        ),
        *(
            ["--optimizers=sgd,adam", "--problems=ridge", *flag]
            for flag in with_numbers(
                "--trials", "--seeds", "--gradients", "--batch_size"
            )
        ),
        *(["--optimizers=sgd,adam", f"--seed={v}"] for v in NUMBERS if v != "0"),
    ],
    "compare_traces": [["HEAD", "nope"], ["--nope"]],
    "count_gradient_checks": [
        ["nope"],
        ["--problems=quadratc"],
        ["--problems="],
        *with_numbers("--checks", "--num_directions"),
    ],
    "export_params": [[], [""], ["{missing}"], ["{file}"], ["."], ["--nope"]],
    "export_tensorboard": [[], [""], ["{missing}"], ["{file}"], ["."], ["--nope"]],
    "list": [["nope"], [""], ["--nope"], ["optimizer"], ["optimizers", "nope"]],
    "make_stream": [
        ["nope"],
        [],
        ["--name=toy"],
        ["--name=Toy", "--synthetic", "--num_examples=9"],
        ["--name=", "--synthetic", "--num_examples=9"],
        ["--name=toy", "--synthetic"],
        ["--name=toy", "--synthetic", "--text={file}", "--num_examples=9"],
        ["--name=toy", "--text={file}", "--num_examples=9"],
        *(
            ["--name=toy", f"--{one}={{missing}}"]
            for one in ("text", "table", "images")
        ),
        *(["--name=toy", f"--{one}={{file}}"] for one in ("text", "table", "images")),
        ["--name=toy", "--images=."],
        ["--name=toy", "--text=."],
        ["--name=toy", "--table=."],
        *(
            ["--name=toy", "--synthetic", *flag]
            for flag in with_numbers(
                "--num_examples", "--shape", "--num_classes", "--shard_bytes"
            )
        ),
        *(
            ["--name=toy", "--synthetic", "--num_examples=9", *flag]
            for flag in with_numbers("--validation", "--test")
        ),
        ["--name=toy", "--synthetic", "--num_examples=9", "--data_dir={file}"],
        ["--name=toy", "--synthetic", "--num_examples=9", "--shape=28,28,2"],
        ["--name=toy", "--synthetic", "--num_examples=2"],
    ],
    "optimizer_table": [
        ["nope"],
        ["--optimizers=adma"],
        ["--optimizers="],
        *with_numbers("--seeds"),
    ],
    "prepare_data": [[], [""], ["--nope"], ["a", "b"], ["../secret"]],
    "recommend_splits": [["nope"], ["--nope"], *(["nope", one] for one in NUMBERS)],
    "report": [[], [""], ["{missing}"], ["{file}"], ["."], ["--csv={missing}"]],
    "run_suite": [
        ["nope"],
        [""],
        ["--nope"],
        ["--optimizer=adma"],
        ["--optimizer="],
        *(one for one in with_numbers("--seed") if one != ["--seed=0"]),
    ],
    "set_targets": [["nope"], [""], ["--nope"]],
    "show_schedule": [
        ["cosin"],
        [""],
        ["--nope"],
        ["linear(nan)"],
        ["[1e400]"],
        *(["cosine", *flag] for flag in with_numbers("--steps")),
    ],
    "sweep": [
        ["nope"],
        ["--nope"],
        ["--experiment=", LEARNING_RATES],
        ["--experiment=mnits", LEARNING_RATES],
        *(["--workdir={missing}", one] for one in ("status", "verify", "table")),
        *(["--workdir={file}", one] for one in ("status", "verify", "table")),
        *(["--workdir=.", one] for one in ("status", "table")),
    ],
    "simulate_cluster": [
        ["nope"],
        *with_numbers("--workers", "--trials", "--lane_width"),
        ["--seed=-1"],
        ["--seed=many"],
        ["--failures=0.5"],
        ["--failures=-0.1"],
        ["--failures=nan"],
        ["--stragglers=many"],
        ["--poisoned=1"],
        ["--folder={missing}"],
        ["--write", "--out={file}"],
    ],
    "width_check": [
        ["nope"],
        ["--model=mpl"],
        ["--model="],
        ["--model=logistic"],
        ["--parametrization=mpu"],
        ["--parametrization=mup(bas=3)"],
        ["--optimizer=adma"],
        ["--optimizer=rmsprop"],  # its larger rate is not known
        ["--dataset=nope"],
        ["--text={missing}"],
        ["--text={file}"],
        *([f"--widths={one}"] for one in ("64", "64,32", "64,64", "64,", "8,many")),
        *(["--optimizer=sgd", *one] for one in with_numbers("--steps", "--seeds")),
        ["--learning_rate=0"],
        ["--learning_rate=-1"],
        ["--learning_rate=nan"],
    ],
    "width_transfer": [
        ["nope"],
        ["--model=mpl"],
        ["--optimizers=adma"],
        ["--optimizers="],
        ["--optimizers=muon"],
        ["--dataset=nope"],
        ["--widths=64"],
        *with_numbers("--steps", "--seeds", "--batch_size"),
    ],
}


SLOW = ("compare",)


@pytest.mark.parametrize(
    "name",
    [pytest.param(x, marks=[pytest.mark.slow] * (x in SLOW)) for x in WRONG],
)
def test_each_wrong_flag_is_refused_in_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(compilation_cache, "keep", lambda _: None)
    (tmp_path / "cwd").mkdir()
    (tmp_path / "file").write_bytes(bytes(range(256)))
    monkeypatch.chdir(tmp_path / "cwd")
    places = {"missing": "no/such", "file": str(tmp_path / "file")}
    main = importlib.import_module(f"scripts.{name}").main
    failed = []
    for arguments in WRONG[name]:
        given = [one.format(**places) for one in arguments]
        try:
            code = main(given)
        except SystemExit as stopped:
            code = stopped.code
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
        said = capsys.readouterr().err
        if code != 2 or said.count("\n") != 1 or not said.startswith(name):
            failed.append(f"{given}: {code}, {said[:200]!r}")
    assert not failed, "\n".join(failed)
    assert not list((tmp_path / "cwd").iterdir())
