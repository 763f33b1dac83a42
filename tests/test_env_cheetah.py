"""The half cheetah against Gymnasium's HalfCheetah-v5, the exchange of motors, threads, and simulations that fail."""

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs

ID = "minorml/HalfCheetahSwap-v0"
WRONGLY = [("HalfCheetahSwap", "swapped", lambda u: u[:, [3, 1, 2, 0, 4, 5]]),
           ("HalfCheetahReverse", "reversed", lambda u: u * [-1, 1, 1, -1, 1, 1])]
each_wiring = pytest.mark.parametrize("name, switch, wrongly", WRONGLY, ids=[row[1] for row in WRONGLY])


def draw_actions(steps, *shape):
    return np.random.default_rng(0).uniform(-1.2, 1.2, (steps, *shape, 6))


def run(vector, actions, seed=3):
    """Observations, rewards, ends and states of every step, stacked."""
    vector.reset(seed=seed)
    results = [(*vector.step(a)[:4], vector._states) for a in actions]
    return [np.array(column) for column in zip(*results)]


def test_states_are_those_of_gymnasium(monkeypatch):
    """(cheetah.2) and (cheetah.3). Bit for bit over 1,000 steps, through falls that end our episodes and not theirs."""
    if importlib.util.find_spec("imageio") is None:  # HalfCheetah-v5 imports it, and uses it for nothing here
        monkeypatch.setitem(sys.modules, "imageio", types.ModuleType("imageio"))
    ours = gymnasium.make(ID).unwrapped  # before theirs, so that ours may choose how MuJoCo draws in later tests
    theirs = gymnasium.make("HalfCheetah-v5").unwrapped
    theirs.reset(seed=3)
    ours.reset(seed=3)
    np.testing.assert_array_equal(ours._row._states[0], theirs.state_vector())
    falls = 0
    for action in draw_actions(1000):
        *_, theirs_info = theirs.step(action)
        observation, reward, terminated, truncated, _ = ours.step(action)
        np.testing.assert_array_equal(ours._row._states[0], theirs.state_vector())
        np.testing.assert_array_equal(observation, np.r_[theirs.data.qpos[2:], theirs.data.qvel[2:]])
        cost = 0.05 * np.square(np.clip(action, -1, 1)).sum()
        assert reward == pytest.approx(theirs_info["x_velocity"] - cost + 1, abs=1e-12)
        assert terminated == (np.cos(theirs.data.qpos[2]) < 0.8) and not truncated
        falls += terminated
    assert 0 < falls < 1000
    ours.close(), theirs.close()


@each_wiring
def test_wrong_wires_undo_wrong_actions(name, switch, wrongly):
    """(cheetah.1): the hips exchanged twice, or negated twice, are the hips, in states and rewards."""
    vector = gymnasium.make_vec(f"minorml/{name}-v0", num_envs=2)
    vector.set_attr(switch, [0, 1])
    actions = draw_actions(20)
    both = np.stack([actions, wrongly(actions)], axis=1)
    _, rewards, _, _, states = run(vector, both, seed=[3, 3])
    np.testing.assert_array_equal(states[:, 0], states[:, 1])
    np.testing.assert_allclose(rewards[:, 0], rewards[:, 1], atol=1e-13)
    *_, same_actions = run(vector, np.stack([actions, actions], axis=1), seed=[3, 3])
    assert (same_actions[-1, 0] != same_actions[-1, 1]).all()
    vector.close()


@pytest.mark.parametrize("name, switch", [*(row[:2] for row in WRONGLY), ("CartPoleMotor", "reversed")])
def test_a_switch_is_0_or_1(name, switch):
    vector = gymnasium.make_vec(f"minorml/{name}-v0", num_envs=2)
    for values in (0, 1, True, [0.0, 1.0], np.array([1, 0])):
        vector.set_attr(switch, values)
    assert vector.get_attr(switch) == (1, 0)
    for values in (0.5, 2, [0, -1]):
        with pytest.raises(ValueError, match=f"{switch}: expected 0 or 1; given"):
            vector.set_attr(switch, values)
    assert vector.get_attr(switch) == (1, 0)
    vector.close()


def test_any_number_of_threads_gives_the_same_bits():
    """With copies that fall, start again and are stepped in other threads than before."""
    actions = draw_actions(60, 7)
    results = []
    for num_threads in (1, 2, 3, 9):
        vector = gymnasium.make_vec(ID, num_envs=7, num_threads=num_threads, max_episode_steps=50)
        vector.set_attr("swapped", [0, 1, 0, 1, 0, 1, 0])
        results.append(run(vector, actions))
        vector.close()
    assert results[0][2].any() and results[0][3].any()  # some fell, some reached the end
    for others in results[1:]:
        for ours, theirs in zip(results[0], others):
            np.testing.assert_array_equal(ours, theirs)


def test_number_of_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for given, copies, expected in [(None, 1, 1), (3, 2, 2), (2, 5, 2), (None, os.cpu_count() + 1, os.cpu_count())]:
        vector = gymnasium.make_vec(ID, num_envs=copies, num_threads=given)
        assert vector.num_threads == expected
        vector.close()
    with pytest.raises(ValueError, match="num_threads: expected 1 or more, or None; given 0"):
        gymnasium.make_vec(ID, num_threads=0)


@pytest.mark.parametrize("wrong", [np.nan, 1e12])
def test_a_diverged_simulation_is_an_error(wrong):
    vector = gymnasium.make_vec(ID, num_envs=3, num_threads=2)
    vector.set_attr("swapped", [0, 0, 1])
    expected = run(vector, draw_actions(5, 3))
    run(vector, draw_actions(4, 3))
    vector._data[2].qvel[4] = wrong
    with pytest.raises(FloatingPointError, match=r"diverged \(mjWARN_BADQVEL\) in .*copy 2, task swapped=1, step 4"):
        vector.step(np.zeros((3, 6)))
    for ours, theirs in zip(run(vector, draw_actions(5, 3)), expected):  # a reset mends it
        np.testing.assert_array_equal(ours, theirs)
    vector.close()


def test_quiet_and_tidy(tmp_path):
    """No MUJOCO_LOG.TXT and nothing on stderr, neither from loading nor from a simulation that fails."""
    code = """
import gymnasium, numpy as np
vector = gymnasium.make_vec("minorml_envs:minorml/HalfCheetahSwap-v0", num_envs=4, num_threads=2)
vector.reset(seed=0)
vector.step(np.ones((4, 6)))
vector._data[1].qpos[0] = np.nan
try:
    vector.step(np.ones((4, 6)))
except FloatingPointError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(envs.__file__).parents[1])})
    assert done.stderr == "" and "copy 1" in done.stdout and not list(tmp_path.iterdir())


def test_a_picture_without_opengl(tmp_path):
    """The error names the library and the variable."""
    code = """
import gymnasium
env = gymnasium.make("minorml_envs:minorml/HalfCheetahSwap-v0", render_mode="rgb_array")
env.reset()
try:
    env.render()
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(envs.__file__).parents[1]), "MUJOCO_GL": "disable"})
    assert "libegl1" in done.stdout and "MUJOCO_GL='disable'" in done.stdout, done.stderr
