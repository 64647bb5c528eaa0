"""The default folder of a command: readable, and another for another result."""

import functools

from experiments import minimize
from gradjax import problems
from gradjax.commands import job
from gradjax.commands.experiment import settings_of
from gradjax.sweeps import space
from gradjax.types import Options, Sweep


@functools.cache
def ridge():
    return problems.make("ridge")


def folder_of(*sweep, search="grid", **own):
    what, asked = minimize.EXPERIMENT, Sweep(sweep=sweep, search=search)
    settings = settings_of(what, problem="ridge", **own)
    varied = space.parse(asked.sweep)
    plan = job._plan(what, settings, asked, varied, ridge())
    return job._folder(what, settings, Options(), varied, plan)


def test_a_run_names_its_schedule_and_a_constant_one_is_left_out():
    found = folder_of(schedule="cosine", optimizer="sgd", learning_rate=0.1)
    assert found.name.startswith("ridge-sgd-lr0.1-cosine-seed0-")
    assert folder_of(optimizer="sgd").name.startswith("ridge-sgd-seed0-")


def test_sweeps_of_the_same_names_have_a_folder_each():
    log, halton = "learning_rate=log(1e-3, 1)", {"search": "halton"}
    found = [
        folder_of(log),
        folder_of("learning_rate=log(1e-4, 1)"),
        folder_of("learning_rate=[0.001, 1.0]"),
        folder_of("learning_rate=linear(1e-3, 1)"),
        folder_of(log, **halton),
        folder_of(log, schedule="cosine"),
        folder_of(log, optimizer="sgd"),
        folder_of(log, seed=1),
        folder_of(log, steps=7),
    ]
    assert len(set(found)) == len(found)
    assert all(one.name.startswith("sweep-learning-rate-") for one in found)
    assert folder_of(log) == found[0], "the same command finds its folder again"
