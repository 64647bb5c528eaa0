"""Prepares a TFDS data set for gradjax: `python -m scripts.prepare_data mnist`.

This command downloads the data set with its TFDS builder and writes ArrayRecord files,
which gradjax reads without TensorFlow. It needs a network connection once, and
TensorFlow, which the extra `[prepare]` installs.
"""

import contextlib
import difflib
import importlib.util
import logging
import os
import queue
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from gradjax import data
from gradjax.data import prepared
from gradjax.errors import Refusal
from gradjax.files import named_disk_errors
from gradjax.report import terminal

_PROBE_S = 6.0  # because TFDS retries an unreachable host for minutes
_MIRROR = "https://storage.googleapis.com"  # from which TFDS downloads mnist and others


def prepare(name: str, data_dir: Path) -> str:
    """Prepares a data set unless it is already prepared; returns one line on it.

    Raises:
      Refusal: no TensorFlow, no network, no such data set, or TFDS failed. No
        incomplete folder is left, because a finished folder is renamed into place.
    """
    if name in data.DATASETS:
        return f"{name} is bundled: nothing to prepare"
    if os.path.exists(data_dir) and (folder := prepared.find(name, data_dir)):
        prepared.check_format(folder)
        return f"{name} is already prepared in {folder}"
    prepared.parse(name)
    if importlib.util.find_spec("tensorflow") is None:
        how = "`pip install 'gradjax[prepare]'`, or `make data` for mnist"
        raise Refusal(f"preparing {name} needs TensorFlow: {how}")
    with named_disk_errors(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=data_dir, prefix=".prepare.") as scratch:
            builder = _builder(name, scratch)
            _download(builder, name, data_dir)
            target = data_dir / builder.data_path.relative_to(scratch)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(builder.data_path, target)
    return f"prepared {builder.info.full_name} in {target}"


def any_reachable(urls: list[str]) -> bool:
    """Returns whether a host answers within seconds, with any status."""
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def probe(url: str) -> None:
        try:
            urllib.request.urlopen(url, timeout=_PROBE_S).close()
        except (OSError, ValueError) as error:
            answers.put(isinstance(error, urllib.error.HTTPError))
        else:
            answers.put(True)

    # Daemon threads, because a DNS lookup may hang for longer than any socket timeout.
    for url in urls:
        threading.Thread(target=probe, args=(url,), daemon=True).start()
    with contextlib.suppress(queue.Empty):
        return any(answers.get(timeout=_PROBE_S) for _ in urls)
    return False


def _builder(name: str, scratch: str) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=scratch)
    except tfds.core.DatasetNotFoundError as error:
        known = tfds.list_builders(with_community_datasets=False)
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise Refusal(f"TFDS has no data set {name!r}{hint}") from error
    except Exception as error:  # an unknown version or config; the words are TFDS's
        raise Refusal(f"TFDS cannot build {name!r}: {_first_line(error)}") from error


def _download(builder: Any, name: str, data_dir: Path) -> None:
    import tensorflow_datasets as tfds

    hosts = [_MIRROR, *builder.info.homepage.split()[:1]]
    if not any_reachable(hosts):
        advice = "--dataset=digits runs without a download"
        raise Refusal(f"{name}: no answer from {' or '.join(hosts)}; {advice}")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    manual = str(data_dir / "downloads" / "manual")
    config = tfds.download.DownloadConfig(manual_dir=manual)
    try:
        builder.download_and_prepare(file_format="array_record", download_config=config)
    except Exception as error:  # any error of TFDS's downloads and parsers
        raise Refusal(f"TFDS could not prepare {name}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit code: 2 after one line on stderr."""
    flag = "--data_dir="
    names = [item for item in arguments if not item.startswith(flag)]
    folders = [item.removeprefix(flag) for item in arguments if item.startswith(flag)]
    try:
        if len(names) != 1 or names[0].startswith("-") or len(folders) > 1:
            raise Refusal("usage: python -m scripts.prepare_data NAME [--data_dir=DIR]")
        chosen = Path("".join(folders) or prepared.default_data_dir())
        terminal.say(prepare(names[0], chosen.expanduser().absolute()))
    except Refusal as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
