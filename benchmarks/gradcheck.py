"""Gradient checkers at their defaults: which planted errors each finds, and which right gradients each refuses.

Every checker is given the same functions, points and claimed gradients, in the form that it asks for:

    minorml      check(f, x, gradient)
    SciPy        check_grad(f, gradient, x), a number, which its users compare with a bound of their own; here 1e-5 of
                 the gradient's norm, and 1e-5 where that is below 1
    JAX          check_grads of a function whose custom_vjp is the claimed gradient, in float64
    PyTorch      autograd.gradcheck of an autograd.Function whose backward is the claimed gradient, in float64
"""

import sys
from collections import Counter

import numpy as np

from minorml.gradcheck import check
from minorml.gradcheck.problems import KINDS, problem

FOUND, PASSED, UNDECIDED, FAILED = "refused", "passed", "cannot tell", "raised"
ERRORS = [1e-1, 1e-3, 1e-5, 1e-7, 1e-10]  # relative to the coordinate's own gradient
PROBLEMS = 100


# --- What each makes of f, x and a claimed gradient at x: FOUND, PASSED or UNDECIDED ----------------------------------


def by_minorml(f, x, gradient):
    return {"right": PASSED, "wrong": FOUND, "cannot tell": UNDECIDED}[check(f, x, gradient=gradient).verdict]


def by_scipy(f, x, gradient):
    from scipy.optimize import check_grad
    off = check_grad(lambda x: float(np.sum(f(x))), lambda x: gradient, x)
    return PASSED if off <= 1e-5 * max(1.0, np.linalg.norm(gradient)) else FOUND


def by_jax(f, x, gradient):
    import jax
    from jax.test_util import check_grads
    jax.config.update("jax_enable_x64", True)

    @jax.custom_vjp
    def function(x):
        return jax.pure_callback(lambda x: np.float64(f(np.asarray(x))), jax.ShapeDtypeStruct((), "float64"), x)

    function.defvjp(lambda x: (function(x), None), lambda _, w: (w * jax.numpy.asarray(gradient),))
    try:
        check_grads(function, (jax.numpy.asarray(x),), order=1, modes=["rev"])
    except AssertionError:
        return FOUND
    return PASSED


def by_torch(f, x, gradient):
    import torch

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return torch.tensor(float(f(x.detach().numpy())), dtype=torch.float64)

        @staticmethod
        def backward(context, w):
            return w * torch.from_numpy(gradient)

    point = torch.from_numpy(x.copy()).requires_grad_()
    return PASSED if torch.autograd.gradcheck(Function.apply, (point,), raise_exception=False) else FOUND


CHECKERS = {"minorml": by_minorml, "SciPy": by_scipy, "JAX": by_jax, "PyTorch": by_torch}


def available():
    """The checkers whose packages are there; the others are named."""
    found = {}
    for name, checker in CHECKERS.items():
        try:
            checker(lambda x: np.sum(x**2), np.ones(2), np.full(2, 2.0))
            found[name] = checker
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return found


def outcome(checker, f, x, gradient):
    with np.errstate(all="ignore"):
        try:
            return checker(f, x, np.array(gradient))
        except Exception:
            return FAILED


# --- Functions --------------------------------------------------------------------------------------------------------


def drawn(number, seed=0):
    """`number` problems with right gradients, of 2 to 99 coordinates; every other one is `wild`, of any scale."""
    rng = np.random.default_rng(seed)
    for n in range(number):
        wild, kind, size = bool(n % 2), sorted(KINDS)[n % len(KINDS)], int(rng.integers(2, 100))
        scales = dict(scale=10 ** rng.uniform(-6, 6), height=10 ** rng.uniform(-6, 6), spread=3.0) if wild else {}
        yield wild, problem(kind, int(rng.integers(2**31)), size, **scales)


def planted(one, error, rng):
    """The gradient with one coordinate off by `error` of itself; one of those that matter."""
    gradient = one.gradient(one.x).copy()
    matters = np.abs(gradient * one.x)
    gradient[rng.choice(np.flatnonzero(matters >= np.median(matters)))] *= 1 + error
    return gradient


def strange():
    """What a checker can be fooled by: name, f, x, claimed gradient, whether it is right (None: nobody can tell)."""
    rng, buffer = np.random.default_rng(0), np.empty(())
    A = rng.normal(size=(6, 3))
    lowest, wave = np.linalg.lstsq(A, np.ones(6), rcond=None)[0], np.linspace(0.1, 2, 200)
    off = np.cos(wave) - wave * np.sin(wave)
    off[117] *= 1.03

    def reused(x):
        buffer[...] = np.sin(x).sum()
        return buffer

    return [("Σ\\|x\\|, claimed 0", lambda x: np.abs(x).sum(), np.array([1.0, -2, 3]), np.zeros(3), False),
            ("Σ\\|x\\| at a kink, claimed 0", lambda x: np.abs(x).sum(), np.zeros(2), np.zeros(2), None),
            ("norm", np.linalg.norm, np.array([3.0, 4]), np.array([0.6, 0.8]), True),
            ("f returns its own buffer, claimed 0", reused, np.ones(3), np.zeros(3), False),
            ("Σ log x at 1e6 and 1e-3", lambda x: np.log(x).sum(), np.array([1e6, 1e-3]), np.array([1e-6, 1e3]), True),
            ("at a minimum", lambda x: 0.5 * np.sum((A @ x - 1)**2), lowest, A.T @ (A @ lowest - 1), True),
            ("3 % off in one of 200", lambda x: np.sum(np.cos(x) * x), wave, off, False),
            ("noise of 1e-6", lambda x: np.sum(x**2) + 1e-6 * rng.normal(), np.array([1.0, 2]), np.array([2.0, 4]),
             None)]


def expected(right):
    return {True: PASSED, False: FOUND, None: UNDECIDED}[right]


# --- Tables -----------------------------------------------------------------------------------------------------------


def planted_errors(table, checkers, number):
    """Rows: right gradients, and each size of error; cells: how many of `number` each checker refuses."""
    rng = np.random.default_rng(1)
    problems = list(drawn(number))
    for error in [0.0, *ERRORS]:
        for wild in False, True:
            rows = [(one, planted(one, error, rng) if error else one.gradient(one.x))
                    for is_wild, one in problems if is_wild == wild]
            counts = [Counter(outcome(checker, one.f, one.x, gradient) for one, gradient in rows)
                      for checker in checkers.values()]
            label = f"one coordinate off by {error:.0e}" if error else "right"
            table.row(label, "1e-6 to 1e6" if wild else "near 1", *map(told, counts))


def told(counts):
    """`48 of 50`, refused, and what else happened."""
    others = [f"{counts[other]} {other}" for other in (UNDECIDED, FAILED) if counts[other]]
    return ", ".join([f"{counts[FOUND]} of {counts.total()}", *others])


def misled(table, checkers):
    for name, f, x, gradient, right in strange():
        cells = []
        for checker in checkers.values():
            verdict = outcome(checker, f, x, gradient)
            cells.append(verdict if verdict == expected(right) else f"**{verdict}**")
        table.row(name, expected(right), *cells)


def main(page, number=PROBLEMS):
    checkers = available()
    table = page.table("Gradient checkers", f"{number} functions of 2 to 99 coordinates, float64, each checker at its "
                       "defaults. The cells say how many gradients are refused: of the right ones none should be, of "
                       "the others all.", ["claimed gradient", "scales", *checkers])
    planted_errors(table, checkers, number)
    misled(page.table("Functions that mislead gradient checkers", "Bold: not what should be.",
                      ["function", "should be", *checkers]), checkers)
