"""Proofs of derivatives by numbers: for the derivatives of this package, and for your own.

Three oracles, from the sharpest to the most general:

    complex step        f'(x)·v = Im f(x + i h v) / h + O(h²)                              (gradcheck.1)
    central difference  f'(x)·v = (f(x + h v) − f(x − h v)) / 2h + O(h²)                   (gradcheck.2)
    Taylor remainder    f(x + t v) − Σ_{j ≤ k} tʲ/j! f⁽ʲ⁾(x)[v, …, v] = O(tᵏ⁺¹)            (gradcheck.3)

(gradcheck.1) subtracts nothing, so h can be 1e-30 and the answer is exact to rounding (W. Squire and
G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review 40, 1998). It
asks that f be analytic and written for complex numbers too: compare `x.real`, use no `abs`, no `conj`,
and write into no real buffer (turn `numpy.exceptions.ComplexWarning` into an error, and NumPy will tell).
(gradcheck.2) takes any f, and loses about two thirds of the digits.

A gradient and a Hessian-vector product are proved in turn, each from what is already proved:

    assert_gradient(loss, gradient(x), x)                          # the gradient, from values of the loss
    assert_close(hvp(x, v), complex_step(gradient, x, v))          # the product, from values of the gradient

Nothing here imports the rest of the package.
"""

import math

import numpy as np

TAYLOR_STEPS = 0.004 * 0.5 ** np.arange(5)


def complex_step(f, x, v, h=1e-30):
    """The derivative of f at x along v by (gradcheck.1), in double precision; f may return a number or an array."""
    return np.imag(f(x + 1j * h * np.asarray(v, np.float64))) / h


def central_difference(f, x, v, h=None):
    """The derivative of f at x along v by (gradcheck.2); f may return a number or an array.

    The default h balances truncation, h², against rounding, ε/h: the point moves by ε^⅓ max(1, ‖x‖_∞).
    """
    x, v = np.asarray(x, np.result_type(x, np.float32)), np.asarray(v)
    if h is None:
        length = np.linalg.norm(v.ravel())
        h = np.cbrt(np.finfo(x.dtype).eps) * max(1, np.max(np.abs(x), initial=0)) / (length if length > 0 else 1)
    return (f(x + h * v) - f(x - h * v)) / (2 * h)


def full_gradient(f, x, derivative=complex_step):
    """∂f/∂x_p for every p, by one call of `derivative` each: x (P,) → (P, ...) where f gives (...)."""
    return np.array([derivative(f, x, direction) for direction in np.eye(len(x))])


def relative_error(given, expected):
    """‖given − expected‖ / ‖expected‖ over all elements.

    Where the expected is zero: 0 when the given is zero too, otherwise inf. NaN when either holds a NaN.
    """
    given, expected = np.asarray(given), np.asarray(expected)
    size = np.linalg.norm(expected.ravel())
    error = np.linalg.norm((given - expected).ravel())
    if size == 0:
        return 0.0 if error == 0 else np.nan if np.isnan(error) else np.inf
    return float(error / size)


def assert_close(given, expected, rtol=1e-12, name="derivative"):
    """Raise AssertionError, naming the worst coordinate, unless shapes agree and relative_error ≤ rtol."""
    given, expected = np.asarray(given), np.asarray(expected)
    if given.shape != expected.shape:
        raise AssertionError(f"{name}: expected shape {expected.shape}; given {given.shape}")
    error = relative_error(given, expected)
    if not error <= rtol:  # also where the error is NaN
        difference = np.abs(given - expected)
        worst = np.unravel_index(np.argmax(np.where(np.isnan(difference), np.inf, difference)), difference.shape)
        place = ", ".join(str(i) for i in worst)
        raise AssertionError(f"{name}: relative error {error:.1e}, allowed {rtol:.1e}; "
                             f"worst at [{place}]: expected {expected[worst]:.15g}, given {given[worst]:.15g}")


def assert_gradient(f, gradient, x, rtol=1e-12, derivative=complex_step, name="gradient"):
    """Raise AssertionError, naming the worst coordinate, unless `gradient` is that of f at x.

    Parameters
    ----------
    f : x (P,) ↦ a number, or an array (...)
    gradient : (P, ...), claimed to be ∂f/∂x
    rtol : bound on `relative_error` over the whole gradient
    derivative : `complex_step`, or `central_difference` (with an rtol near 1e-6) where f takes no complex x
    """
    assert_close(gradient, full_gradient(f, x, derivative), rtol, name)


def taylor_slopes(f, x, v, *derivatives, steps=TAYLOR_STEPS):
    """The observed order of the Taylor remainder (gradcheck.3) after each derivative of f at x along v.

    f gives a number; derivatives are f'(x)[v], f''(x)[v, v], …, as many as are claimed. When they are right
    the slopes of log |remainder| against log t are 2, 3, …; a wrong derivative stays at its own order, 1,
    2, …, and so do those after it. A remainder below rounding at every step has slope inf: nothing is left.
    """
    values = np.array([f(x + t * v) for t in steps])
    remainder = values - f(x)
    rounding = 8 * np.finfo(values.dtype).eps * np.max(np.abs(values))
    slopes = []
    for order, value in enumerate(derivatives, start=1):
        remainder = remainder - value * steps ** order / math.factorial(order)
        size = np.abs(remainder)
        slopes.append(np.inf if np.all(size <= rounding)
                      else np.polyfit(np.log(steps), np.log(np.maximum(size, rounding)), 1)[0])
    return np.array(slopes)
