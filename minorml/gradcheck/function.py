"""f, looked at before anything is made of it: is it a function at all, and in how many digits?

`Function` calls f on vectors, with copies on both sides: what f writes into its argument, or returns in a
buffer of its own, does no harm, and is told of.
"""

import warnings
from typing import NamedTuple

import numpy as np

NOISE_POINTS = 8
REPEATS = 8
UNDEFINED = (ValueError, ArithmeticError, np.linalg.LinAlgError)  # what f may raise outside its domain


class Function:
    """vector (P,) ↦ f there as a vector (m,), in double precision where f computes in it, else in its own.

    After `f(x)` has been called once: `shape` of what f gives, and `dtype` that it computes in.
    """

    def __init__(self, f, layout):
        self.f, self.layout = f, layout
        self.calls = 0
        self.works_in = np.float64
        first = self._raw(layout.vector.astype(layout.dtype))
        self.shape, self.dtype = first.shape, first.dtype
        if layout.dtype == np.float32:
            self._promote(first)

    def _promote(self, single):
        """Whether f of float32 numbers gives the same in double precision: then that is where it is differentiated."""
        try:
            double = self._raw(self.layout.vector)
        except Exception:
            double = single
        close = np.allclose(double, single, rtol=1e-2, atol=1e-2 * np.max(np.abs(single), initial=0), equal_nan=True)
        if double.dtype == np.float64 and double.shape == single.shape and close:
            self.dtype = double.dtype
        else:
            self.works_in = self.layout.dtype

    def _raw(self, vector):
        """f's own answer, as an array."""
        self.calls += 1
        y = np.asarray(self.f(self.layout.build(vector)))
        if y.dtype.kind not in "fciub":
            raise TypeError(f"f(x): expected a number or an array of numbers; given {y.dtype}")
        return y

    def __call__(self, vector):
        kind = np.complex128 if np.iscomplexobj(vector) else self.works_in
        y = self._raw(vector.astype(kind))
        if y.shape != self.shape:
            raise ValueError(f"f(x): expected shape {self.shape}, as at first; given {y.shape}")
        return y.ravel().astype(np.complex128 if y.dtype.kind == "c" else np.float64)

    def near(self, vector):
        """f there; NaN where f raises what an argument outside its domain raises."""
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                y = self(vector)
        except UNDEFINED:
            return np.full(int(np.prod(self.shape)), np.nan)
        return y.real

    @property
    def eps(self):
        """The rounding unit of what f gives."""
        kind = self.dtype if self.dtype.kind in "fc" else np.float64
        return float(np.finfo(kind).eps)


class Look(NamedTuple):
    value: np.ndarray  # f(x), (m,)
    noise: np.ndarray  # how much the values of f near x are off, (m,)
    obstacle: str | None  # why nothing can be said about a derivative here
    notes: list  # sentences


def look(function, rng):
    """What can be seen of f at x without a derivative."""
    x, notes = function.layout.vector, []
    value = function(x)
    notes += _borrowed_memory(function, value)
    if not np.isfinite(value).all():
        return Look(value, np.zeros_like(value), "f(x) is not finite", notes)
    if function.dtype.kind == "c":
        return Look(value, np.zeros_like(value), "f gives complex numbers for real x", notes)
    again = np.array([function(x) for _ in range(2)])
    rounding = 0.5 * function.eps * np.abs(value)
    if np.any(again != value):
        again = np.array([function(x) for _ in range(REPEATS)])
        spread = again.std(axis=0)
        if np.any(spread > 1e3 * function.eps * np.max(np.abs(value))):
            worst = np.argmax(spread)
            return Look(value, spread, f"f is noisy: the same x gave values that differ by {spread[worst]:.1g} "
                                       f"(standard deviation, where f is {value[worst]:.3g}); fix its seed", notes)
        notes.append("the same x gives values that differ in their last digits")
        rounding = np.maximum(rounding, spread)
    noise = np.maximum(rounding, _noise(function, rng))
    if np.any(noise > 1e3 * np.maximum(rounding, function.eps * np.max(np.abs(value)))):
        notes.append(f"f is rough: near x its values scatter by {np.max(noise):.1g}")
    return Look(value, noise, None, notes)


def _borrowed_memory(function, value):
    """Sentences about f's manners with memory."""
    x = function.layout.build(function.layout.vector.astype(function.works_in))
    kept = function.layout.flatten(x).copy()
    first = function.f(x)
    changed = not np.array_equal(function.layout.flatten(x), kept)
    second = function.f(function.layout.build(kept))
    function.calls += 2
    sentences = []
    if changed:
        sentences.append("f writes into its argument; it was given copies")
    if isinstance(first, np.ndarray) and np.shares_memory(first, second):
        sentences.append("f returns the same buffer each time; its values were copied")
    return sentences


def _noise(function, rng):
    """The scatter of f's values close to x, (m,): rounding, or an iteration that was stopped.

    Differences of the fourth to sixth order of values at equal, tiny distances leave nothing of a smooth function
    (J. Moré and S. Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33, 2011). The less of two sides of x
    counts: a kink at x is no noise.
    """
    x = function.layout.vector
    distance = 16 * np.sqrt(function.eps) * step_sizes(function.layout) * rng.choice([-1.0, 1.0], x.size)
    return np.min([_scatter(function, x, distance), _scatter(function, x, -distance)], axis=0)


def _scatter(function, x, distance):
    table = np.array([function.near(x + k * distance) for k in range(1, NOISE_POINTS + 1)])
    levels, gamma = [], 1.0
    for order in range(1, 7):
        table = np.diff(table, axis=0)
        gamma *= order / (2 * (2 * order - 1))
        if order >= 4:
            levels.append(np.sqrt(gamma * np.mean(table**2, axis=0)))
    scatter = np.max(levels, axis=0)
    return np.where(np.isfinite(scatter), scatter, 0)


def step_sizes(layout):
    """How far each coordinate can be expected to move: its own size; at zero, what is usual in its array. (P,)"""
    sizes = np.abs(layout.vector)
    for block in layout.leaves:
        part = sizes[block.slice]
        usual = np.median(part[part > 0]) if np.any(part > 0) else 1.0
        sizes[block.slice] = np.where(part > 1e-12 * usual, part, usual)
    return sizes
