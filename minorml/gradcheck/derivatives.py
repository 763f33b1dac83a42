"""Derivatives by numbers: the plain tools, each along one direction.

Three ways, from the sharpest to the most general:

    complex step        f'(x)·v = Im f(x + i h v) / h + O(h²)                              (derivatives.1)
    central difference  f'(x)·v = (f(x + h v) − f(x − h v)) / 2h + O(h²)                   (derivatives.2)
    Taylor remainder    f(x + t v) − Σ_{j ≤ k} tʲ/j! f⁽ʲ⁾(x)[v, …, v] = O(tᵏ⁺¹)            (derivatives.3)

(derivatives.1) subtracts nothing, so h can be 1e-30 and the answer is exact to rounding (W. Squire and
G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review 40, 1998). It
asks that f be analytic and written for complex numbers too: compare `x.real`, use no `abs`, no `conj`,
and write into no real buffer. (derivatives.2) takes any f, and loses about two thirds of the digits.

These tools compute what they are told to. `check` looks first whether f allows it.
"""

import math

import numpy as np

TAYLOR_STEPS = 0.004 * 0.5 ** np.arange(5)


def complex_step(f, x, v, h=1e-30):
    """The derivative of f at x along v by (derivatives.1), in double precision; f may return a number or an array."""
    return np.imag(f(x + 1j * h * np.asarray(v, np.float64))) / h


def central_difference(f, x, v, h=None):
    """The derivative of f at x along v by (derivatives.2); f may return a number or an array.

    The default h balances truncation, h², against rounding, ε/h: the point moves by ε^⅓ max(1, ‖x‖_∞).
    """
    x, v = np.asarray(x, np.result_type(x, np.float32)), np.asarray(v)
    if h is None:
        length = np.linalg.norm(v.ravel())
        h = np.cbrt(np.finfo(x.dtype).eps) * max(1, np.max(np.abs(x), initial=0)) / (length if length > 0 else 1)
    above = np.array(f(x + h * v))  # a copy: f may use the same array again
    return (above - f(x - h * v)) / (2 * h)


def full_gradient(f, x, derivative=complex_step):
    """∂f/∂x for every element of x, by one call of `derivative` each: x (...) → x.shape + f(x).shape."""
    x = np.asarray(x)
    rows = [np.array(derivative(f, x, direction)) for direction in unit_vectors(x.shape)]
    return np.array(rows).reshape(x.shape + (rows[0].shape if rows else ()))


def unit_vectors(shape):
    """Each array of the shape that has a single 1, one at a time."""
    for index in np.ndindex(shape):
        direction = np.zeros(shape)
        direction[index] = 1
        yield direction


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


def taylor_slopes(f, x, v, *derivatives, steps=TAYLOR_STEPS):
    """The observed order of the Taylor remainder (derivatives.3) after each derivative of f at x along v.

    f gives a number; derivatives are f'(x)[v], f''(x)[v, v], …, as many as are claimed. When they are right
    the slopes of log |remainder| against log t are 2, 3, …; a wrong derivative stays at its own order, 1,
    2, …, and so do those after it. A remainder below rounding at every step has slope inf: nothing is left.
    """
    values = np.array([np.array(f(x + t * v)) for t in steps])
    remainder = values - f(x)
    rounding = 8 * np.finfo(values.dtype).eps * np.max(np.abs(values))
    slopes = []
    for order, value in enumerate(derivatives, start=1):
        remainder = remainder - value * steps ** order / math.factorial(order)
        size = np.abs(remainder)
        slopes.append(np.inf if np.all(size <= rounding)
                      else np.polyfit(np.log(steps), np.log(np.maximum(size, rounding)), 1)[0])
    return np.array(slopes)
