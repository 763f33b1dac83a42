"""Adam (Kingma and Ba 2015, Algorithm 1) on one flat vector, and gradient clipping by the global norm.

    m ← β₁ m + (1 − β₁) g,    u ← β₂ u + (1 − β₂) g²                                              (adam.1)
    x ← x − rate · (m / (1 − β₁ᵗ)) / (√(u / (1 − β₂ᵗ)) + ε)                                       (adam.2)

Gradient clipping comes first. If the norm of g, all its vectors together, exceeds G, g is scaled to the norm G (Pascanu
et al. 2013, Algorithm 1):

    g ← g · min(1, G / ‖g‖)                                                                       (adam.3)

Why Adam needs clipping: its step depends on how a gradient compares with the earlier ones. A single gradient that is r
times as long as the others makes m / √u = (1 − β₁) r / √(1 + (1 − β₂) r²), which approaches 3.2. That ratio decays by
β₁ in each step, so in all x moves by up to 32 rates along this one gradient.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Moments(NamedTuple):
    """Running moments of the gradient."""

    first: np.ndarray  # m
    second: np.ndarray  # u, uncentred
    count: int  # type: ignore[assignment]  # t, the number of steps taken; hides tuples' method

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


def clip_by_global_norm(vectors, longest):
    """Scale `vectors` so that their norm together is at most `longest` (adam.3) → (vectors, the norm before)."""
    together = np.concatenate(vectors).astype(np.float64)
    norm = scipy.linalg.norm(together, check_finite=False)  # BLAS's: squares cannot overflow on the way
    return [v if norm <= longest else v * v.dtype.type(longest / norm) for v in vectors], norm


def update(vectors, moments, gradients, rates, longest):
    """Gradient clipping, then one step for each vector; all but `longest` by the vectors' names.

    Returns
    -------
    vectors, moments : new ones
    norm : of all gradients together, before they were shortened
    """
    shortened, norm = clip_by_global_norm([gradients[name] for name in rates], longest)
    new = {name: step(vectors[name], g, moments[name], rates[name]) for name, g in zip(rates, shortened)}
    return {name: x for name, (x, _) in new.items()}, {name: m for name, (_, m) in new.items()}, norm


def linear_decay(rate, done, total):
    """The rate after `done` of `total` steps, as it falls linearly from `rate` to 0."""
    return rate * (1 - done / total)
