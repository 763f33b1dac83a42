"""The point agent against closed forms: rotations, the clipped plane, goals, rewards and the sparse end."""

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import envs  # noqa: F401

angles = st.floats(-np.pi, np.pi)
actions = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(np.array)


def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def walk(name, task, *steps):
    """A single agent's results, one for each of the steps; position = 2 × observation."""
    env = gymnasium.make(f"minorml/{name}-v0").unwrapped
    for attribute, value in task.items():
        setattr(env, attribute, value)
    env.reset()
    return [env.step(a) for a in steps]


def position(name, task, *steps):
    return 2 * walk(name, task, *steps)[-1][0]


def test_a_quarter_turn():
    np.testing.assert_allclose(position("PointRotation", {"rotation": np.pi / 2}, [1, 0]), [0, 1], atol=1e-15)
    np.testing.assert_allclose(position("PointRotation", {"rotation": np.pi / 2}, [0, 1]), [-1, 0], atol=1e-15)
    np.testing.assert_allclose(position("PointRotation", {"rotation": np.pi}, [1, 0]), [-1, 0], atol=1e-15)
    np.testing.assert_array_equal(position("PointRotation", {"rotation": 0}, [0.3, -0.7]), [0.3, -0.7])


@given(angles, actions)
def test_actions_are_turned(angle, action):
    """(point.1)"""
    moved = position("PointRotation", {"rotation": angle}, action)
    np.testing.assert_allclose(moved, turn(angle) @ action, atol=1e-14)
    np.testing.assert_allclose(np.hypot(*moved), np.hypot(*action), atol=1e-14)


@given(angles, angles, actions)
def test_rotations_compose(first, second, action):
    inner = turn(second) @ action / 2  # halved, so that it stays an action
    np.testing.assert_allclose(position("PointRotation", {"rotation": first}, inner),
                               position("PointRotation", {"rotation": first + second}, action / 2), atol=1e-14)


@given(angles, st.lists(actions, min_size=1, max_size=8))
def test_steps_add_up_inside_the_clipped_plane(angle, steps):
    p = np.zeros(2)
    for a in steps:
        p = np.clip(p + turn(angle) @ a, -2, 2)
    np.testing.assert_allclose(position("PointRotation", {"rotation": angle}, *steps), p, atol=1e-14)


@given(angles, actions, st.floats(1, 1e6))
def test_actions_are_clipped_before_they_are_turned(angle, action, scale):
    np.testing.assert_array_equal(position("PointRotation", {"rotation": angle}, scale * action),
                                  position("PointRotation", {"rotation": angle}, np.clip(scale * action, -1, 1)))


@given(angles)
def test_one_step_to_the_goal(angle):
    """(point.2)"""
    home = turn(-angle) @ [1, 0]
    (_, reward, terminated, truncated, _), = walk("PointRotation", {"rotation": angle}, home)
    assert abs(reward) < 1e-14 and not terminated and not truncated
    (_, reward, terminated, truncated, _), = walk("PointRotationSparse", {"rotation": angle}, home)
    assert reward == -1 and terminated and not truncated
    (_, reward, terminated, _, _), = walk("PointGoal", {"goal_angle": angle}, turn(angle) @ [1, 0])
    assert abs(reward) < 1e-14 and not terminated


@given(angles, angles, st.lists(actions, min_size=1, max_size=8))
def test_transitions_do_not_tell_the_goal(one, other, steps):
    for mine, theirs in zip(walk("PointGoal", {"goal_angle": one}, *steps),
                            walk("PointGoal", {"goal_angle": other}, *steps)):
        np.testing.assert_array_equal(mine[0], theirs[0])
        goal = turn(one) @ [1, 0]
        np.testing.assert_allclose(mine[1], -np.hypot(*(2 * mine[0] - goal)), atol=1e-14)


@given(angles, st.lists(actions, min_size=1, max_size=8))
def test_shaped_reward_is_minus_the_distance_of_the_next_state(angle, steps):
    for observation, reward, *_ in walk("PointRotation", {"rotation": angle}, *steps):
        np.testing.assert_allclose(reward, -np.hypot(*(2 * observation - [1, 0])), atol=1e-14)


@given(st.floats(0.8, 1.0), st.floats(-0.2, 0.2))
def test_the_sparse_task_ends_within_a_tenth(x, y):
    (observation, reward, terminated, _, _), = walk("PointRotationSparse", {"rotation": 0}, [x, y])
    assert reward == -1 and terminated == (np.hypot(*(2 * observation - [1, 0])) < 0.1)


@pytest.mark.parametrize("name, steps", [("PointRotation", 10), ("PointRotationSparse", 100), ("PointGoal", 10)])
def test_time_limit(name, steps):
    env = gymnasium.make(f"minorml/{name}-v0")
    env.reset()
    ends = [env.step(np.zeros(2))[2:4] for _ in range(steps)]
    assert ends == [(False, False)] * (steps - 1) + [(False, True)]


def test_attributes_of_the_other_task_do_not_exist():
    for name, missing in [("PointGoal", "rotation"), ("PointRotation", "goal_angle")]:
        with pytest.raises(AttributeError):
            gymnasium.make_vec(f"minorml/{name}-v0").set_attr(missing, 1.0)
