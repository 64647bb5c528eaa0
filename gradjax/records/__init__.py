"""Records: folders on disk that survive a kill and can be read without gradjax.

A run is a sweep of one trial, and both have the same format.

    plan.json       what was asked for: settings, space, data, versions, device
    journal.jsonl   a line for everything that is committed: rounds, segments, ...
    segments/       the curves and the results of trials, a file per segment
    params/         the kept parameters of trials
    states/         the states of a run from which a longer one goes on
    snapshots/      the states of trials, from which a killed process resumes
    catalogue.json  only for ratings: names of users and items, and who rated what
    tokenizer.json  only for texts: the tokenizer, in the format of `tokenizers`
    curves.png      the picture; a sweep over a number also has sensitivity.png
    dashboard.png   only with --plot=dashboard
    summary.json    the results; written last, so it marks a finished record

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
