"""A surrogate loss and its derivatives, compiled: `differentiate` of `minorml/surrogate.py`, and its `along`.

A cacheful of rows at a time goes up the policy's network, through the Gaussian and the surrogate, and down again. The
layers are kept only where second derivatives will be asked for.
"""

import numpy as np

from .activation import NUMBERS
from .network import (
    as_given,
    empty_layers,
    forward_rows,
    jvp_rows,
    like,
    rows_at_once,
    scratch_for,
    stacked,
    task,
    transpose_weights,
    vjp_rows,
    vjp_tangent_rows,
)
from .registry import compile_kernel, helper  # every function that is compiled has a name of its own

LOG, RATIO, CLIPPED, NONE = range(4)
FORMS = {}  # form of `minorml/surrogate.py` → its number here
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))


def compiled_as(number):
    """Decorator of a form that `_row` computes too, under this number."""
    def decorate(form):
        FORMS[form] = number
        return form

    return decorate


@helper
def _row(form, clip, x, advantage, old, N):
    """ℓ, ∂ℓ/∂x and ∂²ℓ/∂x∂A of one row: (surrogate.4)–(surrogate.6)."""
    if form == LOG:
        return advantage / N * x, advantage / N, 1 / N
    if form == NONE:
        return 0.0, 0.0, 0.0
    r = np.exp(x - old)
    if form == CLIPPED:
        if advantage >= 0 and r > 1 + clip:
            return -advantage * (1 + clip) / N, 0.0, 0.0
        if not advantage >= 0 and r < 1 - clip:
            return -advantage * (1 - clip) / N, 0.0, 0.0
    return -advantage * r / N, -advantage * r / N, -r / N


@compile_kernel
def _differentiate(form, clip, activation, theta, hs, s, a, advantages, old, at_this_theta, kept, rows,
                   e, slope, dslope_dA, loss, gradient):
    """Fill the last five. hs, e: layers of all rows if `kept`, else room for `rows` of them."""
    M, N, U = a.shape
    scratch = scratch_for(hs, rows)
    dmean_room, dlog_std = np.empty(rows * U, a.dtype), np.empty(U)
    for i in range(M):
        weights, log_std = task(theta, i)[:theta.shape[1] - U], task(theta, i)[theta.shape[1] - U:]
        transposed, per_std = transpose_weights(weights, hs), np.exp(-log_std)
        constant = U * HALF_LOG_2PI + log_std.sum()
        total, dlog_std[:] = 0.0, 0.0
        for n in range(0, N, rows):
            count = min(rows, N - n)
            j, m = (i, n) if kept else (0, 0)
            hs[0][j, m:m + count] = s[i, n:n + count]
            forward_rows(activation, weights, hs, j, m, count)
            mean = hs[len(hs) - 1][j, m:m + count]
            dmean = like(mean, dmean_room)
            for r in range(count):
                q, x = n + r, -constant
                for u in range(U):
                    e[j, m + r, u] = (a[i, q, u] - mean[r, u]) * per_std[u]  # (gaussian.1)
                    x -= 0.5 * e[j, m + r, u]**2  # (gaussian.2)
                row_loss, row_slope, dslope_dA[i, q] = _row(form, clip, x, advantages[i, q],
                                                        x if at_this_theta else old[i, q], N)
                slope[i, q] = row_slope
                total += row_loss
                for u in range(U):  # (gaussian.3)
                    dmean[r, u] = row_slope * e[j, m + r, u] * per_std[u]
                    dlog_std[u] += row_slope * (e[j, m + r, u]**2 - 1)
            vjp_rows(activation, transposed, hs, j, m, count, dmean, scratch, gradient[i, :len(weights)])
        loss[i], gradient[i, len(weights):] = total, dlog_std


@compile_kernel
def _differentiate_along(curved, activation, theta, hs, e, slope, v, rows, Rhs, Rx, Rgradient):
    """Fill Rx and Rgradient. Rhs: room for `rows` of the layers; curved: whether ∂²ℓ/∂x² is the slope, or 0"""
    M, N, U = e.shape
    P = theta.shape[1] - U
    scratch = scratch_for(hs, rows)
    room, Rdlog_std = np.empty((2, rows * U), e.dtype), np.empty(U)
    for i in range(M):
        weights, per_std = task(theta, i)[:P], np.exp(-task(theta, i)[P:])
        direction, Rlog_std = v[i, :P], v[i, P:]
        transposed, v_transposed = transpose_weights(weights, hs), transpose_weights(direction, hs)
        Rdlog_std[:] = 0.0
        for n in range(0, N, rows):
            count = min(rows, N - n)
            jvp_rows(activation, weights, hs, direction, i, n, count, Rhs, 0, 0)
            Rmean = Rhs[len(Rhs) - 1][0, :count]
            dmean, Rdmean = like(Rmean, room[0]), like(Rmean, room[1])
            for r in range(count):
                q, w, Rx_row = n + r, slope[i, n + r], 0.0
                for u in range(U):  # (gaussian.4)
                    Re = -Rmean[r, u] * per_std[u] - e[i, q, u] * Rlog_std[u]
                    Rx_row -= e[i, q, u] * Re + Rlog_std[u]
                Rw = w * Rx_row if curved else 0.0  # (surrogate.3)
                for u in range(U):  # (gaussian.5)
                    Re = -Rmean[r, u] * per_std[u] - e[i, q, u] * Rlog_std[u]
                    Rwe = Rw * e[i, q, u] + w * Re
                    dmean[r, u] = w * e[i, q, u] * per_std[u]
                    Rdmean[r, u] = (Rwe - w * e[i, q, u] * Rlog_std[u]) * per_std[u]
                    Rdlog_std[u] += Rwe * e[i, q, u] + w * e[i, q, u] * Re - Rw
                Rx[i, q] = Rx_row
            vjp_tangent_rows(activation, transposed, v_transposed, hs, i, n, count, dmean, Rhs, 0, 0, Rdmean, scratch,
                             Rgradient[i, :P])
        Rgradient[i, P:] = Rdlog_std


def differentiate(form, policy, theta, batch, advantages, twice, *clip):
    policy.check(theta, batch.states, batch.actions)
    s, a, A, thetas = stacked(batch.states, 3), stacked(batch.actions, 3), stacked(advantages, 2), stacked(theta, 2)
    own = batch.log_probs is None
    old = A if own else stacked(batch.log_probs, 2)
    mlp, (M, N, U), number, given = policy.mlp, a.shape, FORMS[form], batch.states.ndim == 3
    rows = rows_at_once(mlp, s)
    hs = tuple(empty_layers(*((M, N) if twice else (1, rows)), mlp.sizes, s.dtype))
    e = np.empty((M, N, U) if twice else (1, rows, U), s.dtype)
    slope, dslope_dA, loss = np.empty((M, N), s.dtype), np.empty((M, N), s.dtype), np.empty(M, s.dtype)
    gradient = np.zeros((M, policy.num_params), s.dtype)
    _differentiate(number, float(clip[0]) if clip else 0.0, NUMBERS[mlp.activation.name], thetas, hs, s, a, A, old, own,
                   twice, rows, e, slope, dslope_dA, loss, gradient)

    def along(v):
        Rhs = tuple(empty_layers(1, rows, mlp.sizes[1:], s.dtype))
        vs, Rx, Rgradient = np.empty_like(gradient), np.empty_like(slope), np.zeros_like(gradient)
        vs[:] = v
        _differentiate_along(number != LOG, NUMBERS[mlp.activation.name], thetas, hs, e, slope, vs, rows, Rhs, Rx,
                             Rgradient)
        return as_given([Rx, Rgradient], given)

    return *as_given([loss, gradient, dslope_dA], given), along if twice else None
