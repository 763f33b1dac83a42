"""Everything compiled by Numba, and nothing else. The mathematics is read elsewhere.

Two kinds of kernel live here:

- `fused(formula)` compiles an element-wise NumPy formula as it stands. Numba turns the whole expression
  into one loop without temporaries, so the formula that is read is the code that runs.
- A loop that NumPy cannot express well is written out, and `replaces(formula)` names the NumPy
  function whose values it must give.

Either way the compiled code serves arrays that are all float32 or all float64. Anything else takes the formula: the
complex-step proofs therefore check the formulas, and `tests/test_kernels.py` checks every entry of
`KERNELS` against its formula.

Everything compiled stays in this one module's registry because Numba's on-disk cache does not notice
when a compiled function in *another* module changes. No kernel uses `parallel` or `fastmath`: threads
run over tasks outside, and NaN must stay NaN.
"""

import functools
import warnings

import numba
import numpy as np

FAST_DTYPES = {np.dtype(np.float32), np.dtype(np.float64)}

# name → (NumPy formula, compiled function)
KERNELS = {}


def _compile(function):
    """Compile without the GIL; 1/0 is inf, as in NumPy; keep the machine code on disk where that is possible."""
    options = dict(nogil=True, error_model="numpy")
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError as error:  # neither the package's folder nor the user's cache folder is writable
        warnings.warn(f"Numba cannot keep compiled code on disk ({error}); compiling again in each process. "
                      "Set NUMBA_CACHE_DIR to a writable folder to avoid this.", RuntimeWarning, stacklevel=3)
        return numba.njit(**options)(function)


def _serve(formula, compiled):
    KERNELS[formula.__name__] = (formula, compiled)

    @functools.wraps(formula)
    def dispatch(*args):
        dtypes = {x.dtype for x in args if isinstance(x, np.ndarray)}
        return (compiled if len(dtypes) == 1 and dtypes <= FAST_DTYPES else formula)(*args)

    return dispatch


def fused(formula):
    """Decorator: run an element-wise NumPy formula as one compiled loop.

    The formula must hold no numeric literal: Numba would promote float32 arrays to float64.
    """
    return _serve(formula, _compile(formula))


def replaces(formula):
    """Decorator: serve `formula` by the loop below it."""
    return lambda loop: _serve(formula, _compile(loop))


def outer_rows_formula(x, dz, out):
    """out_n = x_n ⊗ dz_n for every row n: (N, I), (N, O) → out (N, I, O). An affine layer's gradient, row by row."""
    return np.multiply(x[:, :, None], dz[:, None, :], out=out)


@replaces(outer_rows_formula)
def outer_rows(x, dz, out):
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            for o in range(dz.shape[1]):
                out[n, i, o] = x[n, i] * dz[n, o]
    return out


def discounted_sums_formula(rewards, discount):
    """R_t = r_t + γ R_{t+1} along the last axis; R_T = 0. (..., T) → (..., T)."""
    sums = np.empty_like(rewards)
    following = np.zeros_like(rewards[..., 0])
    for t in reversed(range(rewards.shape[-1])):
        following = rewards[..., t] + discount * following
        sums[..., t] = following
    return sums


@replaces(discounted_sums_formula)
def discounted_sums(rewards, discount):
    sums = np.empty(rewards.shape, rewards.dtype)
    rows = np.ascontiguousarray(rewards).reshape(-1, rewards.shape[-1])
    out = sums.reshape(-1, rewards.shape[-1])
    for n in range(rows.shape[0]):
        following = 0.0
        for t in range(rows.shape[1] - 1, -1, -1):
            following = rows[n, t] + discount * following
            out[n, t] = following
    return sums
