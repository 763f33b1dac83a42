"""The derivative to compare with, by the sharpest means that f allows; each derivative with what it may be off by."""

import warnings
from typing import NamedTuple

import numpy as np

from .differences import Line, derivative
from .function import UNDEFINED, step_sizes

# How many roundings of the claimed gradient's own scale are taken for rounding. The worst of 1,000
# right functions (tests/test_gradcheck_thousand.py) needed 10; long recurrences need more.
ROUNDINGS = 500
POINT_ROUNDINGS = 20  # … and of what the gradient changes by when x moves in its last digits
SAFETY = 10  # times a difference's own estimate of its error
STEP = 1e-20  # of the complex step, beside the natural size of each coordinate
UNDERFLOW = np.finfo(np.float64).tiny / STEP  # what the complex step takes for zero
SAMPLES = 4  # at which the rounding of a complex step is measured


class Derivative(NamedTuple):
    """φ'(0) along one direction; arrays are (m,)."""

    value: np.ndarray
    uncertainty: np.ndarray  # how far a right claim may be from it
    scale: np.ndarray  # what an error in it is measured by
    kink: np.ndarray  # whether f has one at x
    line: Line
    exact: bool  # to rounding: no difference was taken


class Differences:
    """Central differences, extrapolated."""

    def __init__(self, function, look):
        self.function, self.look = function, look

    def __str__(self):
        return f"central differences, extrapolated, steps by coordinate, f in {self.function.dtype}"

    def along(self, v, claimed, eps):
        """The derivative along v beside `claimed`, whose numbers have the rounding unit eps."""
        line = Line(self.function, self.look, v)
        estimate = derivative(line)
        size = np.maximum(np.abs(estimate.value), np.abs(claimed))
        uncertainty = SAFETY * estimate.error + ROUNDINGS * eps * size + POINT_ROUNDINGS * eps * line.bend()
        return Derivative(estimate.value, uncertainty, np.maximum(size, line.bend()), line.kink(), line, exact=False)


class ComplexStep:
    """(derivatives.1), beside a difference along the same direction that would notice a lost imaginary part."""

    def __init__(self, function, look, rng):
        self.function, self.look, self.rng = function, look, rng
        self.eps = function.eps

    def __str__(self):
        return "complex step, confirmed by central differences"

    def __call__(self, v, x=None, h=STEP):
        x = self.function.layout.vector if x is None else x
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            return self.function(x + 1j * h * v).imag / h

    def along(self, v, claimed, eps):
        line = Line(self.function, self.look, v)
        value, kink = self(v), line.kink()
        self._confirm(value, line, kink)
        scale = np.maximum(np.abs(value), np.abs(claimed))
        uncertainty = ROUNDINGS * eps * scale + UNDERFLOW
        if np.any(np.abs(value - claimed) > 0.1 * uncertainty):
            rounding = self._rounding(v, value)
            scale = np.maximum(scale, rounding / self.eps)
            uncertainty = uncertainty + POINT_ROUNDINGS * rounding * (eps / self.eps)
        return Derivative(value, uncertainty, scale, kink, line, exact=True)

    def _confirm(self, value, line, kink):
        """NotAnalytic where differences give another derivative, and are sure of it."""
        probe = line.difference(line.probe_level)
        apart = np.abs(probe - value) > 1e-4 * np.abs(value) + 30 * line.noise / 2.0**line.probe_level
        if np.any(apart & ~kink):
            estimate = derivative(line)
            sure = np.abs(estimate.value - value) > 1e-6 * np.abs(estimate.value) + SAFETY * estimate.error
            if np.any(sure & ~kink):
                raise LOST

    def _rounding(self, v, value):
        """What rounding makes of the value: how much it changes when x moves in its last digits, and h a little."""
        x = self.function.layout.vector
        moved = [self(v, x * (1 + self.eps * self.rng.integers(-2, 3, x.size)), STEP * self.rng.uniform(0.5, 2))
                 for _ in range(SAMPLES)]
        return np.max(np.abs(np.array(moved) - value), axis=0)


class Given:
    """A derivative of the user's, (f, x, v) ↦ f'(x)·v, such as `complex_step`, taken to be right to rtol."""

    def __init__(self, function, look, derivative, rtol):
        self.function, self.look, self.derivative, self.rtol = function, look, derivative, rtol

    def __str__(self):
        return f"{getattr(self.derivative, '__name__', self.derivative)}, as asked for"

    def along(self, v, claimed, eps):
        line = Line(self.function, self.look, v)
        value = np.asarray(self.derivative(self.function, self.function.layout.vector, v), np.float64)
        scale = np.maximum(np.abs(value), np.abs(claimed))
        return Derivative(value, self.rtol * scale + ROUNDINGS * eps * scale, scale, line.kink(), line, exact=False)


class NotAnalytic(Exception):
    """Why the complex step cannot be used on f."""


LOST = NotAnalytic("the complex step gives another derivative than differences do: f takes an absolute value, .real or "
                   "the like")


def choose(function, look, rng, wanted=None, rtol=None):
    """The sharpest oracle that f allows, and why it is not the complex step, if it is not: (oracle, sentence or None).

    wanted : "differences", or a function for `Given`, where the choice is the user's
    """
    if wanted == "differences":
        return Differences(function, look), None
    if wanted is not None:
        return Given(function, look, wanted, rtol), None
    if function.works_in != np.float64:
        return Differences(function, look), f"f computes in {np.dtype(function.works_in)}"
    oracle = ComplexStep(function, look, rng)
    try:
        v = random_direction(function.layout, rng)
        value = oracle(v)
        estimate = derivative(Line(function, look, v), wanted=1e-10)
        if np.any(np.abs(estimate.value - value) > SAFETY * estimate.error + 1e-12 * np.abs(value)):
            raise LOST
    except NotAnalytic as reason:
        return Differences(function, look), str(reason)
    except np.exceptions.ComplexWarning:
        return Differences(function, look), "f writes complex numbers into a real array"
    except (TypeError, NotImplementedError, RuntimeError, AttributeError, *UNDEFINED) as error:
        first = (str(error).splitlines() or [""])[0][:80]
        return Differences(function, look), f"f takes no complex x ({type(error).__name__}: {first})"
    return oracle, None


def random_direction(layout, rng):
    """Every coordinate by its natural size, up or down."""
    return step_sizes(layout) * rng.choice([-1.0, 1.0], layout.size)
