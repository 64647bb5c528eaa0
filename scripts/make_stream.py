"""Makes a data set of any size to train from: `python -m scripts.make_stream`.

usage: python -m scripts.make_stream --name=NAME [--data_dir=FOLDER] [--overwrite]
           [--validation=0.05] [--test=0.05] [--seed=0] [--shard_bytes=134217728]
           and one of
           --images=FOLDER [--image_size=H,W]       a subfolder for each class
           --table=FILE [--text_column=NAME] [--label_column=NAME] [--no_labels]
           --text=PATH                              a text, or a folder of texts
           --synthetic --num_examples=N [--shape=28,28,1] [--num_classes=10]

The data set is written to FOLDER/NAME in the form of TFDS, in which the experiments
read it: `--dataset=NAME --data_dir=FOLDER --stream`. FOLDER is $TFDS_DATA_DIR or
~/tensorflow_datasets if it is not given. A table is CSV, TSV or JSON lines with names
of columns; with --no_labels its texts are for a language model, as those of --text.

Only one example is in memory at a time. Validation and test get random shares, which
the seed decides. An interrupted command goes on after its last complete shard and
writes the same bytes. The description has the sha256 of every shard.
"""

import argparse
import math
import sys
import time
from pathlib import Path

from gradjax.commands import signals
from gradjax.data import (
    image_files,
    prepared,
    record_writer,
    synthetic,
    table_records,
    text_records,
)
from gradjax.data.record_journal import Place
from gradjax.data.record_writer import SHARD_BYTES, Content
from gradjax.data.splitting import Shares
from gradjax.data.synthetic import Synthetic
from gradjax.errors import Refusal
from gradjax.report import terminal
from scripts import parsing

_SOURCES = ("images", "table", "text", "synthetic")
_OF = {  # flag -> the source to which it belongs
    "image_size": "images",
    "text_column": "table",
    "label_column": "table",
    "no_labels": "table",
    "num_examples": "synthetic",
    "shape": "synthetic",
    "num_classes": "synthetic",
}
_SAY_EVERY_S = 2.0
_MAX_SIDE = 2**14  # pixels


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flags = _parser().parse_args(arguments)
    signals.usual()
    try:
        made = make(flags)
    except Refusal as error:
        print(f"make_stream: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("make_stream: interrupted; the same command goes on", file=sys.stderr)
        return 130
    terminal.say(made)
    return 0


def make(flags: argparse.Namespace) -> str:
    """Writes the data set; returns what it is and how to train from it.

    Raises:
      Refusal: a wrong flag, or what `record_writer.write` refuses.
    """
    source = _source(flags)
    record_writer.check_name(flags.name)
    data_dir = flags.data_dir or str(prepared.default_data_dir())
    place = Place(Path(data_dir).expanduser().absolute(), flags.name)
    shares = Shares(flags.validation, flags.test, flags.seed)
    content = _content(source, flags, shares)
    terminal.say(f"{place.name}: {content.description}")
    counts = record_writer.write(
        content,
        place,
        shares,
        flags.shard_bytes,
        flags.overwrite,
        _progress(content.num_examples),
    )
    said = ", ".join(f"{split} {count:,}" for split, count in counts.items())
    what = {"images": "vision", "synthetic": "vision", "table": "text"}
    name = what.get(source, "language") if not flags.no_labels else "language"
    where = f"--dataset={place.name} --data_dir={data_dir}"
    return (
        f"{said}: {place.folder}\n"
        f"python -m experiments.{name} {where} --stream trains from it"
    )


def _source(flags: argparse.Namespace) -> str:
    """Returns which source of examples was given."""
    given = [name for name in _SOURCES if getattr(flags, name)]
    if len(given) != 1:
        said = terminal.join_words([f"--{name}" for name in given] or ["none"])
        expected = ", ".join(f"--{name}" for name in _SOURCES)
        raise Refusal(f"{said} given; expected one of {expected}")
    for name, source in _OF.items():
        if getattr(flags, name) not in (None, False) and source != given[0]:
            raise Refusal(f"--{name} belongs to --{source}, not to --{given[0]}")
    if given[0] == "synthetic" and flags.num_examples is None:
        raise Refusal("--synthetic needs --num_examples=N")
    return given[0]


def _content(source: str, flags: argparse.Namespace, shares: Shares) -> Content:
    if source == "images":
        return image_files.content(_path(flags.images), flags.image_size)
    if source == "table":
        columns = flags.text_column, flags.label_column
        return table_records.content(_path(flags.table), *columns, not flags.no_labels)
    if source == "text":
        return text_records.content(_path(flags.text), shares)
    given = {"shape": flags.shape, "num_classes": flags.num_classes}
    given = {name: value for name, value in given.items() if value is not None}
    return synthetic.content(Synthetic(flags.num_examples, **given, seed=flags.seed))


def _path(text: str) -> Path:
    if "\0" in text:
        raise Refusal(f"{text!r}: expected a path")
    return Path(text).expanduser()


def _progress(num_examples: int) -> record_writer.OnWritten:
    """Returns a function that says every two seconds how much is written."""
    done, size, first = 0, 0, 0
    started = said_at = time.monotonic()

    def on_written(count: int, num_bytes: int) -> None:
        nonlocal done, size, first, started, said_at
        if not done:  # what an earlier command wrote, or the first example
            first, started = count, time.monotonic()
        done, size, now = done + count, size + num_bytes, time.monotonic()
        if now - said_at < _SAY_EVERY_S or done == first:
            return
        said_at = now
        left = (now - started) / (done - first) * (num_examples - done)
        print(
            f"{done:,} of {num_examples:,} examples, {size / 1e6:,.0f} MB,"
            f" {terminal.duration(left)} left",
            file=sys.stderr,
            flush=True,
        )

    return on_written


def _share(text: str) -> float:
    """Reads a number between 0 and 1."""
    value = parsing.positive(text)
    if not value < 1 or math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share below 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = parsing.parser("make_stream", __doc__)
    add = parser.add_argument
    add("--name", required=True, help="of the data set, such as my_data")
    add("--data_dir", help="the folder of data sets")
    add("--overwrite", action="store_true", help="replace another data set")
    add("--validation", type=_share, default=0.05, help="a share; default 0.05")
    add("--test", type=_share, default=0.05, help="a share; default 0.05")
    add("--seed", type=parsing.count(0, 2**32 - 1), default=0, help="default 0")
    sizes = parsing.count(2**10, 2**28)
    help_ = f"the largest size of the records of a shard; default {SHARD_BYTES}"
    add("--shard_bytes", type=sizes, default=SHARD_BYTES, help=help_)
    add("--images", help="a folder with a subfolder for each class")
    help_ = "height and width to which images are resized; their own if it is the same"
    add("--image_size", type=parsing.counts(1, _MAX_SIDE, 2), help=help_)
    add("--table", help="a file of texts and labels: CSV, TSV or JSON lines")
    add("--text_column", help="the name of the column of the texts")
    add("--label_column", help="the name of the column of the labels")
    add("--no_labels", action="store_true", help="read the texts alone")
    add("--text", help="a text, or a folder of texts")
    add("--synthetic", action="store_true", help="images that are made")
    add("--num_examples", type=parsing.count(1, 2**31), help="of synthetic images")
    add(
        "--shape",
        type=parsing.counts(1, _MAX_SIDE, 3),
        help="28,28,1 if it is not given",
    )
    add("--num_classes", type=parsing.count(2, 2**16), help="10 if it is not given")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
