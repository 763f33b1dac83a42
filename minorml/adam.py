"""Adam (Kingma and Ba 2015, Algorithm 1), on one flat vector.

    m ← β₁ m + (1 − β₁) g,    u ← β₂ u + (1 − β₂) g²                                              (adam.1)
    x ← x − rate · (m / (1 − β₁ᵗ)) / (√(u / (1 − β₂ᵗ)) + ε)                                       (adam.2)
"""

from typing import NamedTuple

import numpy as np

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Moments(NamedTuple):
    """Running moments of the gradient."""

    first: np.ndarray  # m
    second: np.ndarray  # u, uncentred
    count: int  # t, the number of steps taken

    @classmethod
    def zeros_like(cls, x):
        return cls(np.zeros_like(x), np.zeros_like(x), 0)


def step(x, gradient, moments, rate):
    """One step of Adam down `gradient` → (x, moments), both new."""
    t = moments.count + 1
    m = BETA_1 * moments.first + (1 - BETA_1) * gradient
    u = BETA_2 * moments.second + (1 - BETA_2) * gradient**2
    x = x - rate * (m / (1 - BETA_1**t)) / (np.sqrt(u / (1 - BETA_2**t)) + EPSILON)
    return x, Moments(m, u, t)


def linear_decay(rate, done, total):
    """`rate` falling linearly to 0: after `done` of `total` steps."""
    return rate * (1 - done / total)
