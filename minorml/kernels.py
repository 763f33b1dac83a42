"""Everything compiled by Numba, and nothing else. The mathematics is read elsewhere.

Each kernel is a loop, and belongs to a NumPy formula whose values it must give: element-wise expressions in one pass
without temporaries, recurrences, and products of shapes that NumPy and BLAS are slow at.

The compiled loop serves arrays that are all float32 or all float64. Anything else takes the formula: the complex-step
proofs therefore check the formulas, and `tests/test_kernels.py` checks every entry of `KERNELS` against its formula.

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


def served_by(loop):
    """Decorator of a formula elsewhere: serve it by this loop."""
    return lambda formula: _serve(formula, _compile(loop))


def replaces(formula):
    """Decorator of a loop: the formula above it is served by it."""
    return lambda loop: _serve(formula, _compile(loop))


def tanh_times_slope_loop(x, h):
    out = np.empty_like(x)
    xs, hs, outs = x.ravel(), h.ravel(), out.ravel()
    for i in range(xs.size):
        outs[i] = xs[i] - xs[i] * hs[i] * hs[i]
    return out


def tanh_times_slope_tangent_loop(x, Rx, h, Rh):
    out = np.empty_like(x)
    xs, Rxs, hs, Rhs, outs = x.ravel(), Rx.ravel(), h.ravel(), Rh.ravel(), out.ravel()
    for i in range(xs.size):  # written out, the compiler vectorises it; as an array expression it does not
        outs[i] = Rxs[i] - Rxs[i] * hs[i] * hs[i] - (xs[i] + xs[i]) * hs[i] * Rhs[i]
    return out


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


def add_bias_formula(z, b):
    """z += b, one row (…, 1, n) for all rows of z (…, N, n). NumPy adds a short row to many in three times the time."""
    return np.add(z, b, out=z)


@replaces(add_bias_formula)
def add_bias(z, b):
    N, I = z.shape[-2], z.shape[-1]
    rows = z.reshape(z.size // max(1, N * I), N, I)
    biases = np.ascontiguousarray(b).reshape(b.size // I, I)
    for m in range(rows.shape[0]):
        bias = biases[m % len(biases)]
        for n in range(rows.shape[1]):
            for i in range(rows.shape[2]):
                rows[m, n, i] += bias[i]
    return z


def one_column_formula(dz, w):
    """dz wᵀ for one column each: (…, N, 1), (…, n, 1) → (…, N, n). BLAS takes ten times as long for such a product."""
    return dz * w.swapaxes(-1, -2)


@replaces(one_column_formula)
def one_column(dz, w):
    N, I = dz.shape[-2], w.shape[-2]
    columns = np.ascontiguousarray(dz).reshape(dz.size // max(1, N), N)
    weights = np.ascontiguousarray(w).reshape(w.size // I, I)
    out = np.empty((len(columns), N, I), dz.dtype)
    for m in range(len(columns)):
        weight = weights[m % len(weights)]
        for n in range(N):
            for i in range(I):
                out[m, n, i] = columns[m, n] * weight[i]
    return out.reshape(dz.shape[:-1] + (I,))


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
