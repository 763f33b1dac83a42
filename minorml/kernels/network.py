"""The passes of a network, compiled: what `minorml/mlp.py` says in NumPy, in the order that a processor likes.

The rows go through all layers a few at a time, so that each layer finds in the nearest cache what the one before it
left there. Sums over rows are therefore taken in that order, which depends on the number of rows and on the widths
alone: results are the same bits however many tasks are stacked.

All arrays have an axis of tasks, of length 1 where one serves all of them: parameters (M, P), rows (M, N, n).
"""

import numpy as np

from .activation import NUMBERS, activate, times_slope, times_slope_tangent
from .registry import compile_kernel, helper  # every function that is compiled has a name of its own
from .tile import TILE_ROWS, product

CACHED_BYTES = 28 * 1024  # most of a small first-level cache


# --- The passes, over the rows from n on, `rows` of them, of task i ---------------------------------------------------


@helper
def forward_rows(activation, params, hs, i, n, rows):
    """(mlp.1): fill hs = (x, h_1, …, y) from x."""
    last, start = len(hs) - 1, 0
    for l in range(last):
        x, z = _rows(hs[l], i, n, rows), _rows(hs[l + 1], i, n, rows)
        W, b, start = _layer(params, start, x.shape[1], z.shape[1])
        product(z, b, x, 0, W)
        if l + 1 < last:
            activate(activation, z)


@helper
def vjp_rows(activation, transposed, hs, i, n, rows, dy, scratch, dparams):
    """(mlp.2), (mlp.3): add to dparams. dy: of these rows alone"""
    start, dz, (zero, room) = len(dparams), dy, scratch
    for l in range(len(hs) - 2, -1, -1):
        x = _rows(hs[l], i, n, rows)
        start -= (x.shape[1] + 1) * dz.shape[1]
        dW, db, _ = _layer(dparams, start, x.shape[1], dz.shape[1])
        _add_gradient(dW, db, x, dz)
        if l > 0:
            dh = like(x, room[l % 2])
            W_transposed = _weights(transposed, start, dz.shape[1], x.shape[1])
            product(dh, zero, dz, 0, W_transposed)
            times_slope(activation, dh, x)
            dz = dh


@helper
def jvp_rows(activation, params, hs, v, i, n, rows, Rhs, j, m):
    """(mlp.4): fill Rhs = (Rh_1, …, Ry), in which these rows are those from m on of task j."""
    last, start = len(hs) - 1, 0
    for l in range(last):
        x, Rz = _rows(hs[l], i, n, rows), _rows(Rhs[l], j, m, rows)
        V, c, _ = _layer(v, start, x.shape[1], Rz.shape[1])
        W, _, start = _layer(params, start, x.shape[1], Rz.shape[1])
        product(Rz, c, x, 0, V)
        if l > 0:
            product(Rz, Rz, _rows(Rhs[l - 1], j, m, rows), 0, W)
        if l + 1 < last:
            times_slope(activation, Rz, _rows(hs[l + 1], i, n, rows))


@helper
def vjp_tangent_rows(activation, transposed, v_transposed, hs, i, n, rows, dy, Rhs, j, m, Rdy, scratch, Rdparams):
    """(mlp.5) beside (mlp.2): add to Rdparams."""
    start, dz, Rdz, (zero, room) = len(Rdparams), dy, Rdy, scratch
    for l in range(len(hs) - 2, -1, -1):
        x = _rows(hs[l], i, n, rows)
        start -= (x.shape[1] + 1) * dz.shape[1]
        RdW, Rdb, _ = _layer(Rdparams, start, x.shape[1], dz.shape[1])
        _add_gradient(RdW, Rdb, x, Rdz)
        if l > 0:
            Rx = _rows(Rhs[l - 1], j, m, rows)
            _add_product_of_columns(RdW, Rx, dz)
            dh, Rdh = like(x, room[l % 2]), like(x, room[2 + l % 2])
            W_transposed = _weights(transposed, start, dz.shape[1], x.shape[1])
            V_transposed = _weights(v_transposed, start, dz.shape[1], x.shape[1])
            product(Rdh, zero, Rdz, 0, W_transposed)
            product(Rdh, Rdh, dz, 0, V_transposed)
            product(dh, zero, dz, 0, W_transposed)
            times_slope_tangent(activation, dh, Rdh, x, Rx)
            dz, Rdz = dh, Rdh


# --- … over all rows --------------------------------------------------------------------------------------------------


@compile_kernel
def _forward(activation, params, hs, rows):
    y = hs[len(hs) - 1]
    for i in range(len(y)):
        for n in range(0, y.shape[1], rows):
            forward_rows(activation, task(params, i), hs, i, n, rows)


@compile_kernel
def _vjp(activation, params, hs, dy, dparams, rows):
    scratch = scratch_for(hs, rows)
    for i in range(len(dparams)):
        transposed = transpose_weights(task(params, i), hs)
        for n in range(0, dy.shape[1], rows):
            vjp_rows(activation, transposed, hs, i, n, rows, _rows(dy, i, n, rows), scratch, dparams[i])


@compile_kernel
def _jvp(activation, params, hs, v, Rhs, rows):
    for i in range(len(Rhs[0])):
        for n in range(0, Rhs[0].shape[1], rows):
            jvp_rows(activation, task(params, i), hs, task(v, i), i, n, rows, Rhs, i, n)


@compile_kernel
def _vjp_tangent(activation, params, hs, dy, v, Rhs, Rdy, Rdparams, rows):
    scratch = scratch_for(hs, rows)
    for i in range(len(Rdparams)):
        transposed, v_transposed = transpose_weights(task(params, i), hs), transpose_weights(task(v, i), hs)
        for n in range(0, dy.shape[1], rows):
            vjp_tangent_rows(activation, transposed, v_transposed, hs, i, n, rows, _rows(dy, i, n, rows), Rhs, i, n,
                             _rows(Rdy, i, n, rows), scratch, Rdparams[i])


# --- The passes as `MLP` has them -------------------------------------------------------------------------------------


def forward(mlp, params, x):
    p, xs = stacked(params, 2), stacked(x, 3)
    hs = empty_layers(max(len(p), len(xs)), xs.shape[1], mlp.sizes[1:], xs.dtype)
    _forward(NUMBERS[mlp.activation.name], p, (xs, *hs), rows_at_once(mlp, xs))
    return [x, *as_given(hs, params.ndim == 2 or x.ndim == 3)]


def vjp(mlp, params, hs, dy):
    p, layers, dys = stacked(params, 2), _all_stacked(hs), stacked(dy, 3)
    dparams = np.zeros((len(layers[-1]), mlp.num_params), dys.dtype)
    _vjp(NUMBERS[mlp.activation.name], p, layers, dys, dparams, rows_at_once(mlp, dys))
    return as_given([dparams], hs[-1].ndim == 3)[0]


def jvp(mlp, params, hs, v):
    p, layers, vs = stacked(params, 2), _all_stacked(hs), stacked(v, 2)
    Rhs = empty_layers(max(len(layers[-1]), len(vs)), layers[0].shape[1], mlp.sizes[1:], layers[0].dtype)
    _jvp(NUMBERS[mlp.activation.name], p, layers, vs, tuple(Rhs), rows_at_once(mlp, layers[0]))
    return [None, *as_given(Rhs, hs[-1].ndim == 3 or v.ndim == 2)]


def vjp_tangent(mlp, params, hs, dy, v, Rhs, Rdy):
    p, layers, dys, vs = stacked(params, 2), _all_stacked(hs), stacked(dy, 3), stacked(v, 2)
    Rlayers, Rdys = _all_stacked(Rhs[1:]), stacked(Rdy, 3)
    Rdparams = np.zeros((len(Rlayers[-1]), mlp.num_params), dys.dtype)
    _vjp_tangent(NUMBERS[mlp.activation.name], p, layers, dys, vs, Rlayers, Rdys, Rdparams, rows_at_once(mlp, dys))
    return as_given([Rdparams], Rhs[-1].ndim == 3)[0]


def stacked(x, ndim):
    """With an axis of tasks, in the layout that the passes take."""
    x = x if x.ndim == ndim else x[None]
    return x if x.flags.carray else np.array(x, order="C")


def _all_stacked(hs):
    return tuple([stacked(h, 3) for h in hs])


def as_given(arrays, stacked):
    """Without the axis of tasks, if what they come from had none."""
    return arrays if stacked else [x[0] for x in arrays]


def rows_at_once(mlp, x):
    """Equal parts of the rows of x, small enough for those of the widest layer to stay in the nearest cache."""
    rows, most = x.shape[1], max(TILE_ROWS, CACHED_BYTES // (x.itemsize * max(mlp.sizes)))
    parts = max(1, -(-rows // most))
    return max(1, -(-rows // (parts * TILE_ROWS))) * TILE_ROWS


def empty_layers(tasks, rows, widths, dtype):
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
def _widest(hs):
    widest = 1
    for h in hs:
        widest = max(widest, h.shape[2])
    return widest


@helper
def scratch_for(hs, rows):
    """A row of zeros, and room for four times `rows` of the widest layer."""
    return np.zeros((1, _widest(hs)), hs[0].dtype), np.empty((4, rows * _widest(hs)), hs[0].dtype)


@helper
def task(params, i):
    return params[i % len(params)]


@helper
def _rows(h, i, n, rows):
    return h[i % len(h)][n:n + rows]


@helper
def like(x, room):
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
def transpose_weights(params, hs):
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
