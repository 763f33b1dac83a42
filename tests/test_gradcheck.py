"""The helpers that prove derivatives, on functions whose derivatives are known."""

import numpy as np
import pytest

from minorml.gradcheck import (
    assert_close,
    assert_gradient,
    central_difference,
    complex_step,
    full_gradient,
    relative_error,
    taylor_slopes,
)


def cubic(x):
    return np.sum(x ** 3)


X, V = np.array([0.5, -1.0, 2.0]), np.array([1.0, 2.0, -1.0])


@pytest.mark.gradients
@pytest.mark.parametrize("derivative, rtol", [(complex_step, 1e-15), (central_difference, 1e-9)])
def test_directional_derivatives_of_numbers_and_arrays(derivative, rtol):
    assert_close(derivative(cubic, X, V), np.sum(3 * X ** 2 * V), rtol)
    assert_close(derivative(np.exp, X, V), np.exp(X) * V, rtol)
    assert derivative(np.exp, X, 0 * V).tolist() == [0, 0, 0]


def test_the_complex_step_keeps_double_precision_for_float32_input():
    x = X.astype(np.float32)
    assert_close(complex_step(np.exp, x, V.astype(np.float32)), np.exp(X) * V, 1e-15)


def test_central_differences_take_integers_and_a_step_of_ones_own():
    assert central_difference(lambda x: x ** 2, 3, 1, h=0.5) == 6
    assert central_difference(np.square, np.array([3]), np.array([1])) == pytest.approx(6)


@pytest.mark.gradients
def test_full_gradient_stacks_coordinates_first():
    assert_close(full_gradient(cubic, X), 3 * X ** 2, 1e-15)
    assert_close(full_gradient(lambda x: np.outer(x, [1, 2]), X)[1], np.outer([0, 1, 0], [1, 2]), 1e-15)


@pytest.mark.parametrize("given, expected, error", [
    ([3.0, 4.0], [3.0, 4.0], 0),
    ([3.0, 5.0], [3.0, 4.0], 0.2),
    ([0.0, 0.0], [0.0, 0.0], 0),
    ([0.0, 1e-100], [0.0, 0.0], np.inf),
    ([np.nan, 0.0], [0.0, 0.0], np.nan),
    ([np.nan, 0.0], [1.0, 0.0], np.nan),
    ([], [], 0),
    ([[1.0], [2.0]], [[1.0], [2.0]], 0),
])
def test_relative_error(given, expected, error):
    assert relative_error(given, expected) == pytest.approx(error, nan_ok=True)


def test_assert_gradient_names_the_worst_coordinate():
    gradient = 3 * X ** 2
    assert_gradient(cubic, gradient, X)
    assert_gradient(cubic, gradient, X, rtol=1e-8, derivative=central_difference)
    gradient[1] = -3
    with pytest.raises(AssertionError, match=r"gradient: relative error 4\.8e-01, allowed 1\.0e-12; "
                                             r"worst at \[1\]: expected 3, given -3"):
        assert_gradient(cubic, gradient, X)


def test_assert_gradient_counts_what_is_uncertain_as_error_and_never_passes_a_kink():
    def f(x):
        return np.array([np.sum(x ** 3), 1 + 1e-9 * np.sum(np.sin(3 * x))])  # the 1 leaves few digits of the rest

    def gradient(x):
        return np.stack([3 * x ** 2, 3e-9 * np.cos(3 * x)], axis=1)

    assert_gradient(f, gradient(X), X, 1e-6, central_difference)
    with pytest.raises(AssertionError, match="cannot tell"):
        assert_gradient(f, gradient(X), X, 1e-15, central_difference)
    with pytest.raises(AssertionError, match="f has a kink at x"):
        assert_gradient(lambda x: np.sum(np.abs(x)), np.array([0.0, 1]), np.array([0.0, 1]), 1e-6, central_difference)


@pytest.mark.parametrize("given, message", [
    (np.zeros((2, 3)), r"H: expected shape \(2, 2\); given \(2, 3\)"),
    ([[1, 2], [3, np.nan]], r"H: relative error nan.* worst at \[1, 1\]: expected 4, given nan"),
    ([[1, 2], [3.5, 4]], r"H: relative error 9\.1e-02.* worst at \[1, 0\]: expected 3, given 3\.5"),
])
def test_assert_close_says_what_is_wrong(given, message):
    with pytest.raises(AssertionError, match=message):
        assert_close(given, np.array([[1.0, 2.0], [3.0, 4.0]]), name="H")


def test_assert_close_takes_numbers():
    with pytest.raises(AssertionError, match="expected 2, given 3"):
        assert_close(3.0, 2.0)


@pytest.mark.gradients
def test_taylor_slopes_are_the_order_of_what_is_left():
    def f(x):
        return np.sum(np.exp(x))

    first, second = np.exp(X) @ V, np.exp(X) @ V ** 2
    assert taylor_slopes(f, X, V, first, second) == pytest.approx([2, 3], abs=0.05)
    assert taylor_slopes(f, X, V, 1.01 * first, second) == pytest.approx([1, 1], abs=0.2)
    assert taylor_slopes(f, X, V, first, 1.5 * second) == pytest.approx([2, 2], abs=0.1)


def test_taylor_slopes_are_infinite_when_nothing_is_left():
    slopes = taylor_slopes(lambda x: np.sum(x * x), X, V, 2 * X @ V, 2 * V @ V)
    assert slopes[0] == pytest.approx(2) and slopes[1] == np.inf
