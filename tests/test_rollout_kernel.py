"""Whole episodes in one compiled loop: the same as step by step through Gymnasium."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium
import numba
import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode

import minorml
from minorml.kernels.rollout import compile_step, offered_step
from minorml.policy import GaussianPolicy
from minorml.rl.checks import check_step_copy
from minorml.rl.problem import make_problem
from minorml.rl.rollout import rollout
from minorml.rl.survey import survey

ROOT = Path(__file__).parents[1]
compiled_only = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
SYSTEMS = [("PointRotation", "rotation", 2, 2, 10), ("PointRotationSparse", "rotation", 2, 2, 60),
           ("PointGoal", "goal_angle", 2, 2, 10), ("CartPoleSensorBias", "angle_bias", 4, 1, 80),
           ("CartPolePositions", "angle_bias", 2, 1, 80), ("CartPoleMotor", "reversed", 4, 1, 80),
           ("CartPoleMotorPole", "reversed", 2, 1, 80)]
each_system = pytest.mark.parametrize("name, attribute, obs_dim, act_dim, horizon", SYSTEMS)


def spring_step(state, action, constants, observation):
    """A mass on a spring. From the second step on, a spring without stiffness has numbers that are not finite."""
    state[0], state[1] = state[0] + 0.1 * state[1], state[1] + 0.1 * (action[0] - constants[0] * state[0])
    state[2] += 1
    observation[0] = state[0]
    observation[1] = state[1] / constants[0] if state[2] > 1 else state[1]
    return -state[0] * state[0], abs(state[0]) > 1


class Springs(gymnasium.vector.VectorEnv):
    """Somebody else's vector of environments, with a step for the loop."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    single_observation_space = Box(-np.inf, np.inf, (2,))
    single_action_space = Box(-1, 1, (1,))
    step_copy = staticmethod(spring_step)
    max_episode_steps = 30

    def __init__(self, num_envs):
        self.num_envs, self.stiffness = num_envs, np.ones(num_envs)
        self.observation_space = Box(-np.inf, np.inf, (num_envs, 2))
        self.action_space = Box(-1, 1, (num_envs, 1))

    def reset(self, *, seed=None, options=None):
        self.states = np.zeros((self.num_envs, 3))
        self.states[:, 0] = [np.random.default_rng(s).uniform(-0.5, 0.5) for s in seed or [None] * self.num_envs]
        return self.states[:, :2].copy(), {}

    def step(self, actions):
        observations = np.zeros((self.num_envs, 2))
        with np.errstate(all="ignore"):
            outcomes = [spring_step(*rows) for rows in zip(self.states, actions, self.stiffness[:, None], observations)]
        rewards, ended = np.array(outcomes, float).T
        return observations, rewards, ended > 0, self.states[:, 2] >= self.max_episode_steps, {}

    def copies(self):
        return self.states, self.stiffness[:, None]

    def get_attr(self, name):
        return tuple(getattr(self, name))

    def set_attr(self, name, values):
        setattr(self, name, np.broadcast_to(np.array(values, float), self.num_envs).copy())


def both_ways(monkeypatch, sample):
    """What `sample` returns by the loop, and step by step; or the messages of what it raises."""
    found = []
    for way in "loop", "steps":
        if way == "steps":
            monkeypatch.setattr("minorml.kernels.rollout.offered_step", lambda envs: None)
        try:
            found.append(sample())
        except FloatingPointError as error:
            found.append(str(error))
    return found


def assert_same(ours, theirs, ulps=0):
    """Every live row, and the states that the last of them lead to."""
    for a, b in zip(ours, theirs):
        np.testing.assert_array_equal(a.alive, b.alive)
        for x, y in zip([*a.batch()[:3], a.log_probs, a.rewards], [*b.batch()[:3], b.log_probs, b.rewards]):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(x, y, rtol=ulps * np.finfo(x.dtype).eps, atol=ulps * np.finfo(x.dtype).eps)


@compiled_only
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scales", [{}, {"obs_scale": 0.7, "action_scale": 1.3, "action_offset": 0.1}])
@each_system
def test_the_loop_does_what_gymnasium_does(name, attribute, obs_dim, act_dim, horizon, scales, dtype, monkeypatch):
    """To the last bit. Cart-pole's sine and cosine may differ in it, and 80 steps carry that on."""
    policy = GaussianPolicy(obs_dim, act_dim, (20, 7))
    envs = gymnasium.make_vec(f"minorml_envs:minorml/{name}-v0", num_envs=3 * 21)
    task = [0, 1, 1] if attribute == "reversed" else [0.0, 0.1, -3.0 if act_dim == 2 else -0.1]
    envs.set_attr(attribute, np.repeat(task, 21))
    thetas = np.stack([policy.init(np.random.default_rng(i), -0.5, dtype) for i in range(3)])
    widths = {"obs_scale": obs_dim, "action_scale": act_dim, "action_offset": act_dim}
    scales = {key: (value,) * widths[key] for key, value in scales.items()}
    ours, theirs = both_ways(monkeypatch, lambda: rollout(
        envs, policy, thetas, horizon, [np.random.default_rng(i) for i in range(3)], **scales))
    assert name in ("PointRotation", "PointGoal") or len({*sum([list(one.alive.sum(1)) for one in ours], [])}) > 5
    assert_same(ours, theirs, ulps=0 if act_dim == 2 else 1000)


@compiled_only
def test_parameters_in_any_order_of_memory():
    """As a stack of one θ for all tasks is laid out, which NumPy makes of a broadcast array."""
    policy = GaussianPolicy(2, 1, (5,))
    theta = policy.init(np.random.default_rng(0), 0.0)
    thetas = np.concatenate([np.broadcast_to(theta, (3, len(theta)))])
    for stack in thetas, np.asfortranarray(thetas), np.repeat(thetas, 2, axis=1)[:, ::2]:
        last = rollout(Springs(6), policy, stack, 20, [np.random.default_rng(i) for i in range(3)])[2]
        alone, = rollout(Springs(2), policy, theta[None], 20, [np.random.default_rng(2)])
        for x, y in zip(last, alone):
            np.testing.assert_array_equal(x, y)


@each_system
def test_a_step_of_one_copy_is_a_step_of_the_vector(name, attribute, obs_dim, act_dim, horizon):
    """As Python, from states anywhere. Cart-pole: to 4 units in the last place of the largest term."""
    N, rng = 200, np.random.default_rng(0)
    envs = gymnasium.make_vec(f"minorml_envs:minorml/{name}-v0", num_envs=N)
    envs.set_attr(attribute, np.arange(N) % 2 if attribute == "reversed" else rng.uniform(-3, 3, N))
    envs.reset(seed=0)
    envs._states[:] = rng.normal(size=envs._states.shape) * (1, 2, 0.2, 3)[:envs._states.shape[1]]
    actions = rng.normal(size=(N, act_dim))
    states, constants = map(np.array, envs.copies())
    observations = np.zeros((N, obs_dim))
    outcomes = [type(envs).step_copy(*rows) for rows in zip(states, actions, constants, observations)]
    expected, *expected_outcomes, _, _ = envs.step(actions)
    tolerance = 0 if act_dim == 2 else 4 * 20 * np.finfo(float).eps  # accelerations are up to 20
    for x, y in (states, envs._states), (observations, expected):
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance)
    for x, y in zip(zip(*outcomes), expected_outcomes):
        np.testing.assert_array_equal(x, y)


@compiled_only
def test_somebody_elses_step(monkeypatch):
    """Episodes that are cut off before the horizon, too."""
    policy, envs = GaussianPolicy(2, 1, (5,)), Springs(2 * 8)
    envs.set_attr("stiffness", np.repeat([1.0, 4.0], 8))
    thetas = np.stack([policy.init(np.random.default_rng(i), 0.5, np.float64) for i in range(2)])
    ours, theirs = both_ways(monkeypatch, lambda: rollout(
        envs, policy, thetas, 50, [np.random.default_rng(i) for i in range(2)]))
    lengths = np.concatenate([one.alive.sum(axis=1) for one in ours])
    assert lengths.min() < 30 == lengths.max()
    assert_same(ours, theirs)


@compiled_only
@pytest.mark.parametrize("what, huge", [("observation", 1.0), ("action", 3e38)])
def test_what_is_not_finite_is_told_in_the_same_words(what, huge, monkeypatch):
    policy, envs = GaussianPolicy(2, 1, (5,)), Springs(2 * 3)
    envs.set_attr("stiffness", [1.0] * 4 + [0.0, 1.0])
    thetas = np.stack([policy.init(np.random.default_rng(0), 0.0, np.float32)] * 2)
    ours, theirs = both_ways(monkeypatch, lambda: rollout(
        envs, policy, thetas, 50, [np.random.default_rng(i) for i in range(2)], action_scale=(huge,),
        names=["soft", "hard"]))
    assert ours == theirs
    assert ours.startswith(f"{what}: expected finite numbers; given ")
    assert what == "action" or "inf] in task hard, trajectory 1, step 1" in ours


@compiled_only
def test_a_reward_that_is_not_finite(monkeypatch):
    def step(state, action, constants, observation):
        return np.nan, False

    class Odd(Springs):
        step_copy = staticmethod(step)

    policy = GaussianPolicy(2, 1, (5,))
    with pytest.raises(FloatingPointError, match="reward: expected finite numbers; given nan in task 0, trajectory 0"):
        rollout(Odd(2), policy, policy.init(np.random.default_rng(0), 0.0)[None], 5, [np.random.default_rng(0)])


@compiled_only
def test_a_wrapper_is_not_gone_round():
    class Shifted(gymnasium.vector.VectorObservationWrapper):
        def observations(self, observations):
            return observations + 1

    assert offered_step(Springs(2)) is spring_step
    assert offered_step(Shifted(Springs(2))) is None


def config(**changes):
    return minorml.Config(env="springs", vary=("stiffness=uniform:1,2",), method="norml", horizon=20, **changes)


def wrong_number(state, action, constants, observation):
    observation[:] = state[:2]
    return 0.0, False


def out_of_range(state, action, constants, observation):
    observation[2] = 1.0
    return 0.0, False


def one_value(state, action, constants, observation):
    return 0.0


def no_machine_code(state, action, constants, observation):
    return spring_step(state, action, constants, observation)  # a function that is not compiled


@pytest.mark.parametrize("step, message", [
    (wrong_number, r"step_copy: in step 0 its observation is \[.*\], that of the environment's own step \["),
    (out_of_range, "step_copy: IndexError: index 2 is out of bounds"),
    (one_value, "step_copy: TypeError|step_copy: ValueError"),
    (no_machine_code, "step_copy: Numba cannot compile it: "),
])
@compiled_only
def test_a_step_that_is_another_is_refused_before_anything_is_written(step, message, tmp_path):
    class Odd(Springs):
        step_copy = staticmethod(step)

    problem = make_problem(config(num_trajectories=1), 2, Odd)
    with pytest.raises(ValueError, match=message):
        check_step_copy(problem)
    with pytest.raises(ValueError, match=message):
        minorml.train(config(iterations=1), make_envs=Odd, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())
    assert [fine for fine, line in survey(config(), Odd) if "step_copy" in line] == [False]


@compiled_only
def test_a_subclass_that_moves_otherwise_is_noticed():
    from minorml_envs.point import PointRotationVectorEnv

    class Slower(PointRotationVectorEnv):
        def _advance(self, states, actions):
            return super()._advance(states, actions / 2)

    point = minorml.preset("point/norml")
    check_step_copy(make_problem(minorml.Config(**{**vars(point), "num_trajectories": 1}), 2, PointRotationVectorEnv))
    with pytest.raises(ValueError, match="step_copy: in step 0 its observation"):
        check_step_copy(make_problem(minorml.Config(**{**vars(point), "num_trajectories": 1}), 2, Slower))


@compiled_only
def test_training_on_somebody_elses_step():
    trained = minorml.train(config(iterations=2, num_tasks=2, num_trajectories=3), make_envs=Springs)
    assert np.isfinite(trained.meta.theta).all()
    assert (True, "its step for the compiled loop does what its own step does") in list(survey(config(), Springs))


@compiled_only
def test_a_step_with_numbers_of_its_own_is_compiled_for_them():
    """Two functions of one name, which differ in what they enclose: nothing is kept on disk for them."""
    def gained(gain):
        def step(state, action, constants, observation):
            observation[0] = gain * action[0]
            return 0.0, False

        return step

    for gain in 2.0, 3.0:
        compiled, seen = compile_step(gained(gain)), np.zeros((1, 1))
        call_step(compiled, np.arange(1), *np.ones((3, 1, 1)), seen, np.zeros(1), np.zeros(1, np.bool_))
        assert seen == gain and compiled.cache_hits == 0


@numba.njit
def call_step(step_copies, *arguments):
    step_copies(*arguments)


MASSES = """
import gymnasium, numpy as np
GAIN = {gain}


def step(state, action, constants, observation):
    state[0] += GAIN * action[0]
    observation[0] = state[0]
    return 0.0, False
"""
SAMPLE = """
import numpy as np
import masses
from minorml.kernels.rollout import compile_step
step = compile_step(masses.step)
states, observations = np.zeros((1, 1)), np.zeros((1, 1))
from numba import njit
call = njit(lambda f, *args: f(*args))
call(step, np.arange(1), states, np.ones((1, 1)), np.ones((1, 1)), observations, np.zeros(1), np.zeros(1, np.bool_))
print(observations[0, 0], step.cache_hits)
"""


@compiled_only
def test_the_compiled_step_is_kept_and_never_stale(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def run(gain):
        (tmp_path / "masses.py").write_text(MASSES.format(gain=gain))
        return subprocess.run([sys.executable, "-c", SAMPLE], env=environment, capture_output=True, text=True,
                              check=True, cwd=tmp_path).stdout.split()

    assert run(2.0) == ["2.0", "0"]
    assert run(2.0) == ["2.0", "1"]
    assert run(3.0) == ["3.0", "0"]
