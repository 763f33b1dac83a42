"""Interquartile mean, probability of improvement, bootstrap intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import mannwhitneyu, trim_mean

from minorml.experiments.statistics import bootstrap_interval, interquartile_mean, probability_of_improvement

scores = arrays(float, st.integers(1, 12), elements=st.integers(-5, 5).map(float))


@pytest.mark.parametrize("x, expected", [([3.0], 3), ([1, 2, 6], 3), ([0, 1, 3, 100], 2), ([5, 1, 2, 3, -100], 2),
                                         ([-9, -9, 1, 2, 3, 4, 90, 90], 2.5)])
def test_interquartile_mean(x, expected):
    assert interquartile_mean(np.array(x)) == expected


@given(arrays(float, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.floats(-1e3, 1e3)))
def test_interquartile_mean_is_scipys_and_lies_among_the_scores(x):
    iqm = interquartile_mean(x)
    np.testing.assert_allclose(iqm, trim_mean(x, 0.25, axis=0), atol=1e-9)
    assert (x.min(axis=0) - 1e-9 <= iqm).all() and (iqm <= x.max(axis=0) + 1e-9).all()


@pytest.mark.parametrize("x, y, expected", [([2, 3], [0, 1], 1), ([0], [1], 0), ([1], [1], 0.5),
                                            ([1, 3], [2, 2, 2, 4], 3 / 8)])
def test_probability_of_improvement(x, y, expected):
    assert probability_of_improvement(x, y) == expected


@given(scores, scores)
def test_probability_of_improvement_is_mann_whitneys_u(x, y):
    p = probability_of_improvement(x, y)
    assert p == pytest.approx(mannwhitneyu(x, y, method="asymptotic").statistic / (len(x) * len(y)))
    assert p + probability_of_improvement(y, x) == pytest.approx(1)


def test_bootstrap_interval_of_a_mean_is_about_that_of_the_normal():
    x = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(np.mean, x)
    np.testing.assert_allclose([low, high], x.mean() + np.array([-1.96, 1.96]) * x.std() / 20, atol=0.01)


@given(scores, scores)
def test_bootstrap_interval_stays_among_what_can_be(x, y):
    low, high = bootstrap_interval(interquartile_mean, x, resamples=50)
    assert np.isnan([low, high]).all() if len(x) == 1 else x.min() <= low <= high <= x.max()
    low, high = bootstrap_interval(probability_of_improvement, x, y, resamples=50)
    assert np.isnan([low, high]).all() if min(len(x), len(y)) == 1 else 0 <= low <= high <= 1


def test_bootstrap_interval_of_curves_and_of_equal_scores():
    curves = np.array([[0.0, 5.0, 1.0], [2.0, 5.0, 3.0]])
    low, high = bootstrap_interval(interquartile_mean, curves)
    np.testing.assert_array_equal([low, high], [[0, 5, 1], [2, 5, 3]])
    np.testing.assert_array_equal(bootstrap_interval(interquartile_mean, curves, seed=3), [low, high])
