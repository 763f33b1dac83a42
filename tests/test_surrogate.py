"""Surrogate losses: slope, curvature and dslope_dA of each form, row by row and as functions of θ."""

from functools import partial

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import RATIOS_AND_SIGNS, policy_case, proved_twice, ratios

from minorml import surrogate
from minorml.gradcheck import assert_close, assert_gradient, complex_step, taylor_slopes
from minorml.kernels.registry import KERNELS
from minorml.meta import Batch

FORMS = {
    "log": surrogate.log_form,
    "ratio": surrogate.ratio_form,
    "clipped": partial(surrogate.clipped_form, clip=0.2),
    "none": surrogate.no_form,
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def rows_case(seed=0, num_rows=6):
    """x, advantages and x̄, each (N,), with ratios on both sides of the clip and away from its kinks."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=num_rows)
    ratio, sign = ratios(rng, num_rows)
    return x, sign * (0.5 + rng.random(num_rows)), x - np.log(ratio)


rows_cases = st.builds(rows_case, st.integers(0, 2**32 - 1), st.integers(1, 13))


@proved_twice
@each_form
@given(rows_cases)
def test_slope_curvature_and_mixed(derivative, rtol, form, case):
    """(surrogate.4), (surrogate.5), (surrogate.6). Rows depend on their own x and A: one step along (1, …, 1) does."""
    x, advantages, old = case
    rows, ones = form(x, advantages, old), np.ones_like(x)
    expected = {
        "slope": derivative(lambda x: form(x, advantages, old).loss, x, ones),
        "curvature": derivative(lambda x: form(x, advantages, old).slope, x, ones),
        "dslope_dA": derivative(lambda advantages: form(x, advantages, old).slope, advantages, ones),
    }
    for name, value in expected.items():
        assert_close(getattr(rows, name), value, rtol, name)


@pytest.mark.gradients
@each_form
def test_without_old_log_probs_they_are_the_present_ones(form):
    """x̄ is held constant at x: the loss, and every derivative of it, is that with x̄ = x given."""
    x, advantages, _ = rows_case()
    for present, ours in zip(form(x, advantages, None), form(x, advantages, x)):
        assert np.array_equal(present, ours)
    slope = complex_step(lambda x: form(x, advantages, None).loss, x, np.ones_like(x))
    assert_close(form(x, advantages, None).slope, slope)


@pytest.mark.gradients
@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
@pytest.mark.parametrize("form, clip", [(surrogate.log_form, ()), (surrogate.ratio_form, ()),
                                        (surrogate.clipped_form, (0.2,))], ids=["log", "ratio", "clipped"])
def test_gradient_and_hessian_as_functions_of_theta(form, clip, activation):
    """(surrogate.1), (surrogate.2) and (surrogate.3), by the complex step and by Taylor slopes 2 and 3."""
    policy, _, theta, _, s, a, _, advantages, _, v = policy_case(seed=1, activation=activation)
    v = v / np.linalg.norm(v)
    old = policy.log_prob(theta, s, a) - np.log(ratios(np.random.default_rng(0), len(s))[0])

    def loss(t):
        return form(policy.log_prob(t, s, a), advantages, old, *clip).loss.sum()

    def gradient(t):
        return surrogate.differentiate(form, policy, t, batch, advantages, False, *clip)[1]

    batch = Batch(s, a, s, None, old)
    value, ours, dslope_dA, along = KERNELS["differentiate"][0](form, policy, theta, batch, advantages, True, *clip)
    Rx, Hv = along(v)
    assert value == pytest.approx(loss(theta), rel=1e-14)
    assert_close(dslope_dA, form(policy.log_prob(theta, s, a), advantages, old, *clip).dslope_dA)
    assert_close(Rx, complex_step(lambda t: policy.log_prob(t, s, a), theta, v))
    assert_gradient(loss, ours, theta)
    assert_close(Hv, complex_step(gradient, theta, v))
    assert taylor_slopes(loss, theta, v, ours @ v, Hv @ v) == pytest.approx([2, 3], abs=0.1)


@pytest.mark.gradients
@given(rows_cases)
def test_losses_equal_the_oracles(case):
    x, advantages, old = case
    batch = Batch(None, None, None, advantages, old)
    expected = {
        "log": oracles.inner_loss("norml", x, advantages, batch),
        "ratio": oracles.inner_loss("maml", x, advantages, batch),
        "clipped": oracles.outer_loss(x, batch, 0.2),
        "none": 0,
    }
    for name, form in FORMS.items():
        assert form(x, advantages, old).loss.sum() == pytest.approx(expected[name], rel=1e-12)


@pytest.mark.gradients
def test_the_clip_acts_above_for_positive_and_below_for_negative_advantages():
    ratio, sign = RATIOS_AND_SIGNS.T
    rows = FORMS["clipped"](np.log(ratio), sign, np.zeros(len(ratio)))
    acts = np.array([False, False, True, True, False, False])
    assert np.array_equal(rows.dslope_dA == 0, acts)
    assert_close(rows.loss, -sign * np.where(acts, [0, 0, 0.8, 1.2, 0, 0], ratio) / len(ratio), 1e-15)
    for unclipped, clipped in zip(FORMS["ratio"](np.log(ratio), sign, np.zeros(len(ratio))), rows):
        assert np.array_equal(unclipped[~acts], clipped[~acts])


def test_the_ratio_is_exactly_one_at_the_sampling_parameters():
    assert np.array_equal(surrogate.ratio(np.array([-700.0, 0.1, 3.0]), None), np.ones(3))


@each_form
def test_float32_stays_float32(form):
    """A dozen operations and one exponential of a number of size 1: a few units of 6e-8 each."""
    case = [x.astype(np.float32) for x in rows_case()]
    for ours, expected in zip(form(*case), form(*(x.astype(np.float64) for x in case))):
        assert ours.dtype == np.float32
        assert_close(ours, expected, 1e-6)
