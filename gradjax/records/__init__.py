"""What is kept: crash-safe, on disk, readable without gradjax.

A run is a sweep of one trial, and both have one format.

    plan.json       what was asked for: settings, space, data, versions, device
    journal.jsonl   a line for everything that is committed: rounds, segments, ...
    segments/       the curves and the results of trials, a file per segment
    params/         the kept parameters of trials
    snapshots/      the states of trials, from which a killed process resumes
    tokenizer.json  for texts: how they were read, in the format of `tokenizers`
    curves.png      the picture; of a sweep also sensitivity.png
    summary.json    the figures; written last, so it marks a finished record

A lesson has plan.json, trace.npz, its pictures and summary.json.
"""

from gradjax.records.environment import environment
from gradjax.records.folder import checked_path, default_path
from gradjax.records.frames import Frames, frames
from gradjax.records.load import load, summary_of

__all__ = [
    "Frames",
    "checked_path",
    "default_path",
    "environment",
    "frames",
    "load",
    "summary_of",
]
