"""From rewards to advantages: discounted returns minus a value fitted by polynomial regression.

    R_t = Σ_{k≥0} γ^k r_{t+k}                                                                 (baseline.1)
    φ_t = [s, s², s³, t/T, (t/T)², (t/T)³, 1] ∈ R^{3S+4}                                      (baseline.2)
    w   = argmin ‖Φ w − R‖² + ridge ‖w‖²     ⇒     (ΦᵀΦ + ridge I) w = Φᵀ R                   (baseline.3)
    Â_t = R_t − φ_t · w                                                                       (baseline.4)

Each batch of each task has a fit of its own, and is evaluated with it (Duan et al. 2016, as NoRML does). Which reward
belongs to which return, for an episode that ends after three of T = 5 environment steps:

    t         0        1       2     3  4
    r        r_0      r_1     r_2    .  .        dots: dead rows, no reward, no feature, no advantage
    R   r_0+γr_1+γ²r_2  r_1+γr_2  r_2   .  .
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dposv

from ..kernels.recurrences import discounted_sums


def features(states, t, horizon):
    """Φ of (baseline.2): states (N, S), steps t (N,) → (N, 3S + 4), in float64."""
    s = states.astype(np.float64)
    u = (t / horizon)[:, None]
    return np.hstack([s, s**2, s**3, u, u**2, u**3, np.ones_like(u)])


def fit(phi, returns, ridge=1e-5):
    """w of (baseline.3), by Cholesky. If the matrix is singular to rounding: the least-squares w of least norm."""
    gram, right = phi.T @ phi, phi.T @ returns
    if not (np.isfinite(gram).all() and np.isfinite(right).all()):
        raise FloatingPointError("baseline: states or returns so large that their sums are not finite")
    gram[np.diag_indices_from(gram)] += ridge
    _, w, singular = dposv(gram, right)
    return np.linalg.lstsq(phi, returns, rcond=None)[0] if singular else w


def estimate_advantages(trajectories, discount, ridge=1e-5):
    """Â of (baseline.4) for the live rows of one task's trajectories, (N,) in float64, in a batch's order."""
    live, (K, T) = trajectories.live, trajectories.alive.shape
    returns = live(discounted_sums(trajectories.rewards, discount))
    phi = features(live(trajectories.states[:, :-1]), live(np.tile(np.arange(T), (K, 1))), T)
    return returns - phi @ fit(phi, returns, ridge)


class AdvantageMoments(NamedTuple):
    """One task's advantages, as far as the normalisation over all tasks needs them."""

    count: int  # type: ignore[assignment]  # it hides the method of tuples
    mean: float
    squares: float  # the sum of squared distances from the mean
    largest: float  # magnitude

    @classmethod
    def of(cls, a):
        mean = a.mean()
        return cls(len(a), float(mean), float(np.square(a - mean).sum()), float(np.abs(a).max()))


def pooled(moments):
    """Mean and standard deviation of all tasks' advantages together; each advantage has the same weight.

    If the advantages are all equal to within rounding, they say nothing about good and bad. The deviation is then given
    as infinite, so that the normalised advantages are zeros and not magnified rounding errors.
    """
    total = sum(one.count for one in moments)
    mean = sum(one.count * one.mean for one in moments) / total
    squares = sum(one.squares + one.count * (one.mean - mean)**2 for one in moments)
    std = math.sqrt(squares / total)
    return mean, math.inf if std <= 1e-12 * max(one.largest for one in moments) else std


def normalise(advantages):
    """One float64 array per task → the same, shifted and scaled to mean 0 and deviation 1 over all tasks together."""
    mean, std = pooled([AdvantageMoments.of(a) for a in advantages])
    return [(a - mean) / std for a in advantages]
