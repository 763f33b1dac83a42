"""Loops over rows and over time, compiled, each below the NumPy formula that it serves."""

import numpy as np

from .registry import replaces


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
