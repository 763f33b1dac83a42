"""A surrogate loss and its derivatives, compiled: `differentiate` of `minorml/surrogate.py`, and its `along`.

One block of rows after the other goes up the policy's network, through the Gaussian and the surrogate, and down again.
`minorml/kernels/network.py` explains blocks. Here a block has U + 1 more lines, for e of (gaussian.1) and for the slope
of each row. All blocks are kept only where second derivatives will be asked for.
"""

import numpy as np

from .activation import NUMBERS
from .network import (
    aligned,
    block_rows,
    empty_blocks,
    empty_lanes,
    enter,
    forward_block,
    jvp_block,
    lines_of,
    num_blocks,
    put,
    stacked,
    vjp_block,
    vjp_tangent_block,
)
from .registry import compile_kernel, helper  # every function that is compiled has a name of its own
from .tile import add_lanes

LOG, RATIO, CLIPPED, NONE, WEIGHTED = range(5)
FORMS = {}  # form of `minorml/surrogate.py` → its number here
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


def compiled_as(number):
    """Decorator of a form that `_rows` computes too, under this number."""
    def decorate(form):
        FORMS[form] = number
        return form

    return decorate


@helper
def _rows(form, clip, N, x, A, old, loss, slope, dslope_dA):
    """ℓ, ∂ℓ/∂x and ∂²ℓ/∂x∂A of R rows: (surrogate.4)–(surrogate.6). WEIGHTED is ℓ = A x."""
    number = x.dtype.type
    if form == LOG or form == WEIGHTED:
        n = number(1 if form == WEIGHTED else N)
        for r in range(len(x)):
            slope[r] = A[r] / n
            loss[r] = slope[r] * x[r]
        dslope_dA[:] = number(1) / n
    elif form == NONE:
        loss[:], slope[:], dslope_dA[:] = 0, 0, 0
    else:
        low, high, n = number(1 - clip), number(1 + clip), number(N)
        for r in range(len(x)):
            ratio = np.exp(x[r] - old[r])
            bound = high if A[r] >= 0 else low
            outside = form == CLIPPED and (ratio > bound if A[r] >= 0 else ratio < bound)
            dslope_dA[r] = 0 if outside else -ratio / n
            slope[r] = A[r] * dslope_dA[r]
            loss[r] = -A[r] * bound / n if outside else slope[r]


@compile_kernel
def _differentiate(form, clip, activation, widths, theta, s, a, advantages, old, at_this_theta, blocks, dblock, rows,
                   sums, loss, gradient, dslope_dA):
    """Fill the last three, and blocks (M, B, lines, R), or one after the other into a single one."""
    (M, N, U), (L, R) = a.shape, (lines_of(widths), blocks.shape[3])
    x, A, before, losses, dslopes = rows[0], rows[1], rows[2], rows[3], rows[4]
    dmean, half, one = dblock[L - U:L], a.dtype.type(0.5), a.dtype.type(1)
    per_std, dlog_std = np.empty(U, a.dtype), np.empty(U)
    for i in range(M):
        params, log_std = theta[i % len(theta)][:-U], theta[i % len(theta)][-U:]
        constant, total = -U * HALF_LOG_2PI, 0.0
        for u in range(U):
            per_std[u], dlog_std[u] = np.exp(-log_std[u]), 0
            constant -= log_std[u]
        for b in range(num_blocks(N, R)):
            block, first, count = blocks[i % len(blocks), b % blocks.shape[1]], b * R, min(R, N - b * R)
            mean, e, slope = block[L - U:L], block[L:L + U], block[L + U]
            enter(block[:widths[0]], s[i], first, count)
            enter(e, a[i], first, count)
            forward_block(activation, widths, params, block)
            x[:] = constant
            for u in range(U):
                for r in range(R):
                    e[u, r] = (e[u, r] - mean[u, r]) * per_std[u]  # (gaussian.1)
                    x[r] -= half * e[u, r] * e[u, r]  # (gaussian.2)
            put(advantages[i, first:first + count], A)
            A[count:] = 0
            put(x, before)
            if not at_this_theta:
                put(old[i, first:first + count], before)
            _rows(form, clip, N, x, A, before, losses, slope, dslopes)
            e[:, count:], slope[count:] = 0, 0  # the rows that fill up the block
            put(dslopes[:count], dslope_dA[i, first:])
            for r in range(count):
                total += losses[r]
            for u in range(U):  # (gaussian.3)
                dlog_std_u = 0.0
                for r in range(R):
                    dmean[u, r] = slope[r] * e[u, r] * per_std[u]
                    dlog_std_u += slope[r] * (e[u, r] * e[u, r] - one)
                dlog_std[u] += dlog_std_u
            vjp_block(activation, widths, params, block, dblock, b == 0, sums)
        add_lanes(sums, gradient[i, :-U])
        loss[i] = total
        put(dlog_std, gradient[i, -U:])


@compile_kernel
def _differentiate_along(curved, activation, widths, theta, blocks, v, room, sums, Rx, Rgradient):
    """Fill Rx and Rgradient. room : three blocks; curved : whether ∂²ℓ/∂x² is the slope, or 0"""
    (M, N), (L, R), U = Rx.shape, (lines_of(widths), blocks.shape[3]), blocks.shape[2] - lines_of(widths) - 1
    Rblock, dblock, Rdblock = room[0], room[1], room[2]
    Rmean, dmean, Rdmean, Rdlog_std = Rblock[L - U:L], dblock[L - U:L], Rdblock[L - U:L], np.empty(U)
    Re, Rx_block, zero, per_std = Rblock[L:L + U], Rblock[L + U], v.dtype.type(0), np.empty(U, v.dtype)
    for i in range(M):
        params, log_std = theta[i % len(theta)][:-U], theta[i % len(theta)][-U:]
        direction, Rlog_std = v[i % len(v)][:-U], v[i % len(v)][-U:]
        for u in range(U):
            per_std[u], Rdlog_std[u] = np.exp(-log_std[u]), 0
        for b in range(blocks.shape[1]):
            block, first, count = blocks[i, b], b * R, min(R, N - b * R)
            e, slope = block[L:L + U], block[L + U]
            jvp_block(activation, widths, params, direction, block, Rblock)
            Rx_block[:] = 0
            for u in range(U):  # (gaussian.4)
                for r in range(R):
                    Re[u, r] = -Rmean[u, r] * per_std[u] - e[u, r] * Rlog_std[u]
                    Rx_block[r] -= e[u, r] * Re[u, r] + Rlog_std[u]
            put(Rx_block[:count], Rx[i, first:])
            for u in range(U):  # (gaussian.5), with the slope's own tangent of (surrogate.3)
                for r in range(R):
                    w = slope[r]
                    Rw = w * Rx_block[r] if curved else zero
                    Rwe = Rw * e[u, r] + w * Re[u, r]
                    dmean[u, r] = w * e[u, r] * per_std[u]
                    Rdmean[u, r] = (Rwe - w * e[u, r] * Rlog_std[u]) * per_std[u]
                    Rdlog_std[u] += Rwe * e[u, r] + w * e[u, r] * Re[u, r] - Rw
            vjp_tangent_block(activation, widths, params, direction, block, Rblock, dblock, Rdblock, b == 0, sums)
        add_lanes(sums, Rgradient[i, :-U])
        put(Rdlog_std, Rgradient[i, -U:])


def differentiate(form, policy, theta, batch, advantages, twice, *clip):
    """`differentiate` of `minorml/surrogate.py`."""
    s, a, old = batch.states, batch.actions, batch.log_probs
    return _surrogate(FORMS[form], policy, theta, s, a, advantages, old, twice, *clip)


def _surrogate(form, policy, theta, states, actions, advantages, old, twice, clip=0.0):
    policy.check(theta, states, actions)
    s, a, A, thetas = stacked(states, 3), stacked(actions, 3), stacked(advantages, 2), stacked(theta, 2)
    (M, N, U), P, dtype, mlp = a.shape, policy.num_params, a.dtype, policy.mlp
    activation, widths, R = NUMBERS[mlp.activation.name], np.array(mlp.sizes), block_rows(N, dtype)
    blocks = empty_blocks(M, N, mlp.sizes, R, dtype, keep=twice, more=U + 1)
    loss, gradient, dslope_dA = np.empty(M, dtype), np.empty((M, P), dtype), np.empty((M, N), dtype)
    _differentiate(form, clip, activation, widths, thetas, s, a, A, A if old is None else stacked(old, 2), old is None,
                   blocks, aligned(blocks.shape[2:], dtype), aligned((5, R), dtype),
                   empty_lanes(mlp.num_params, dtype), loss, gradient, dslope_dA)

    def along(v):
        Rx, Rgradient = np.empty((M, N), dtype), np.empty((M, P), dtype)
        _differentiate_along(form not in (LOG, WEIGHTED), activation, widths, thetas, blocks,
                             stacked(v, 2).astype(dtype, copy=False), aligned((3, *blocks.shape[2:]), dtype),
                             empty_lanes(mlp.num_params, dtype), Rx, Rgradient)
        return (Rx, Rgradient) if actions.ndim == 3 else (Rx[0], Rgradient[0])

    results = (loss, gradient, dslope_dA) if actions.ndim == 3 else (loss[0], gradient[0], dslope_dA[0])
    return (*results, along if twice else None)


def vjp(policy, theta, s, a, w):
    """`GaussianPolicy.vjp`."""
    policy.check(theta, s, a, w)
    return _surrogate(WEIGHTED, policy, theta, s, a, w, None, twice=False)[1]


def hvp(policy, theta, s, a, w, v):
    """`GaussianPolicy.hvp`."""
    policy.check(theta, s, a, w, v)
    return _surrogate(WEIGHTED, policy, theta, s, a, w, None, twice=True)[-1](v)[1]
