"""What every environment keeps to: Gymnasium's rules, one and many the same, arrays that stay whose they are."""

import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import envs

TASKS = {  # id → task attribute, a value for each of four copies
    "minorml/PointRotation-v0": ("rotation", [0.0, 1.0, -2.0, 3.0]),
    "minorml/PointRotationSparse-v0": ("rotation", [0.0, 1.0, -2.0, 3.0]),
    "minorml/PointGoal-v0": ("goal_angle", [0.0, 1.0, -2.0, 3.0]),
    "minorml/CartPoleSensorBias-v0": ("angle_bias", [0.0, 0.1, -0.1, 0.15]),
    "minorml/CartPolePositions-v0": ("angle_bias", [0.0, 0.1, -0.1, 0.15]),
    "minorml/CartPoleMotor-v0": ("reversed", [0, 1, 0, 1]),
    "minorml/CartPoleMotorPole-v0": ("reversed", [0, 1, 0, 1]),
    "minorml/HalfCheetahSwap-v0": ("swapped", [0, 1, 0, 1]),
    "minorml/HalfCheetahReverse-v0": ("reversed", [0, 1, 0, 1]),
}
COPIES = 4
each_id = pytest.mark.parametrize("id", TASKS)


def make_vec(id, **options):
    vector = gymnasium.make_vec(id, num_envs=COPIES, **options)
    vector.set_attr(*TASKS[id])
    return vector


def draw_actions(space, steps, seed=0, scale=1.5):
    """Some of them beyond the limits ±1."""
    return np.random.default_rng(seed).uniform(-scale, scale, (steps, *space.shape))


def test_ids_and_their_documentation():
    registered = {id for id in gymnasium.registry if id.startswith("minorml/")}
    assert registered == set(TASKS)
    for id in registered:
        (row,) = [line for line in envs.__doc__.splitlines() if f"`{id}`" in line]
        assert f"`{TASKS[id][0]}`" in row and f" {gymnasium.spec(id).max_episode_steps} " in row


def test_importing_loads_neither_simulator_nor_drawing():
    code = "import sys, envs, envs.point, envs.cartpole; print(*{m.partition('.')[0] for m in sys.modules})"
    root = Path(envs.__file__).parents[1]
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not {"mujoco", "PIL", "pygame", "imageio", "minorml"} & set(loaded.stdout.split())


@each_id
def test_gymnasium_finds_no_fault(id):
    env = gymnasium.make(f"envs:{id}").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Speeds have no bound, so neither have the observations of the cart-pole and the cheetah.
        warnings.filterwarnings("ignore", message=r".*A Box observation space (min|max)imum value is -?infinity")
        check_env(env, skip_render_check="Cheetah" in id)  # which needs OpenGL, tested apart
    env.close()


@each_id
def test_vector_declares_what_it_returns(id):
    vector = make_vec(id)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert vector.unwrapped.spec.id == id and vector.max_episode_steps == gymnasium.spec(id).max_episode_steps
    observations, info = vector.reset(seed=0)
    assert observations in vector.observation_space and info == {}
    for actions in draw_actions(vector.action_space, 5).astype(np.float32):
        observations, rewards, terminated, truncated, info = vector.step(actions)
        assert observations in vector.observation_space and info == {}
        assert rewards.shape == (COPIES,) and rewards.dtype == np.float64
        for ended in (terminated, truncated):
            assert ended.shape == (COPIES,) and ended.dtype == bool
    vector.close()


@each_id
def test_each_copy_is_the_single_environment(id):
    """Bit for bit, across ends of episodes: Gymnasium's own vector of single environments is the oracle."""
    ours, reference = (make_vec(id, max_episode_steps=30, vectorization_mode=mode)
                       for mode in ("vector_entry_point", "sync"))
    np.testing.assert_array_equal(ours.reset(seed=7)[0], reference.reset(seed=7)[0])
    ends = 0
    for actions in draw_actions(ours.action_space, 70):
        got, expected = ours.step(actions), reference.step(actions)
        for mine, theirs in zip(got[:4], expected[:4]):
            np.testing.assert_array_equal(mine, theirs)
        ends += np.count_nonzero(got[2] | got[3])
    assert ends >= 2 * COPIES
    np.testing.assert_array_equal(ours.reset()[0], reference.reset()[0])
    ours.close(), reference.close()


@each_id
def test_the_step_after_the_end_resets(id):
    vector = make_vec(id, max_episode_steps=3)
    first, _ = vector.reset(seed=1)
    still = np.zeros(vector.action_space.shape)
    for t in range(1, 9):
        observations, rewards, terminated, truncated, _ = vector.step(still)
        assert truncated.all() == truncated.any() == (t % 4 == 3) and not terminated.any()
        if t % 4 == 0:
            assert not rewards.any() and observations.shape == first.shape
    vector.close()


@each_id
def test_seeds(id):
    vector = gymnasium.make_vec(id, num_envs=COPIES)
    first, _ = vector.reset(seed=5)
    later, _ = vector.reset()
    for seed in (5, np.int64(5), [5, 6, 7, 8], np.arange(5, 9)):
        np.testing.assert_array_equal(vector.reset(seed=seed)[0], first)
        np.testing.assert_array_equal(vector.reset()[0], later)
    shuffled, _ = vector.reset(seed=[8, None, 5, 6])
    np.testing.assert_array_equal(shuffled[[2, 3, 0]], first[[0, 1, 3]])
    for seed, complaint in [([1, 2], "expected an integer or 4 of them; given 2"), (-1, "integers >= 0; given -1")]:
        with pytest.raises(ValueError, match=complaint):
            vector.reset(seed=seed)
    with pytest.raises(TypeError):
        vector.reset(seed=[0.5] * COPIES)
    vector.close()


@each_id
def test_arrays_are_nobody_elses(id):
    """What the caller does to arrays that it was given changes nothing, and its own are not written to."""
    meddled, left_alone = make_vec(id, max_episode_steps=4), make_vec(id, max_episode_steps=4)
    values = np.array(TASKS[id][1])
    meddled.set_attr(TASKS[id][0], values)
    values[:] = 0
    meddled.reset(seed=0)[0].fill(9.0)
    left_alone.reset(seed=0)
    for actions in draw_actions(meddled.action_space, 10):
        before = actions.copy()
        actions.flags.writeable = False
        got, expected = meddled.step(actions), left_alone.step(actions)
        np.testing.assert_array_equal(actions, before)
        for mine, theirs in zip(got[:4], expected[:4]):
            np.testing.assert_array_equal(mine, theirs)
            assert not np.shares_memory(mine, actions)
            mine.fill(1)
    meddled.close(), left_alone.close()


def test_copies_of_a_space_draw_their_own_samples():
    a, b = (gymnasium.make("minorml/PointRotation-v0").action_space for _ in range(2))
    a.seed(0), b.seed(0)
    np.testing.assert_array_equal(a.sample(), b.sample())


@each_id
def test_bad_actions_are_refused_and_nothing_moves(id):
    name, values = TASKS[id]
    vector, untouched = make_vec(id), make_vec(id)
    actions = draw_actions(vector.action_space, 4, scale=0.5)
    with pytest.raises(gymnasium.error.ResetNeeded):
        vector.step(actions[0])
    for envs_ in (vector, untouched):
        envs_.reset(seed=0)
        for a in actions[:3]:
            envs_.step(a)
    for wrong in (np.nan, np.inf, -np.inf):
        bad = actions[3].copy()
        bad[1, -1] = wrong
        with pytest.raises(ValueError,
                           match=rf"finite.*{type(vector).__name__}, copy 1, task {name}={values[1]:g}, step 3"):
            vector.step(bad)
    for bad in (actions[3][:-1], actions[3][0], actions[3][:, :, None], 0.0, None):
        with pytest.raises(ValueError, match=rf"expected shape .*{COPIES}.*given .*{name}=.*step 3"):
            vector.step(bad)
    np.testing.assert_array_equal(vector.step(actions[3])[0], untouched.step(actions[3])[0])
    vector.close(), untouched.close()


@each_id
def test_bad_actions_of_one(id):
    env = gymnasium.make(id).unwrapped
    env.reset(seed=0)
    size = env.action_space.shape[0]
    for bad in (np.zeros(size + 1), np.zeros((1, size)), 0.0):
        with pytest.raises(ValueError, match=rf"expected shape \({size},\).*given .*{TASKS[id][0]}=0, step 0"):
            env.step(bad)
    with pytest.raises(ValueError, match="finite numbers.*step 0"):
        env.step(np.full(size, np.nan))
    env.close()


@each_id
def test_task_attributes(id):
    name, values = TASKS[id]
    vector = make_vec(id)
    assert vector.get_attr(name) == tuple(values)
    vector.reset(seed=0)
    assert vector.get_attr(name) == tuple(values)
    vector.set_attr(name, values[1])
    assert vector.get_attr(name) == (values[1],) * COPIES
    vector.set_attr(name, np.array(values))
    for wrong in (np.nan, [np.inf] * COPIES, values[:2], [values] * COPIES, "left", None, [[]], {}):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            vector.set_attr(name, wrong)
    assert vector.get_attr(name) == tuple(values)
    for call in (lambda: vector.set_attr("colour", 1.0), lambda: vector.get_attr("colour")):
        with pytest.raises(AttributeError, match=f"no task attribute 'colour'; it has {name}$"):
            call()
    vector.close()

    env = gymnasium.make(id)
    env.set_wrapper_attr(name, values[1])
    assert env.get_wrapper_attr(name) == getattr(env.unwrapped, name) == values[1]
    with pytest.raises(ValueError, match=f"{name}: expected"):
        env.set_wrapper_attr(name, np.nan)
    env.close()


def test_bad_arguments():
    for options, complaint in [(dict(num_envs=0), "num_envs: expected 1 or more; given 0"),
                               (dict(max_episode_steps=0), "max_episode_steps: expected 1 or more, or None; given 0"),
                               (dict(render_mode="rgb_array"), "render_mode: a vector environment draws nothing")]:
        with pytest.raises(ValueError, match=complaint):
            gymnasium.make_vec("minorml/PointRotation-v0", **options)


def test_no_time_limit():
    vector = gymnasium.make_vec("minorml/PointRotation-v0", num_envs=2, max_episode_steps=None)
    vector.reset()
    for _ in range(12):
        assert not vector.step(np.zeros((2, 2)))[3].any()


@each_id
def test_pictures(id):
    env = gymnasium.make(id, render_mode="rgb_array")
    env.reset(seed=0)
    try:
        before = env.render()
    except RuntimeError as error:
        if "OpenGL" in str(error):
            pytest.skip(f"MuJoCo draws with OpenGL, which this machine has not: {error}")
        raise
    assert before.dtype == np.uint8 and before.shape[2] == 3 and min(before.shape[:2]) >= 240
    for _ in range(4):
        env.step(np.full(env.action_space.shape, 0.4))
    after = env.render()
    assert after.shape == before.shape and (after != before).any()
    np.testing.assert_array_equal(env.render(), after)
    env.close()


def test_pictures_that_cannot_be(monkeypatch):
    with pytest.raises(ValueError, match="render_mode: expected None or 'rgb_array'; given 'ansi'"), \
            pytest.warns(UserWarning, match="not in the possible render_modes"):
        gymnasium.make("minorml/PointRotation-v0", render_mode="ansi")
    blind = gymnasium.make("minorml/PointRotation-v0").unwrapped
    with pytest.warns(UserWarning, match="without render_mode"):
        assert blind.render() is None
    env = gymnasium.make("minorml/PointRotation-v0", render_mode="rgb_array").unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    env.reset()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(gymnasium.error.DependencyNotInstalled, match="pip install pillow"):
        env.render()


@each_id
def test_resting_copies_stay_as_they_are_and_the_others_do_not_notice(id):
    ours, reference = (make_vec(id, max_episode_steps=6) for _ in range(2))
    ours.reset(seed=7), reference.reset(seed=7)
    resting = np.array([False, True, False, True])
    last = None
    for t, actions in enumerate(draw_actions(ours.action_space, 14, scale=0.3)):
        got, expected = ours.step(actions), reference.step(actions)
        rests = resting if t > 2 else np.zeros(COPIES, bool)
        for mine, theirs in zip(got[:4], expected[:4]):
            np.testing.assert_array_equal(mine[~rests], theirs[~rests])
        if rests.any():
            np.testing.assert_array_equal(got[0][rests], last[rests])
            assert not got[1][rests].any() and not (got[2] | got[3])[rests].any()
        if t == 2:
            ours.rest(resting)
        last = got[0]
    np.testing.assert_array_equal(ours.reset(seed=7)[0], reference.reset(seed=7)[0])
    np.testing.assert_array_equal(ours.step(actions)[0], reference.step(actions)[0])
    ours.close(), reference.close()
