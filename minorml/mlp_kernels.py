"""The passes of a network, compiled: what `minorml/mlp.py` says in NumPy, in the order that a processor likes.

The rows go through all layers a few at a time, so that each layer finds in the nearest cache what the one before it
left there. Sums over rows are therefore taken in that order, which depends on the number of rows and on the widths
alone: results are the same bits however many tasks are stacked.

All arrays have an axis of tasks, of length 1 where one serves all of them: parameters (M, P), rows (M, N, n).
"""

import numpy as np

from .activation_kernels import NUMBERS, activate, times_slope, times_slope_tangent
from .kernels import compile_kernel, helper
from .tile_kernels import TILE_ROWS, product

CACHED_BYTES = 28 * 1024  # most of a small first-level cache


# --- The passes -------------------------------------------------------------------------------------------------------


@compile_kernel
def _forward(activation, params, hs):
    """(mlp.1): fill hs = (x, h_1, …, y)."""
    last, rows = len(hs) - 1, _rows_at_once(hs)
    for i in range(len(hs[last])):
        for n in range(0, hs[last].shape[1], rows):
            start = 0
            for l in range(last):
                x, z = _rows(hs[l], i, n, rows), _rows(hs[l + 1], i, n, rows)
                W, b, start = _layer(_task(params, i), start, x.shape[1], z.shape[1])
                product(z, b, x, 0, W)
                if l + 1 < last:
                    activate(activation, z)


@compile_kernel
def _vjp(activation, params, hs, dy, dparams):
    """(mlp.2), (mlp.3): add to dparams."""
    rows, zero, scratch = _rows_at_once(hs), *_scratch(hs)
    for i in range(len(dparams)):
        transposed = _transposed(_task(params, i), hs)
        for n in range(0, dy.shape[1], rows):
            start, dz = dparams.shape[1], _rows(dy, i, n, rows)
            for l in range(len(hs) - 2, -1, -1):
                x = _rows(hs[l], i, n, rows)
                start -= (x.shape[1] + 1) * dz.shape[1]
                dW, db, _ = _layer(dparams[i], start, x.shape[1], dz.shape[1])
                _add_gradient(dW, db, x, dz)
                if l > 0:
                    dh = _like(x, scratch[l % 2])
                    W_transposed = _weights(transposed, start, dz.shape[1], x.shape[1])
                    product(dh, zero, dz, 0, W_transposed)
                    times_slope(activation, dh, x)
                    dz = dh


@compile_kernel
def _jvp(activation, params, hs, v, Rhs):
    """(mlp.4): fill Rhs = (Rh_1, …, Ry)."""
    last, rows = len(hs) - 1, _rows_at_once(hs)
    for i in range(len(Rhs[0])):
        for n in range(0, Rhs[0].shape[1], rows):
            start = 0
            for l in range(last):
                x, Rz = _rows(hs[l], i, n, rows), _rows(Rhs[l], i, n, rows)
                V, c, _ = _layer(_task(v, i), start, x.shape[1], Rz.shape[1])
                W, _, start = _layer(_task(params, i), start, x.shape[1], Rz.shape[1])
                product(Rz, c, x, 0, V)
                if l > 0:
                    product(Rz, Rz, _rows(Rhs[l - 1], i, n, rows), 0, W)
                if l + 1 < last:
                    times_slope(activation, Rz, _rows(hs[l + 1], i, n, rows))


@compile_kernel
def _vjp_tangent(activation, params, hs, dy, v, Rhs, Rdy, Rdparams):
    """(mlp.5) beside (mlp.2): add to Rdparams."""
    rows, zero, scratch = _rows_at_once(hs), *_scratch(hs)
    for i in range(len(Rdparams)):
        transposed, v_transposed = _transposed(_task(params, i), hs), _transposed(_task(v, i), hs)
        for n in range(0, dy.shape[1], rows):
            start, dz, Rdz = Rdparams.shape[1], _rows(dy, i, n, rows), _rows(Rdy, i, n, rows)
            for l in range(len(hs) - 2, -1, -1):
                x = _rows(hs[l], i, n, rows)
                start -= (x.shape[1] + 1) * dz.shape[1]
                RdW, Rdb, _ = _layer(Rdparams[i], start, x.shape[1], dz.shape[1])
                _add_gradient(RdW, Rdb, x, Rdz)
                if l > 0:
                    Rx = _rows(Rhs[l - 1], i, n, rows)
                    _add_product_of_columns(RdW, Rx, dz)
                    dh, Rdh = _like(x, scratch[l % 2]), _like(x, scratch[2 + l % 2])
                    W_transposed = _weights(transposed, start, dz.shape[1], x.shape[1])
                    V_transposed = _weights(v_transposed, start, dz.shape[1], x.shape[1])
                    product(Rdh, zero, Rdz, 0, W_transposed)
                    product(Rdh, Rdh, dz, 0, V_transposed)
                    product(dh, zero, dz, 0, W_transposed)
                    times_slope_tangent(activation, dh, Rdh, x, Rx)
                    dz, Rdz = dh, Rdh


# --- The passes as `MLP` has them -------------------------------------------------------------------------------------


def forward(mlp, params, x):
    p, rows = _stacked(params, 2), _stacked(x, 3)
    hs = _empty(max(len(p), len(rows)), rows.shape[1], mlp.sizes[1:], rows.dtype)
    _forward(NUMBERS[mlp.activation.name], p, (rows, *hs))
    return [x, *_as_given(hs, params.ndim == 2 or x.ndim == 3)]


def vjp(mlp, params, hs, dy):
    p, rows, dys = _stacked(params, 2), _all_stacked(hs), _stacked(dy, 3)
    dparams = np.zeros((len(rows[-1]), mlp.num_params), dys.dtype)
    _vjp(NUMBERS[mlp.activation.name], p, rows, dys, dparams)
    return _as_given([dparams], hs[-1].ndim == 3)[0]


def jvp(mlp, params, hs, v):
    p, rows, vs = _stacked(params, 2), _all_stacked(hs), _stacked(v, 2)
    Rhs = _empty(max(len(rows[-1]), len(vs)), rows[0].shape[1], mlp.sizes[1:], rows[0].dtype)
    _jvp(NUMBERS[mlp.activation.name], p, rows, vs, tuple(Rhs))
    return [None, *_as_given(Rhs, hs[-1].ndim == 3 or v.ndim == 2)]


def vjp_tangent(mlp, params, hs, dy, v, Rhs, Rdy):
    p, rows, dys, vs = _stacked(params, 2), _all_stacked(hs), _stacked(dy, 3), _stacked(v, 2)
    Rrows, Rdys = _all_stacked(Rhs[1:]), _stacked(Rdy, 3)
    Rdparams = np.zeros((len(Rrows[-1]), mlp.num_params), dys.dtype)
    _vjp_tangent(NUMBERS[mlp.activation.name], p, rows, dys, vs, Rrows, Rdys, Rdparams)
    return _as_given([Rdparams], Rhs[-1].ndim == 3)[0]


def _stacked(x, ndim):
    """With an axis of tasks, in the layout that the passes take."""
    x = x if x.ndim == ndim else x[None]
    return x if x.flags.carray else np.array(x, order="C")


def _all_stacked(hs):
    return tuple([_stacked(h, 3) for h in hs])


def _as_given(arrays, stacked):
    """Without the axis of tasks, if what they come from had none."""
    return arrays if stacked else [x[0] for x in arrays]


def _empty(tasks, rows, widths, dtype):
    """Room for layers, in one piece: from some megabytes on, that comes in large pages, and much sooner."""
    room = np.empty(tasks * rows * sum(widths), dtype)
    layers, start = [], 0
    for n in widths:
        end = start + tasks * rows * n
        layers.append(room[start:end].reshape(tasks, rows, n))
        start = end
    return layers


# --- Parts of the passes ----------------------------------------------------------------------------------------------


@helper
def _rows_at_once(hs):
    """Equal parts of all rows, small enough for those of the widest layer to stay in the nearest cache."""
    rows, most = hs[1].shape[1], max(TILE_ROWS, CACHED_BYTES // (hs[0].itemsize * _widest(hs)))
    parts = max(1, -(-rows // most))
    return max(1, -(-rows // (parts * TILE_ROWS))) * TILE_ROWS


@helper
def _widest(hs):
    widest = 1
    for h in hs:
        widest = max(widest, h.shape[2])
    return widest


@helper
def _scratch(hs):
    """A row of zeros, and room for four times the rows of the widest layer."""
    return (np.zeros((1, _widest(hs)), hs[0].dtype), np.empty((4, _rows_at_once(hs) * _widest(hs)), hs[0].dtype))


@helper
def _task(params, i):
    return params[i % len(params)]


@helper
def _rows(h, i, n, rows):
    return h[i % len(h)][n:n + rows]


@helper
def _like(x, room):
    return room[:x.size].reshape(x.shape)


@helper
def _layer(params, start, n, m):
    """W (n, m) and b (1, m), which begin at `start`, and where they end."""
    end = start + n * m
    return _weights(params, start, n, m), params[end:end + m].reshape(1, m), end + m


@helper
def _weights(params, start, n, m):
    return params[start:start + n * m].reshape(n, m)


@helper
def _transposed(params, hs):
    """The parameters with each W replaced by Wᵀ."""
    transposed, start = params.copy(), 0
    for l in range(len(hs) - 1):
        n, m = hs[l].shape[2], hs[l + 1].shape[2]
        W, _, end = _layer(params, start, n, m)
        _weights(transposed, start, m, n)[:] = W.T
        start = end
    return transposed


@helper
def _add_gradient(dW, db, x, dz):
    """dW += xᵀ dz,  db += Σ_n dz_n"""
    _add_product_of_columns(dW, x, dz)
    product(db, db, np.ones((1, len(dz)), dz.dtype), 0, dz)


@helper
def _add_product_of_columns(C, A, B):
    """C += Aᵀ B"""
    if B.shape[1] < A.shape[1]:  # vectors run along the wider of the two
        transposed = np.zeros((B.shape[1], A.shape[1]), C.dtype)
        product(transposed, transposed, B, 1, A)
        C += transposed.T
    else:
        product(C, C, A, 1, B)
