"""Sampling: exactly K trajectories per task, nothing lived after the end, and numbers that depend on the task alone."""

import gymnasium
import numpy as np
import pytest

from minorml.policy import GaussianPolicy
from minorml.rl.rollout import rollout
from minorml.rl.tasks import set_tasks

POLICY = GaussianPolicy(2, 2, (8,))
SPARSE, SHAPED = "minorml_envs:minorml/PointRotationSparse-v0", "minorml_envs:minorml/PointRotation-v0"


def sample(env_id, rotations, thetas=None, K=3, horizon=20, dtype=np.float64, log_std=0.0):
    envs = gymnasium.make_vec(env_id, num_envs=K * len(rotations))
    set_tasks(envs, [{"rotation": r} for r in rotations], K)
    theta = POLICY.init(np.random.default_rng(7), log_std, dtype)
    thetas = np.stack([theta] * len(rotations)) if thetas is None else thetas
    return thetas, rollout(envs, POLICY, thetas, horizon, [np.random.default_rng(i) for i in range(len(rotations))])


def test_shapes_and_dtypes():
    _, trajectories = sample(SHAPED, [0.0, 1.0], horizon=10, dtype=np.float32)
    assert len(trajectories) == 2
    one = trajectories[0]
    assert one.states.shape == (3, 11, 2) and one.actions.shape == (3, 10, 2) and one.alive.shape == (3, 10)
    assert one.states.dtype == one.actions.dtype == one.log_probs.dtype == np.float32
    assert one.rewards.dtype == np.float64 and one.alive.all()
    batch = one.batch(np.arange(30.0))
    assert batch.states.shape == batch.next_states.shape == (30, 2) and batch.advantages.shape == (30,)
    np.testing.assert_array_equal(batch.next_states[:9], batch.states[1:10])  # one trajectory after the other


def test_transitions_obey_the_dynamics():
    rotation = 0.7
    _, (one,) = sample(SHAPED, [rotation], horizon=10)
    R = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    batch = one.batch()
    moved = np.clip(2 * batch.states + np.clip(batch.actions, -1, 1) @ R.T, -2, 2) / 2
    np.testing.assert_allclose(batch.next_states, moved, atol=1e-15)
    np.testing.assert_allclose(one.rewards.ravel(), -np.hypot(*(2 * batch.next_states - [1, 0]).T), atol=1e-14)


def test_log_probs_are_those_of_the_sampling_policy():
    thetas, trajectories = sample(SHAPED, [0.0, 2.0], horizon=10)
    for theta, one in zip(thetas, trajectories):
        batch = one.batch()
        np.testing.assert_allclose(batch.log_probs, POLICY.log_prob(theta, batch.states, batch.actions), rtol=1e-12)


def test_episodes_end_once_and_nothing_is_lived_afterwards():
    _, trajectories = sample(SPARSE, [0.0, 1.0, 2.0], K=40, horizon=60, log_std=-0.5)
    lengths = np.concatenate([one.alive.sum(axis=1) for one in trajectories])
    assert lengths.min() < 60, "no episode ended: the test shows nothing"
    for one in trajectories:
        assert (np.diff(one.alive.astype(int), axis=1) <= 0).all(), "alive after the end"
        np.testing.assert_array_equal(one.rewards, np.where(one.alive, -1.0, 0.0))
        for states, alive in zip(one.states, one.alive):
            n = alive.sum()
            near = np.hypot(*(2 * states[1:n + 1] - [1, 0]).T) < 0.1
            assert not near[:-1].any() and (near[-1] or n == 60), "ended exactly when the goal was reached"


def test_a_task_does_not_depend_on_its_neighbours():
    thetas, (_, second) = sample(SPARSE, [0.3, 1.0])
    envs = gymnasium.make_vec(SPARSE, num_envs=3)
    set_tasks(envs, [{"rotation": 1.0}], 3)
    (alone,) = rollout(envs, POLICY, thetas[1:], 20, [np.random.default_rng(1)])
    for a, b in zip(second, alone):
        np.testing.assert_array_equal(a, b)


def test_an_infinite_parameter_is_named():
    theta = POLICY.init(np.random.default_rng(0), 0.0, np.float64)
    thetas = np.stack([theta, np.where(np.arange(len(theta)) == 3, np.inf, theta)])
    with pytest.raises(FloatingPointError, match="theta of task 1: expected finite numbers"):
        sample(SHAPED, [0.0, 0.0], thetas)


@pytest.mark.parametrize("log_std", [800.0, -800.0])
def test_an_exploded_log_std_is_named(log_std):
    with pytest.raises(FloatingPointError, match="log σ of task 0: .*log σ is .*800"):
        sample(SHAPED, [0.0], log_std=log_std)


def test_an_infinite_action_is_named():
    """Every weight is finite, and their product is not."""
    theta = POLICY.init(np.random.default_rng(0), 0.0, np.float64)
    thetas = np.stack([theta, np.where(np.arange(len(theta)) < POLICY.mlp.num_params, 1e308, theta)])
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(
            FloatingPointError, match=r"action: expected finite numbers; given .*task 1, trajectory 0, step 0"):
        sample(SHAPED, [0.0, 0.0], thetas)
