"""The passes of a network, compiled: (mlp.1) to (mlp.5) of `minorml/mlp.py` over one block of rows after the other.

A block holds R rows of a batch, transposed. The values of one unit for R rows lie side by side, so that every layer
fills the processor's vectors, whatever its width. R is small enough for a block to stay in the nearest caches.

                      R rows of the batch
                   ┌───────────────────────┐
    x              │ n_0 lines             │   Below each layer but the last is a line of ones. The next layer's weights
                   │ 1  1  1  …         1  │   and biases are one matrix [W; b] (n + 1, m), and lie in the parameters in
    h_1            │ n_1 lines             │   this order. So
                   │ 1  1  1  …         1  │
    y = z_2        │ n_2 lines             │       z = [W; b]ᵀ [h; 1],    d[W; b] = [h; 1] dzᵀ
                   └───────────────────────┘

The derivatives dz, Rh and Rdz lie in blocks of the same form. Where N is no multiple of R, the last block is filled up
with rows whose dy is 0. A gradient is summed over the blocks in the lanes of vectors, and the lanes are added up at the
end. The order of all sums depends on N and the widths alone: the bits are the same however many tasks are stacked.

Arrays have an axis of tasks, of length 1 where one serves all tasks: parameters (M, P), rows (M, N, n).
"""

import numpy as np

from .activation import NUMBERS, activate, times_slope, times_slope_tangent
from .registry import compile_kernel, helper  # every function that is compiled has a name of its own
from .tile import VECTOR_BYTES, add_lanes, dots, product

MOST_ROWS = 128
# No literals, because Numba compiles a function anew for each of them.
ONE, FRESH, MORE = np.intp(1), np.intp(1), np.intp(0)

# --- The passes over one block ----------------------------------------------------------------------------------------


@helper
def forward_block(activation, widths, params, block):
    """(mlp.1): fill the block from its first n_0 lines."""
    line, start = 0, 0
    for l in range(1, len(widths)):
        n, m = widths[l - 1], widths[l]
        h, z = block[line:line + n + 1], block[line + n + 1:line + n + 1 + m]
        h[n] = 1
        product(z, FRESH, params[start:], ONE, m, n + 1, h)
        if l + 1 < len(widths):
            activate(activation, z)
        line, start = line + n + 1, start + (n + 1) * m


@helper
def vjp_block(activation, widths, params, block, dblock, fresh, sums):
    """(mlp.2), (mlp.3): fill dblock from its last lines, dy, and add its gradient to the lanes of sums (P, lanes)."""
    line, start = lines_of(widths) - widths[-1], len(sums)
    for l in range(len(widths) - 1, 0, -1):
        n, m = widths[l - 1], widths[l]
        dz, line, start = dblock[line:line + m], line - n - 1, start - (n + 1) * m
        h, dh = block[line:line + n + 1], dblock[line:line + n]
        dots(sums[start:start + (n + 1) * m], np.intp(fresh), h, dz)
        if l > 1:
            product(dh, FRESH, params[start:], m, ONE, m, dz)
            times_slope(activation, dh, h[:n])


@helper
def jvp_block(activation, widths, params, v, block, Rblock):
    """(mlp.4): fill Rblock, but for the lines of the input, which does not move."""
    line, start = 0, 0
    for l in range(1, len(widths)):
        n, m = widths[l - 1], widths[l]
        h, Rh, end = block[line:line + n + 1], Rblock[line:line + n], line + n + 1 + m
        line += n + 1
        Rz = Rblock[line:end]
        product(Rz, FRESH, v[start:], ONE, m, n + 1, h)
        if l > 1:
            product(Rz, MORE, params[start:], ONE, m, n, Rh)
        if l + 1 < len(widths):
            times_slope(activation, Rz, block[line:end])
        start += (n + 1) * m


@helper
def vjp_tangent_block(activation, widths, params, v, block, Rblock, dblock, Rdblock, fresh, Rsums):
    """(mlp.5) beside (mlp.2): fill dblock and Rdblock from their last lines, and add to the lanes of Rsums."""
    line, start = lines_of(widths) - widths[-1], len(Rsums)
    for l in range(len(widths) - 1, 0, -1):
        n, m = widths[l - 1], widths[l]
        dz, Rdz, line, start = dblock[line:line + m], Rdblock[line:line + m], line - n - 1, start - (n + 1) * m
        h, Rh = block[line:line + n + 1], Rblock[line:line + n]
        dh, Rdh = dblock[line:line + n], Rdblock[line:line + n]
        dots(Rsums[start:start + (n + 1) * m], np.intp(fresh), h, Rdz)
        if l > 1:
            dots(Rsums[start:start + n * m], MORE, Rh, dz)
            product(Rdh, FRESH, params[start:], m, ONE, m, Rdz)
            product(Rdh, MORE, v[start:], m, ONE, m, dz)
            product(dh, FRESH, params[start:], m, ONE, m, dz)
            times_slope_tangent(activation, dh, Rdh, h[:n], Rh)


@helper
def lines_of(widths):
    """How many lines a block has."""
    lines = len(widths) - 1
    for n in widths:
        lines += n
    return lines


@helper
def num_blocks(N, R):
    """How many blocks N rows fill. No rows have one too: its sums are 0."""
    return max(1, -(-N // R))


@helper
def enter(lines, x, first, count):
    """Transpose rows of x into lines of a block, and fill up with zeros. lines (n, R), x (N, n)"""
    for r in range(count):
        for j in range(len(lines)):
            lines[j, r] = x[first + r, j]
    lines[:, count:] = 0


@helper
def put(values, places):
    """places[:] = values. Numba compiles as much again for what it would say if they were not equally many."""
    for n in range(len(values)):
        places[n] = values[n]


# --- A network over all rows ------------------------------------------------------------------------------------------


@compile_kernel
def _forward(activation, widths, params, x, blocks, y):
    """Fill y, and blocks (M, B, lines, R); of a single one, (1, 1, lines, R), the last is left."""
    last, R = lines_of(widths) - widths[-1], blocks.shape[3]
    for i in range(len(y)):
        for b in range(num_blocks(x.shape[1], R)):
            block, first, count = blocks[i % len(blocks), b % blocks.shape[1]], b * R, min(R, x.shape[1] - b * R)
            enter(block[:widths[0]], x[i % len(x)], first, count)
            forward_block(activation, widths, params[i % len(params)], block)
            for r in range(count):
                for j in range(widths[-1]):
                    y[i, first + r, j] = block[last + j, r]


@compile_kernel
def _vjp(activation, widths, params, blocks, dy, dblock, sums, dparams):
    """Fill dparams."""
    last, R = lines_of(widths) - widths[-1], blocks.shape[3]
    for i in range(len(dparams)):
        for b in range(blocks.shape[1]):
            enter(dblock[last:], dy[i], b * R, min(R, dy.shape[1] - b * R))
            vjp_block(activation, widths, params[i % len(params)], blocks[i, b], dblock, b == 0, sums)
        add_lanes(sums, dparams[i])


def outputs(policy, theta, s):
    """`GaussianPolicy.mean`: y alone is kept."""
    y, _ = _all_blocks(policy.mlp, policy.split(theta)[0], s, keep=False)
    return y if s.ndim == 3 or theta.ndim == 2 else y[0]


def value_and_vjp(laf, psi, x):
    """`AdvantageNetwork._at`."""
    y, blocks = _all_blocks(laf.mlp, psi, x, keep=True)

    def vjp(w):
        dy, dparams = stacked(w[..., None], 3).astype(x.dtype, copy=False), np.empty((len(y), len(psi)), x.dtype)
        _vjp(NUMBERS[laf.mlp.activation.name], np.array(laf.mlp.sizes), stacked(psi, 2), blocks, dy,
             np.empty_like(blocks[0, 0]), empty_lanes(len(psi), x.dtype), dparams)
        return dparams if x.ndim == 3 else dparams[0]

    return y[..., 0] if x.ndim == 3 else y[0, :, 0], vjp


def _all_blocks(mlp, params, x, keep):
    """(mlp.1) → y (M, N, n_L), and the blocks, or if they are not kept the last one."""
    x, params = stacked(x, 3), stacked(params, 2)
    M, N, R = max(len(x), len(params)), x.shape[1], block_rows(x.shape[1], x.dtype)
    y, blocks = np.empty((M, N, mlp.sizes[-1]), x.dtype), empty_blocks(M, N, mlp.sizes, R, x.dtype, keep)
    _forward(NUMBERS[mlp.activation.name], np.array(mlp.sizes), params, x, blocks, y)
    return y, blocks


# --- Arrays for the passes --------------------------------------------------------------------------------------------


def stacked(x, ndim):
    """With an axis of tasks, and in C order."""
    x = x if x.ndim == ndim else x[None]
    return x if x.flags.carray else np.array(x, order="C")


def block_rows(N, dtype):
    """R for N rows: as few blocks as there can be, equally full, of whole vectors."""
    step = VECTOR_BYTES // np.dtype(dtype).itemsize
    parts = max(1, -(-N // MOST_ROWS))
    return max(1, -(-N // (parts * step))) * step


def empty_blocks(M, N, sizes, R, dtype, keep, more=0):
    """Room for the blocks of M tasks of N rows, or for a single one; each with `more` lines behind the last layer."""
    tasks, parts = (M, num_blocks(N, R)) if keep else (1, 1)
    return aligned((tasks, parts, sum(sizes) + len(sizes) - 1 + more, R), dtype)


def empty_lanes(num_params, dtype):
    """Room for the sums of a gradient, lane by lane: (P, lanes)."""
    return aligned((num_params, VECTOR_BYTES // np.dtype(dtype).itemsize), dtype)


def aligned(shape, dtype):
    """An empty array that begins at a whole vector: sums of gradients take a tenth less time then."""
    count, per_vector = int(np.prod(shape)), VECTOR_BYTES // np.dtype(dtype).itemsize
    room = np.empty(count + per_vector, dtype)
    start = -room.__array_interface__["data"][0] % VECTOR_BYTES // room.itemsize
    return room[start:start + count].reshape(shape)
