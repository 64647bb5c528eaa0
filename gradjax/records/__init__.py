"""What is kept: crash-safe, on disk, readable without gradjax.

A run is a sweep of one trial: arrays are [trials, points], each series with its own
axis of steps.

    config.json    what was asked, the data, versions, git revision, device
    trace.npz      "<series>" f32[trials, points] and "<series>.step" i32[points]
    params.npz     "<path/to/leaf>" [trials, ...]; a study has none
    tokenizer.json where texts were read: how, as the library `tokenizers` keeps it
    curves.png     the picture; a study's is picture.png, and animation.gif
    summary.json   the result; written last, so where it is, the folder is whole
"""

from gradjax.records.environment import environment
from gradjax.records.folder import PICTURES, State, begin, checked_path, default_path
from gradjax.records.frames import Frames, frames
from gradjax.records.load import load
from gradjax.records.save import save, save_study

__all__ = [
    "PICTURES",
    "Frames",
    "State",
    "begin",
    "checked_path",
    "default_path",
    "environment",
    "frames",
    "load",
    "save",
    "save_study",
]
