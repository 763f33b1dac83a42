"""A policy that can be run: actions in the environment's units, files that give it back."""

import re

import numpy as np
import pytest
from test_export import assert_close, expected, make_policy

import minorml
from minorml.runs import checkpoints


def runnable(**options):
    policy = make_policy(**options)
    return minorml.Policy(policy.family, policy.theta, *(tuple(scale) for scale in (
        policy.obs_scale, policy.action_scale, policy.action_offset)))


@pytest.mark.parametrize("scaled", [True, False])
def test_mean_actions_and_noise_are_those_of_the_formula(scaled):
    policy, s = runnable(scaled=scaled, dtype=np.float64), np.random.default_rng(1).normal(size=(20, 3))
    assert_close(policy.act(s), expected(policy, s))
    assert_close(policy.act(s[4]), expected(policy, s[4:5])[0])
    noise = np.random.default_rng(7).standard_normal((20, 2))
    assert_close(policy.act(s, np.random.default_rng(7)), expected(policy, s, noise))
    assert_close(policy.act(s[0], np.random.default_rng(7)), expected(policy, s[:1], noise[:1])[0])


@pytest.mark.parametrize("observation, told", [
    (np.zeros(2), "observation: expected shape (3,); given (2,)"),
    (np.zeros((4, 2)), "observation: expected shape (N, 3); given (4, 2)"),
    (1.0, "observation: expected shape (3,); given ()"),
    ([0.0, np.nan, 0.0], "observation: expected finite numbers; given [0.0, nan, 0.0]"),
])
def test_an_observation_that_is_none_is_refused(observation, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        runnable().act(observation)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_gives_the_policy_back_to_the_last_bit(dtype, tmp_path):
    policy, s = runnable(dtype=dtype, activation="relu"), np.random.default_rng(1).normal(size=(5, 3))
    policy.save(tmp_path / "a.npz")
    same = minorml.load_policy(str(tmp_path / "a.npz"))
    assert same.theta.tobytes() == policy.theta.tobytes() and same.theta.dtype == dtype
    assert same.act(s, np.random.default_rng(0)).tobytes() == policy.act(s, np.random.default_rng(0)).tobytes()
    policy.export(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_save_has_one_format_and_export_the_others(tmp_path):
    with pytest.raises(ValueError, match=r"save: expected a file that ends in \.npz; given .*policy\.c"):
        runnable().save(tmp_path / "policy.c")
    runnable().export(tmp_path / "policy.c")
    assert "void act(" in (tmp_path / "policy.c").read_text()


@pytest.mark.parametrize("change, told", [
    (lambda arrays: arrays.pop("W2"), "not a policy that minorml wrote"),
    (lambda arrays: arrays.pop("log_std"), "not a policy that minorml wrote (no 'log_std')"),
    (lambda arrays: arrays.update(b3=np.zeros(3, np.float32)), "not a policy that minorml wrote"),
])
def test_another_file_is_no_policy(change, told, tmp_path):
    runnable().save(tmp_path / "a.npz")
    arrays, manifest = checkpoints.read(tmp_path / "a.npz")
    change(arrays)
    checkpoints.write(tmp_path / "a.npz", arrays, activation="tanh")
    with pytest.raises(ValueError, match=re.escape(told)):
        minorml.load_policy(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a policy"):
        minorml.load_policy(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError):
        minorml.load_policy(tmp_path / "b.npz")
