"""The registry against optax's own names: a new release is noticed here."""

import inspect

import optax
import pytest
from optax import contrib

import gradjax
from gradjax import optimizers
from gradjax.errors import Refusal
from gradjax.optimizers import OPTIMIZERS, TRANSFORMS, WRAPPERS

# Names in optax that make a transformation and are not in a registry, and why.
LEFT_OUT = {
    "conditionally_mask": "needs a condition, a function of the step",
    "conditionally_transform": "needs a condition, a function of the step",
    "flatten": "parameters as one vector: a hundred times slower on a CPU",
    "freeze": "partition(matrices=..., others=set_to_zero) by name",
    "hutchinson_estimator_diag_hessian": "inside sophia, with the trial's key",
    "inject_hyperparams": "every number is traced already",
    "inject_stateful_hyperparams": "every number is traced already",
    "measure_with_ema": "a measure is a function; diagnostics have their own room",
    "monitor": "a measure is a function; diagnostics have their own room",
    "MultiSteps": "multi_steps, ours, passes extras on",
    "multi_transform": "an older name of partition",
    "named_chain": "chain: the expression names its links",
    "per_example_global_norm_clip": "no transformation: a part of dpsgd",
    "per_example_layer_norm_clip": "no transformation: a part of dpsgd",
    "scale_by_cocob": "a whole optimizer: cocob",
    "scale_by_distance_over_gradients": "its state has an axis the parameters lack",
    "scale_by_madgrad": "a whole optimizer: madgrad",
    "scale_by_rprop": "a whole optimizer: rprop",
    "scale_by_schedule": "any number may follow a schedule already",
    "selective_transform": "partition(matrices=..., others=set_to_zero) by name",
    "snapshot": "a measure is a function; diagnostics have their own room",
    "split_real_and_imaginary": "for complex parameters; ours are real",
    "stateless": "needs a function",
    "stateless_with_tree_map": "needs a function",
    "with_extra_args_support": "every rule is given just the extras it needs",
}
OURS = {
    "average",
    "delayed",
    "kron",
    "multi_steps",
    "partition",
    "soap",
}  # not optax's, or thinly


def makers(module):
    """The names of a module that give a transformation, by their annotation."""
    for name in dir(module):
        made = inspect.getattr_static(module, name)
        if name.startswith("_") or not callable(made) or inspect.ismodule(made):
            continue
        function = getattr(made, "func", made)
        annotation = str(getattr(function, "__annotations__", {}).get("return", ""))
        is_named = name.startswith("scale_by_") and not inspect.isclass(made)
        if (
            "GradientTransformation" in annotation
            or is_named
            or (_has_rate(function) and not inspect.isclass(made))
        ):
            yield name


def _has_rate(function):
    try:
        return "learning_rate" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def test_every_name_in_optax_is_known_or_left_out_with_a_reason():
    known = {**OPTIMIZERS, **TRANSFORMS, **WRAPPERS}.keys()
    theirs = {*makers(optax), *makers(contrib)}
    assert len(theirs) > 100
    new = theirs - known - LEFT_OUT.keys()
    assert not new, f"optax {optax.__version__} has new names: {sorted(new)}"
    assert not known & LEFT_OUT.keys()
    gone = known - theirs - OURS
    assert not gone, f"optax {optax.__version__} has no longer: {sorted(gone)}"


def test_names_that_are_left_out_exist():
    assert all(hasattr(optax, n) or hasattr(contrib, n) for n in LEFT_OUT)


def test_no_name_stands_twice():
    names = [*OPTIMIZERS, *TRANSFORMS, *WRAPPERS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*OPTIMIZERS, *TRANSFORMS, *WRAPPERS])
def test_an_entry_names_arguments_that_exist(name):
    entry = {**OPTIMIZERS, **TRANSFORMS, **WRAPPERS}[name]
    parameters = inspect.signature(entry.make).parameters
    named = {*entry.static, *entry.inner} - {"*"}
    named |= {entry.rate[0]} if entry.rate else set()
    named |= {entry.key} if entry.key else set()
    assert named <= parameters.keys()
    assert entry.paper or name not in OPTIMIZERS


def test_a_rate_has_the_default_of_optax_where_there_is_one():
    for entry in OPTIMIZERS.values():
        if entry.rate is None:
            continue
        default = inspect.signature(entry.make).parameters[entry.rate[0]].default
        if default not in (None, inspect.Parameter.empty):
            assert entry.rate[1] == default


NEEDED = {
    "adaptive_grad_clip": "0.1",
    "add_noise": "eta=0.01, gamma=0.55",
    "clip": "1.0",
    "clip_by_block_rms": "1.0",
    "clip_by_global_norm": "1.0",
    "differentially_private_aggregate": "l2_norm_clip=10.0, noise_multiplier=0.001",
    "ema": "0.9",
    "masked": "centralize",
    "scale": "0.5",
    "scale_by_backtracking_linesearch": "max_backtracking_steps=5",
    "scale_by_zoom_linesearch": "max_linesearch_steps=5",
    "trace": "0.5",
}
LAST = ("keep_params_nonnegative", "reduce_on_plateau", "scale_by_backtracking")
LAST = (*LAST, "scale_by_polyak", "scale_by_zoom")  # they scale what is to be added


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.filterwarnings("ignore:nothing was learned")  # by set_to_zero
def test_a_transform_stands_beside_an_optimizer_and_not_alone(
    name, quadratic, examples
):
    written = f"{name}({NEEDED.get(name, '')})"
    links = ["sgd", written] if name.startswith(LAST) else [written, "sgd(0.03)"]
    if TRANSFORMS[name].rate is not None:
        links = ["scale_by_adam", written]  # it turns the sign itself
    is_private = TRANSFORMS[name].gradient == "per_example"
    problem = examples if is_private else quadratic
    program = gradjax.program(problem, f"chain({', '.join(links)})", num_steps=20)
    result = gradjax.run(program)
    losses = result.trace["loss"].values
    assert result.status == "finished"
    if name == "set_to_zero":
        assert (losses == losses[0]).all()
    elif name != "keep_params_nonnegative":
        assert losses[-1] < losses[0]
    if TRANSFORMS[name].rate is None:
        for alone in (written, f"chain({written})", f"average({written})"):
            with pytest.raises(Refusal, match="not descend"):
                optimizers.split(alone)
