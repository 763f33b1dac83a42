"""What is compiled by Numba, and when it is used. The mathematics is read elsewhere.

Each kernel belongs to a NumPy formula whose values it must give: here recurrences and products row by row, in
`minorml/mlp_kernels.py` the passes of a network, on products of small matrices from `minorml/tile_kernels.py`.

Kernels serve arrays that are all float32 or all float64. Anything else takes the formula, and everything where
NUMBA_DISABLE_JIT is set: the complex-step proofs therefore check the formulas, and the tests check every entry of
`KERNELS` against its formula.

No kernel uses `parallel`, for threads run over tasks outside, nor of `fastmath` more than `contract`, for NaN must
stay NaN and sums keep their order.
"""

import functools
import warnings

import numba
import numpy as np

FAST_DTYPES = {np.dtype(np.float32), np.dtype(np.float64)}
# No GIL; 1/0 is inf, as in NumPy; a product and the sum that it goes into may be rounded once, not twice.
OPTIONS = dict(nogil=True, error_model="numpy", fastmath={"contract"})

# name → (NumPy formula, compiled function)
KERNELS = {}
helper = numba.njit(**OPTIONS)  # a part of kernels


def compile_kernel(loop):
    """Compile, and keep the machine code on disk where that is possible."""
    try:
        return numba.njit(cache=True, **OPTIONS)(loop)
    except RuntimeError as error:  # neither the package's folder nor the user's cache folder is writable
        warnings.warn(f"Numba cannot keep compiled code on disk ({error}); compiling again in each process. "
                      "Set NUMBA_CACHE_DIR to a writable folder to avoid this.", RuntimeWarning, stacklevel=3)
        return numba.njit(**OPTIONS)(loop)


def served_by(kernel, where=lambda *args: True):
    """Decorator of a formula: serve it by this kernel, which takes the same arguments, `where` they fit it."""
    def decorate(formula):
        KERNELS[formula.__name__] = (formula, kernel)

        @functools.wraps(formula)
        def dispatch(*args):
            return (kernel if _fast(args) and where(*args) else formula)(*args)

        return formula if numba.config.DISABLE_JIT else dispatch

    return decorate


def replaces(formula):
    """Decorator of a loop: the formula above it is served by it."""
    return lambda loop: served_by(compile_kernel(loop))(formula)


def _fast(args):
    """Whether all arrays among these, and in lists among them, are float32, or all float64."""
    arrays = [x for arg in args for x in (arg if isinstance(arg, (list, tuple)) else [arg])]
    dtypes = {x.dtype for x in arrays if isinstance(x, np.ndarray)}
    return len(dtypes) == 1 and dtypes <= FAST_DTYPES


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
