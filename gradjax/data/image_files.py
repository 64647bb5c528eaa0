"""Images of the user, in a folder with a subfolder for each class.

They are read one at a time: once to see what they are, and once to be written. A file
that is a JPEG or a PNG of the declared size is taken as it is, and each other image is
resized and becomes a PNG.
"""

import hashlib
import io
import itertools
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gradjax.data import record_format
from gradjax.data.record_format import Features
from gradjax.data.record_writer import Content
from gradjax.data.shard_images import MODES
from gradjax.errors import Refusal

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
_GREY = ("1", "L", "LA", "La")  # modes of PIL without colour, of at most 8 bits
_COLOUR = ("P", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "PA")
_ORIENTATION = 0x0112  # the tag of EXIF that says how a camera was held


class Files(NamedTuple):
    """The images of a folder."""

    paths: list[Path]
    labels: list[int]
    class_names: tuple[str, ...]


class Seen(NamedTuple):
    """What the first look at all images has found."""

    sizes: dict[tuple[int, int], Path]  # (height, width) -> the first image of it
    is_grey: bool  # whether all are
    sha256: str  # of their names and contents


def content(folder: Path, size: tuple[int, int] | None = None) -> Content:
    """Returns the records of the images of a folder.

    Args:
      folder: its subfolders are the classes, whose names are the labels.
      size: (height, width) to which images are resized; the largest part in the centre
        that has these proportions is taken. None: all images have the same size.

    Raises:
      Refusal: the folder has fewer than two classes, or an empty one; a file is no
        image; the images have several sizes and none is given. Later, while it is
        written: an image that cannot be decoded. The line names the file.
    """
    files = listed(folder)
    seen = look(files)
    if size is None and len(seen.sizes) > 1:
        (first, one), (second, other) = list(seen.sizes.items())[:2]
        raise Refusal(
            f"{one} is {_shown(first)}, {other} is {_shown(second)} (height x width):"
            " --image_size=H,W resizes them"
        )
    height, width = size or next(iter(seen.sizes))
    shape = (height, width, 1 if seen.is_grey else 3)
    features = Features(shape, files.class_names)
    serialise = record_format.serialiser(features)

    def records(units: Iterator[int], skip: int) -> Iterator[bytes]:
        for number in itertools.islice(units, skip, None):
            path = files.paths[number]
            yield serialise(encoded(path, shape), files.labels[number])

    import PIL

    asked = {"kind": "images", "files": seen.sha256, "shape": list(shape)}
    count, classes = len(files.paths), len(files.class_names)
    return Content(
        features,
        count,
        count,
        records,
        {**asked, "pillow": PIL.__version__},  # another one may resize differently
        f"{count:,} images of {'x'.join(map(str, shape))} in {classes:,} classes, from"
        f" the folder {folder.name}",
    )


def listed(folder: Path) -> Files:
    """Lists the images of a folder by class, in alphabetical order.

    Hidden files are left out.

    Raises:
      Refusal: see `content`.
    """
    if not folder.is_dir():
        raise Refusal(
            f"{folder}: no such folder; expected one subfolder for each class"
        )
    classes = [one for one in sorted(folder.iterdir()) if one.is_dir()]
    classes = [one for one in classes if not one.name.startswith(".")]
    if len(classes) < 2:
        found = f"{len(classes)} subfolder{'s' if len(classes) != 1 else ''}"
        raise Refusal(f"{folder}: {found}; expected one for each class, at least two")
    paths: list[Path] = []
    labels: list[int] = []
    for number, one in enumerate(classes):
        if not one.name.isprintable() or one.name != one.name.strip():
            raise Refusal(f"{folder}: {one.name!r} cannot be the name of a class")
        own = visible(one)
        if not own:
            raise Refusal(f"{one}: empty; expected the images of a class")
        paths += own
        labels += [number] * len(own)
    return Files(paths, labels, tuple(one.name for one in classes))


def visible(folder: Path) -> list[Path]:
    """Returns the files of a folder and of its subfolders, without hidden ones."""
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if not one.startswith(".")]
        found += [Path(at, name) for name in names if not name.startswith(".")]
    return sorted(found)


def look(files: Files) -> Seen:
    """Reads every file once, without decoding it.

    Raises:
      Refusal: a file that is no image of 8 bits.
    """
    sizes: dict[tuple[int, int], Path] = {}
    total, is_grey = hashlib.sha256(), True
    for path, label in zip(files.paths, files.labels, strict=True):
        found = _read(path)
        with _opened(path, found) as image:
            height, width = image.size[::-1]
            if _orientation(image) >= 5:  # turned by a quarter
                height, width = width, height
            mode = image.mode
        if mode not in (*_GREY, *_COLOUR):
            raise Refusal(f"{path}: an image of mode {mode}; expected 8 bits a channel")
        is_grey = is_grey and mode in _GREY
        sizes.setdefault((height, width), path)
        name = f"{files.class_names[label]}/{path.name}"
        own = f"{name} {hashlib.sha256(found).hexdigest()}\n"
        total.update(own.encode(errors="surrogateescape"))
    return Seen(sizes, is_grey, total.hexdigest())


def encoded(path: Path, shape: tuple[int, int, int]) -> bytes:
    """Returns an image as a PNG or a JPEG of the shape.

    Raises:
      Refusal: it cannot be decoded.
    """
    from PIL import Image, ImageOps

    found = _read(path)
    height, width, channels = shape
    wanted = ((width, height), MODES[channels])
    with _opened(path, found) as image:
        kind = image.format
        is_upright = _orientation(image) == 1
        try:
            image.load()
            # A file that is larger than its pixels has much else in it.
            is_small = len(found) <= height * width * channels + 1024
            is_read = kind in ("PNG", "JPEG") and is_upright and is_small
            if is_read and (image.size, image.mode) == wanted:
                return found
            made = ImageOps.exif_transpose(image).convert(MODES[channels])
            if made.size != wanted[0]:
                made = ImageOps.fit(made, wanted[0], Image.Resampling.BICUBIC)
            file = io.BytesIO()
            made.save(file, format="PNG")
        except Exception as error:  # PIL raises many types
            raise _refused(path, error) from error
    return file.getvalue()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror}; expected an image") from error


def _opened(path: Path, found: bytes) -> Any:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as that of an image of 10^8 pixels
            return Image.open(io.BytesIO(found), formats=_FORMATS)
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError and others
        raise _refused(path, error) from error


def _orientation(image: Any) -> int:
    """Returns how the camera was held, from 1 (upright) to 8."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged EXIF, which is left out
        return image.getexif().get(_ORIENTATION, 1)


def _refused(path: Path, error: Exception) -> Refusal:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    reason = reason.split(" <")[0]  # the rest names an object of Python
    return Refusal(f"{path}: no image that can be read ({reason}); mend or remove it")


def _shown(size: tuple[int, int]) -> str:
    return "x".join(map(str, size))
