"""The cart-pole against Gymnasium's CartPole-v1, its reward, and the sensor's bias."""

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401

ID = "minorml/CartPoleSensorBias-v0"
SCALE = np.array([4.8, 3, 0.418, 3])


def balance(observation, bias):
    """A linear feedback that keeps the pole up, given the sensor's bias."""
    x, x_dot, theta, theta_dot = np.moveaxis(observation * SCALE, -1, 0)
    return np.stack([0.1 * x + 0.2 * x_dot + 3 * (theta - bias) + 0.6 * theta_dot], axis=-1)


@pytest.mark.parametrize("copies", [1, 37])
def test_states_are_those_of_gymnasium(copies):
    """(cartpole.1). Bit for bit, from the seed to the fall, whatever the number of copies that are stepped together."""
    vector = gymnasium.make_vec(ID, num_envs=copies)
    signs = np.random.default_rng(copies).choice([-1.0, 1.0], (200, copies, 1))
    vector.reset(seed=11)
    ours = [(vector._states, np.zeros(copies, bool))]
    for actions in signs:
        *_, terminated, _, _ = vector.step(actions)
        ours.append((vector._states, terminated))
    for i in range(copies):
        theirs = gymnasium.make("CartPole-v1").unwrapped
        theirs.reset(seed=11 + i)
        for t, (states, terminated) in enumerate(ours):
            if t > 0:
                assert theirs.step(int(signs[t - 1, i, 0] > 0))[2] == terminated[i]
            np.testing.assert_array_equal(states[i], theirs.state)
            if terminated[i]:
                break
        assert terminated[i]


def test_a_perfect_episode_is_worth_500():
    vector = gymnasium.make_vec(ID, num_envs=3)
    bias = np.array([0.0, 0.17, -0.17])
    vector.set_attr("angle_bias", bias)
    observations, _ = vector.reset(seed=0)
    total = np.zeros(3)
    for t in range(1, 501):
        observations, rewards, terminated, truncated, _ = vector.step(balance(observations, bias))
        total += rewards
        assert not terminated.any() and (truncated == (t == 500)).all()
    np.testing.assert_array_equal(total, 500)


def test_the_fall_is_worth_nothing():
    env = gymnasium.make(ID)
    env.reset(seed=0)
    rewards, terminated = [], False
    while not terminated:
        _, reward, terminated, _, _ = env.step([1.0])
        rewards.append(reward)
    assert rewards == [1.0] * (len(rewards) - 1) + [0.0] and len(rewards) < 20


def test_the_bias_moves_the_observed_angle_and_nothing_else():
    """Also a bias beyond 12 degrees: the episode ends by the true angle."""
    plain, biased = (gymnasium.make_vec(ID, num_envs=4) for _ in range(2))
    bias = np.array([0.1, -0.17, 0.5, -3.0])
    biased.set_attr("angle_bias", bias)
    pairs = [(plain.reset(seed=0), biased.reset(seed=0))]
    for actions in np.random.default_rng(0).uniform(-1, 1, (40, 4, 1)):
        pairs.append((plain.step(actions), biased.step(actions)))
    for ours, theirs in pairs:
        np.testing.assert_allclose(theirs[0] - ours[0], bias[:, None] * [0, 0, 1 / 0.418, 0], atol=1e-14)
        for a, b in zip(ours[1:4], theirs[1:4]):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name, part, seen, task", [
    ("CartPoleSensorBias", "CartPolePositions", [0, 2], ("angle_bias", [0.0, 0.1, -0.17, 0.5])),
    ("CartPoleMotor", "CartPoleMotorPole", [2, 3], ("reversed", [0, 1, 0, 1]))])
def test_positions_or_the_pole_alone_are_half_of_the_observation(name, part, seen, task):
    """The same cart-pole, of which less is seen."""
    whole, half = (gymnasium.make_vec(f"minorml/{id}-v0", num_envs=4) for id in (name, part))
    for vector in whole, half:
        vector.set_attr(*task)
    pairs = [(whole.reset(seed=0), half.reset(seed=0))]
    for actions in np.random.default_rng(0).uniform(-1, 1, (40, 4, 1)):
        pairs.append((whole.step(actions), half.step(actions)))
    assert half.single_observation_space.shape == (2,) and whole.single_observation_space.shape == (4,)
    for theirs, ours in pairs:
        np.testing.assert_array_equal(ours[0], theirs[0][:, seen])
        for a, b in zip(ours[1:4], theirs[1:4]):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("noise, least, most", [(0.0, 500, 500), (0.1, 300, 400), (0.3, 80, 140)])
def test_the_positions_are_enough_to_balance_but_not_with_noise(noise, least, most):
    """a = tanh(2 (θ̂ − b)) keeps the pole up without a rate. But nothing damps what noise sets going."""
    bias, generator = 0.13, np.random.default_rng(0)
    vector = gymnasium.make_vec("minorml/CartPolePositions-v0", num_envs=200)
    vector.set_attr("angle_bias", [bias] * 200)
    observation, _ = vector.reset(seed=0)
    standing, returns = np.ones(200, bool), np.zeros(200)
    for _ in range(500):
        action = np.tanh(2 * (observation[:, 1:] * SCALE[2] - bias)) + noise * generator.normal(size=(200, 1))
        observation, reward, terminated, *_ = vector.step(action)
        returns += standing * reward
        standing &= ~terminated
    assert least <= returns.mean() <= most


def test_what_is_observed_has_a_name():
    with pytest.raises(ValueError, match="observed: expected one of all, positions, pole; given 'cart'"):
        gymnasium.make_vec("minorml/CartPoleMotor-v0", num_envs=1, observed="cart")


def test_a_reversed_motor_undoes_reversed_actions():
    """Bit for bit; and unreversed it is the cart-pole without a bias."""
    vector, plain = gymnasium.make_vec("minorml/CartPoleMotor-v0", num_envs=2), gymnasium.make_vec(ID, num_envs=2)
    vector.set_attr("reversed", [0, 1])
    for one in vector, plain:
        one.reset(seed=[5, 5])
    for action in np.random.default_rng(0).uniform(-1.2, 1.2, 40):
        ours = vector.step(np.array([[action], [-action]]))
        theirs = plain.step(np.array([[action], [action]]))
        for a, b in zip(ours[:4], theirs[:4]):
            np.testing.assert_array_equal(a, b)
    vector.step(np.array([[0.5], [0.5]]))
    assert vector._states[0, 1] != vector._states[1, 1]


def test_the_force_is_proportional_and_clipped():
    """Accelerations are affine in the force: ±10 N at most."""
    vector = gymnasium.make_vec(ID, num_envs=6)
    vector.reset(seed=[4] * 6)
    vector.step(np.array([[-1.0], [0.0], [1.0], [0.5], [7.0], [-1e9]]))
    low, none, high, half, beyond, below = vector._states
    np.testing.assert_allclose(none, (low + high) / 2, atol=1e-15)
    np.testing.assert_allclose(half, (none + high) / 2, atol=1e-15)
    np.testing.assert_array_equal(beyond, high)
    np.testing.assert_array_equal(below, low)
    assert high[1] > low[1] and high[3] < low[3]  # pushed to the right, the pole falls to the left


def test_ends_at_the_edge_of_the_track():
    env = gymnasium.make(ID).unwrapped
    env.reset(seed=0)
    for x, ended in [(2.39, False), (2.41, True), (-2.41, True)]:
        env._row._states = np.array([[x, 0.0, 0.0, 0.0]])
        assert env.step([0.0])[2] == ended
    for angle, ended in [(11.9, False), (12.1, True), (-12.1, True)]:
        env._row._states = np.array([[0.0, 0.0, np.deg2rad(angle), 0.0]])
        assert env.step([0.0])[2] == ended
