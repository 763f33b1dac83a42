"""Adam against its definition, its decay, and the limit to a gradient's length."""

import numpy as np
import pytest

from minorml.rl import adam


def test_first_step_is_the_sign_of_the_gradient():
    x, moments = adam.step(np.zeros(3), np.array([1e-3, -5.0, 2.0]), adam.Moments.zeros_like(np.zeros(3)), 0.1)
    np.testing.assert_allclose(x, [-0.1, 0.1, -0.1], rtol=1e-4)  # ε = 1e-8 against a gradient of 1e-3
    assert moments.count == 1


def test_many_steps_against_sums():
    """(adam.1) and (adam.2). m and u as the explicit weighted sums over all gradients so far."""
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(20, 4))
    x, moments = np.zeros(4), adam.Moments.zeros_like(np.zeros(4))
    expected = np.zeros(4)
    for t in range(1, 21):
        x, moments = adam.step(x, gradients[t - 1], moments, 0.01)
        ages = np.arange(t)[::-1][:, None]
        m = (0.1 * 0.9**ages * gradients[:t]).sum(axis=0) / (1 - 0.9**t)
        u = (0.001 * 0.999**ages * gradients[:t] ** 2).sum(axis=0) / (1 - 0.999**t)
        expected -= 0.01 * m / (np.sqrt(u) + 1e-8)
    np.testing.assert_allclose(x, expected, rtol=1e-12)


def test_float32_stays_float32_and_nothing_is_written_to():
    x, g = np.ones(2, np.float32), np.ones(2, np.float32)
    moments = adam.Moments.zeros_like(x)
    new, new_moments = adam.step(x, g, moments, 0.1)
    assert new.dtype == new_moments.first.dtype == new_moments.second.dtype == np.float32
    assert (x == 1).all() and (moments.first == 0).all()


@pytest.mark.parametrize("dtype, size", [("float32", 1.0), ("float32", 1e30), ("float64", 1e200)])
def test_a_long_gradient_keeps_its_direction_and_a_short_one_its_bytes(dtype, size):
    """(adam.3)"""
    vectors = [np.array(x, dtype) * np.dtype(dtype).type(size) for x in ([3.0, 0.0], [-4.0], [12.0, 0.0])]
    shortened, norm = adam.clip_by_global_norm(vectors, 0.5 * size)
    assert norm == pytest.approx(13 * size) and [v.dtype for v in shortened] == [dtype] * 3
    for short, long in zip(shortened, vectors):
        np.testing.assert_allclose(short / size, long / size * 0.5 / 13, rtol=1e-6)
    untouched, _ = adam.clip_by_global_norm(vectors, 14 * size)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(untouched, vectors))


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_the_norm_of_a_gradient_that_is_lost_says_so(lost):
    """It is who calls that stops, with a message."""
    with np.errstate(invalid="ignore"):
        _, norm = adam.clip_by_global_norm([np.array([1.0, lost])], 0.5)
    assert not np.isfinite(norm)


def test_one_long_gradient_carries_adam_32_rates_away_and_a_shortened_one_does_not():
    """Signs at random for 2,000 steps, one gradient 1,000 times as long, then nothing: where does x go?"""
    def after(longest):
        x, moments, path = np.zeros(1), adam.Moments.zeros_like(np.zeros(1)), []
        for g in [*np.random.default_rng(0).choice([-1.0, 1.0], 2000), 1000.0, *[0.0] * 200]:
            path.append(x[0])
            (g,), _ = adam.clip_by_global_norm([np.array([g])], longest)
            x, moments = adam.step(x, g, moments, 1.0)
        return path[2000] - x[0]

    assert 28 < after(1e9) < 34
    assert abs(after(1.0)) < 3


def test_linear_decay_ends_at_zero():
    assert adam.linear_decay(0.5, 0, 10) == 0.5
    assert adam.linear_decay(0.5, 5, 10) == pytest.approx(0.25)
    assert adam.linear_decay(0.5, 10, 10) == 0
