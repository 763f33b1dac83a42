"""The log-density of a diagonal Gaussian, its derivatives, and their derivatives along a direction."""

import numpy as np
import pytest
import scipy  # scipy.stats is imported where it is used first
from hypothesis import given
from hypothesis import strategies as st
from strategies import along_all, flat, packed, proved_twice

from minorml import gaussian
from minorml.gradcheck import assert_close, assert_gradient


@st.composite
def densities(draw):
    """a, mean (N, U), log_std (U,), w (N,), and directions Rmean, Rlog_std, Rw of the same shapes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, u = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    log_std = draw(st.floats(0.3, 1)) * rng.normal(size=u)
    mean = rng.normal(size=(n, u))
    a = mean + np.exp(log_std) * rng.normal(size=(n, u))
    return a, mean, log_std, rng.normal(size=n), rng.normal(size=(n, u)), rng.normal(size=u), rng.normal(size=n)


def log_density(a, mean, log_std):
    return gaussian.log_density(gaussian.standardise(a, mean, log_std), log_std)


@proved_twice
@given(densities())
def test_vjp(derivative, rtol, density):
    """(gaussian.3)"""
    a, mean, log_std, w, *_ = density
    f, x = packed(lambda mean, log_std: w @ log_density(a, mean, log_std), mean, log_std)
    assert_gradient(f, flat(*gaussian.vjp(gaussian.standardise(a, mean, log_std), log_std, w)), x, rtol, derivative)


@proved_twice
@given(densities())
def test_vjp_rows(derivative, rtol, density):
    """One row at a time: all rows moved together by the same (dμ, dλ)."""
    a, mean, log_std, *_ = density
    f, x = packed(lambda shift, log_std: log_density(a, mean + shift, log_std), np.zeros_like(log_std), log_std)
    rows = np.hstack(gaussian.vjp_rows(gaussian.standardise(a, mean, log_std), log_std))
    assert_gradient(f, rows.T, x, rtol, derivative)


@proved_twice
@given(densities())
def test_jvp(derivative, rtol, density):
    """(gaussian.4)"""
    a, mean, log_std, _, Rmean, Rlog_std, _ = density
    e = gaussian.standardise(a, mean, log_std)

    def jvp(direction):
        Rmean, Rlog_std = np.split(direction, [mean.size])
        Rlog_prob, Re = gaussian.jvp(e, log_std, Rmean.reshape(mean.shape), Rlog_std)
        return flat(Rlog_prob, Re)

    f, x = packed(lambda mean, log_std: flat(log_density(a, mean, log_std), gaussian.standardise(a, mean, log_std)),
                  mean, log_std)
    v = flat(Rmean, Rlog_std)
    assert_close(along_all(jvp, v), along_all(lambda d: derivative(f, x, d), v), rtol)


@proved_twice
@given(densities())
def test_vjp_tangent(derivative, rtol, density):
    """(gaussian.5). R{vjp}: the vjp, proved above, differentiated while mean, log_std and weights move together."""
    a, mean, log_std, w, Rmean, Rlog_std, Rw = density
    e = gaussian.standardise(a, mean, log_std)
    _, Re = gaussian.jvp(e, log_std, Rmean, Rlog_std)
    vjp, x = packed(lambda mean, log_std, w: flat(*gaussian.vjp(gaussian.standardise(a, mean, log_std), log_std, w)),
                    mean, log_std, w)
    ours = flat(*gaussian.vjp_tangent(e, log_std, Re, Rlog_std, w, Rw))
    assert_close(ours, derivative(vjp, x, flat(Rmean, Rlog_std, Rw)), rtol)


@pytest.mark.gradients
@given(densities())
def test_log_density_equals_scipy(density):
    """(gaussian.1) and (gaussian.2)"""
    a, mean, log_std, *_ = density
    assert_close(log_density(a, mean, log_std), scipy.stats.norm.logpdf(a, mean, np.exp(log_std)).sum(axis=1), 1e-12)


@pytest.mark.parametrize("log_std", [-3.0, 0.0, 2.0])
def test_density_integrates_to_one(log_std):
    """The constant term has no derivative; this is what proves it."""
    a = np.linspace(-60, 60, 200_001)[:, None]
    density = np.exp(log_density(a, np.zeros_like(a), np.array([log_std])))
    assert density.sum() * (a[1, 0] - a[0, 0]) == pytest.approx(1, rel=1e-9)
