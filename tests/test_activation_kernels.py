"""The compiled tanh. (Slopes are tested with the passes that they are compiled into.)"""

import numpy as np
import pytest

from minorml.kernels.activation import _tanh


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_to_three_units_in_the_last_place(dtype):
    rng = np.random.default_rng(0)
    z = np.concatenate([scale * rng.normal(size=100_000) for scale in (1e-4, 0.1, 1, 5, 50)]).astype(dtype)
    ours, expected = z.copy(), np.tanh(z.astype(np.longdouble))
    _tanh(ours)
    assert np.all(np.abs(ours - expected) <= 3 * np.spacing(np.abs(expected).astype(dtype)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh_at_the_ends(dtype):
    z = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -1e4], dtype)
    ours = z.copy()
    _tanh(ours)
    np.testing.assert_array_equal(ours, np.tanh(z))
    assert np.signbit(ours[1])
