from gradjax.suites import SUITES
from gradjax.suites.known import target_of


def test_each_target_is_found_by_the_problem_with_its_budget():
    for suite in SUITES.values():
        for one in suite:
            size = "" if one.batch_size is None else f", batch size {one.batch_size}"
            problem = f"{one.problem}, {one.num_steps:,} gradients{size}"
            metric = f"validation_{one.target.metric}"
            assert target_of(problem, metric) == one.target.value


def test_another_budget_or_metric_has_no_target():
    assert target_of("digits_mlp, 500 steps, batch size 32", "test_accuracy") == 0.972
    assert target_of("digits_mlp, 500 steps, batch size 64", "test_accuracy") is None
    assert target_of("digits_mlp, 500 steps, batch size 32", "test_loss") is None
    assert (
        target_of("rosenbrock, 1,000 steps, batch size None", "train_loss") == 2.38e-6
    )
