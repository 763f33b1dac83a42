"""Returns, the polynomial baseline, advantages, and their normalisation."""

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minorml.rl.baseline import estimate_advantages, features, fit, normalise
from minorml.rl.rollout import Trajectories


def trajectories(rng, lengths, horizon, obs_dim=2):
    """K trajectories with these lengths; the dead rows hold garbage that must not matter."""
    K = len(lengths)
    alive = np.arange(horizon) < np.array(lengths)[:, None]
    rewards = np.where(alive, rng.normal(size=(K, horizon)), 0)
    return Trajectories(rng.normal(size=(K, horizon + 1, obs_dim)), rng.normal(size=(K, horizon, 1)),
                        rng.normal(size=(K, horizon)), rewards, alive)


def test_features_are_powers_of_state_and_time():
    """(baseline.2)"""
    states = np.array([[2.0, -1.0]])
    np.testing.assert_allclose(features(states, np.array([5]), 10),
                               [[2, -1, 4, 1, 8, -1, 0.5, 0.25, 0.125, 1]])


def test_fit_minimises_the_ridge_sum():
    """(baseline.3)"""
    rng = np.random.default_rng(0)
    phi, returns = rng.normal(size=(30, 5)), rng.normal(size=30)
    w = fit(phi, returns, ridge=0.3)
    gradient = 2 * phi.T @ (phi @ w - returns) + 2 * 0.3 * w  # of ‖Φw − R‖² + ridge ‖w‖²
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


def test_the_ridge_is_1e_5_unless_told():
    phi, returns = np.array([[1e-3]]), np.array([1.0])
    np.testing.assert_allclose(fit(phi, returns), 1e-3 / (1e-6 + 1e-5), rtol=1e-12)


@pytest.mark.parametrize("phi, returns", [(1e200, 1.0), (1.0, np.inf), (1e200, np.inf)])
def test_sums_that_overflow_are_an_error(phi, returns):
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(FloatingPointError, match="baseline: states"):
        fit(np.full((2, 1), phi), np.full(2, returns))


def test_singular_regression_has_a_defined_result():
    phi = np.full((4, 3), 1e12)  # three equal columns, so large that the ridge is lost to rounding
    w = fit(phi, np.full(4, 3e12))
    np.testing.assert_allclose(phi @ w, 3e12, rtol=1e-6)


@given(seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
       discount=st.floats(0, 1))
def test_advantages_are_returns_minus_the_fit(seed, lengths, discount):
    """(baseline.1) and (baseline.4)"""
    horizon = 6
    sample = trajectories(np.random.default_rng(seed), lengths, horizon)
    expected_returns = np.concatenate([oracles.returns(r[:n], discount) for r, n in zip(sample.rewards, lengths)])
    rows = [(states[t], t) for states, n in zip(sample.states, lengths) for t in range(n)]
    phi = np.array([[*s, *s**2, *s**3, t / 6, (t / 6) ** 2, (t / 6) ** 3, 1] for s, t in rows])
    w = np.linalg.solve(phi.T @ phi + 1e-5 * np.eye(phi.shape[1]), phi.T @ expected_returns)
    # 1e-6: the ridge leaves a condition number of up to 1e9 where a batch has few rows.
    np.testing.assert_allclose(estimate_advantages(sample, discount), expected_returns - phi @ w, atol=1e-6)


def test_dead_rows_do_not_matter():
    sample = trajectories(np.random.default_rng(3), [2, 4], 5)
    garbage = sample._replace(states=sample.states.copy())
    garbage.states[0, 3:] = 1e6
    np.testing.assert_array_equal(estimate_advantages(sample, 0.9), estimate_advantages(garbage, 0.9))


def test_normalisation_is_over_the_whole_meta_batch():
    advantages = [np.array([1.0, 2.0]), np.array([11.0, 14.0])]
    together = np.concatenate(normalise(advantages))
    assert together.mean() == pytest.approx(0, abs=1e-15) and together.std() == pytest.approx(1)
    assert normalise(advantages)[0].mean() < 0 < normalise(advantages)[1].mean(), "a better task stays better"


@pytest.mark.parametrize("constant", [0.0, 0.1, -3e8])
def test_equal_advantages_normalise_to_zeros(constant):
    for part in normalise([np.full(1000, constant), np.full(7, constant)]):
        np.testing.assert_array_equal(part, 0)


def test_episodes_that_end_at_the_first_step():
    sample = trajectories(np.random.default_rng(0), [1, 1, 1], 5)
    assert estimate_advantages(sample, 0.9).shape == (3,)
