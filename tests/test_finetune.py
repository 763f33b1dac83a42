"""Adaptation at test time."""

import numpy as np
import pytest
from test_train import small

import minorml
from minorml.experiments.finetune import on_tasks, without_noise
from minorml.experiments.trained import initial_state
from minorml.rl.problem import make_problem
from minorml.rl.tasks import grid_tasks


def untrained(name="point/norml", **fields):
    config = small(name, **fields)
    meta = initial_state(make_problem(config)).meta
    return minorml.Trained(config, meta._replace(offset=meta.offset + np.float32(0.1)), [])


def test_finetune_gives_a_row_per_task():
    trained = untrained()
    tasks = [{"rotation": 0.0}, {"rotation": 2.0}]
    thetas = minorml.finetune(trained, tasks)
    assert thetas.shape == (2, len(trained.meta.theta)) and (thetas[0] != thetas[1]).any()
    np.testing.assert_array_equal(thetas, minorml.finetune(trained, tasks))
    assert (minorml.finetune(trained, tasks, seed=1) != thetas).any()
    assert (minorml.finetune(trained, tasks, steps=2) != thetas).any()


def test_as_many_steps_as_it_was_trained_for():
    trained, tasks = untrained(adapt_steps=2), [{"rotation": 1.0}]
    np.testing.assert_array_equal(minorml.finetune(trained, tasks), minorml.finetune(trained, tasks, steps=2))
    assert [score.stage for score in minorml.evaluate(trained, tasks, repetitions=1)][-1] == "after 2"


@pytest.mark.parametrize("tasks, message", [
    ([], "tasks: expected one or more"),
    ([{}, {"rotation": 2.0}], "tasks: expected values for rotation, and for the same in each; given {}"),
    ([{"rotation": 2.0}, {}], "tasks: expected values for rotation, and for the same in each; given {}"),
    ([{"rotation": 2.0, "metadata": 1.0}], "task: the environment does not take metadata = 1"),
])
def test_wrong_tasks(tasks, message):
    for adapt in minorml.finetune, minorml.evaluate:
        with pytest.raises(ValueError, match=message):
            adapt(untrained(), tasks)


@pytest.mark.parametrize("wrong", [dict(steps=-1), dict(repetitions=0)])
def test_evaluate_refuses_less_than_nothing(wrong):
    with pytest.raises(ValueError, match="expected steps >= 0 and repetitions >= 1"):
        minorml.evaluate(untrained(), [{"rotation": 1.0}], **wrong)


def test_finetune_without_steps_gives_the_meta_policy():
    trained = untrained()
    (theta,) = minorml.finetune(trained, [{"rotation": 0.0}], steps=0)
    np.testing.assert_array_equal(theta, trained.meta.theta)


@pytest.mark.parametrize("name, stages", [
    ("point/norml", {"before", "after 1", "after 2", "offset only"}),
    ("point/norml-no-offset", {"before", "after 1", "after 2"}),
    ("point/maml", {"before", "after 1", "after 2"}),
    ("point/dr", {"before"}),
])
def test_stages(name, stages):
    trained = untrained(name)
    tasks = grid_tasks(trained.config.distribution, 3)
    scores = minorml.evaluate(trained, tasks, steps=2, repetitions=4)
    assert len(scores) == 3 * len(stages) and {score.stage for score in scores} == stages
    assert all(score.returns.shape == (4,) and score.returns.std() > 0 for score in scores)


def test_a_task_is_scored_alike_whatever_its_neighbours():
    trained = untrained()
    alone = minorml.evaluate(trained, [{"rotation": 1.0}], repetitions=2)
    among = minorml.evaluate(trained, [{"rotation": 1.0}, {"rotation": 2.0}], repetitions=2)
    for score in alone:
        (same,) = [s for s in among if (s.task, s.stage) == (score.task, score.stage)]
        np.testing.assert_allclose(score.returns, same.returns, rtol=1e-12)


@pytest.mark.parametrize("name", ["point/norml", "point/maml", "point/dr"])
def test_deterministic_scores(name):
    """By the mean action: on the point agent, which has no other chance, every trajectory of a policy is the same."""
    trained = untrained(name)
    tasks = grid_tasks(trained.config.distribution, 3)
    scores = minorml.evaluate(trained, tasks, steps=2, repetitions=3, deterministic=True)
    sampled = minorml.evaluate(trained, tasks, steps=2, repetitions=3)
    assert [score.stage for score in scores] == [score.stage for score in sampled]
    for score in scores:
        if score.stage in ("before", "offset only"):
            np.testing.assert_array_equal(score.returns, score.returns[0])


def test_deterministic_scores_after_each_step_are_of_the_policies_that_finetune_gives():
    trained = untrained("point/norml")
    task = {"rotation": 1.0}
    scores = {s.stage: s.returns[0] for s in minorml.evaluate(trained, [task], 2, 1, deterministic=True)}
    for k in (1, 2):
        theta = without_noise(make_problem(trained.config).policy, minorml.finetune(trained, [task], steps=k))
        with on_tasks(trained.config, [task]) as problem:
            (one,) = problem.rollout(theta, [np.random.default_rng(0)])
        assert scores[f"after {k}"] == pytest.approx(one.returns.mean(), rel=1e-6)
