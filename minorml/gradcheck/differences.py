"""Differences of f along a line, extrapolated, with an estimate of their own error.

The line is x + t v, where v moves each coordinate by its natural size (`step_sizes`), so that t is a number near
1 whatever the units. Along it

    D(t) = (φ(t) − φ(−t)) / 2t = φ'(0) + c₂ t² + c₄ t⁴ + …                                 (differences.1)

Halving t, and eliminating one power of t² after another (Richardson), gives a triangle of estimates. The error of
each is judged by how far it is from its two neighbours (C. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)",
Adv. Eng. Software 4, 1982), and by what the noise of f makes of a difference over t.
"""

from typing import NamedTuple

import numpy as np

# Levels k of t = 2ᵏ, in the order in which they are tried until the error is small: moderate steps, where smooth
# functions give ten digits and more; smaller ones, where a kink is near; larger ones, where noise covers the
# difference; then all.
STAGES = (range(-5, -9, -1), range(-9, -15, -1), range(10, -5, -1), range(-15, -25, -1))
TAYLOR_LEVELS = range(-2, -21, -1)
ENOUGH = 1e-8  # relative error at which no more steps are tried


class Estimate(NamedTuple):
    value: np.ndarray  # φ'(0), (m,)
    error: np.ndarray  # estimated, (m,)


class Line:
    """f along x + t v; every point is visited once."""

    def __init__(self, function, look, v):
        self.function, self.v = function, v
        self.value, self.noise = look.value, look.noise
        self.pairs = {}

    def pair(self, level):
        """φ(t), φ(−t) and how far apart these points are, for t = 2^level."""
        if level not in self.pairs:
            x, v = self.function.layout.vector, self.v
            kind = self.function.works_in
            above, below = ((x + sign * 2.0**level * v).astype(kind).astype(np.float64) for sign in (1, -1))
            length = (above - below) @ v / (v @ v)  # not quite 2t: x ± t v is rounded
            self.pairs[level] = self.function.near(above), self.function.near(below), length
        return self.pairs[level]

    def difference(self, level):
        """D(t), (m,)"""
        above, below, length = self.pair(level)
        return (above - below) / length if length else np.full_like(above, np.nan)

    def gap(self, level):
        """Forward minus backward difference, (m,): it falls with t where φ is smooth, and stays at a kink."""
        above, below, _ = self.pair(level)
        return (above - self.value + (below - self.value)) / 2.0**level

    def one_sided(self, level):
        """Forward and backward difference, (m,) each."""
        above, below, _ = self.pair(level)
        return (above - self.value) / 2.0**level, (self.value - below) / 2.0**level

    @property
    def probe_level(self):
        """Where truncation, t², is as large as rounding over t: the level of ε^⅓."""
        return int(np.round(np.log2(self.function.eps) / 3))

    def bend(self):
        """φ''(0) in order of magnitude, (m,): how much φ' changes where x moves by its own size."""
        return np.nan_to_num(np.abs(self.gap(STAGES[0][0])) / 2.0 ** STAGES[0][0])

    def kink(self):
        """Whether a kink, or a jump, lies at x within rounding, (m,)."""
        near = self.probe_level
        first, sides = np.abs(self.gap(near)), np.max(np.abs(self.one_sided(near)), axis=0)
        suspicious = first > np.maximum(1e-3 * sides, 100 * self.noise / 2.0**near)
        if not suspicious.any():
            return suspicious
        return suspicious & (np.abs(self.gap(near - 4)) > 0.7 * first)

    def slopes_at_a_kink(self, j):
        """The slopes of element j on both sides. None where they change nearer to x: f jumps there, or is rough."""
        near, nearer = (np.array(self.one_sided(level))[:, j] for level in (self.probe_level, self.probe_level - 4))
        return near if np.max(np.abs(nearer - near)) < 0.1 * abs(near[0] - near[1]) else None


def derivative(line, wanted=ENOUGH):
    """The best Estimate of φ'(0) that the stages give."""
    levels, best = [], None
    for stage in STAGES:
        levels = sorted({*levels, *stage}, reverse=True)
        best = _triangle(line, levels, best)
        nothing = (best.error <= 1e3 * line.noise) & (np.abs(best.value) <= 10 * best.error)
        if np.all((best.error <= wanted * np.maximum(np.abs(best.value), line.bend())) | nothing):
            break
    return best


def _triangle(line, levels, before):
    """The entry with the smallest estimated error, for each element of f by itself.

    Large steps can agree among themselves and be wrong together: beyond a kink, or where f is bounded. What is far from
    the difference at the probe, or from the estimate before, is not taken at its word.
    """
    value, error = np.full_like(line.value, np.nan), np.full_like(line.value, np.inf)
    probe, noise_there = line.difference(line.probe_level), 30 * line.noise / 2.0**line.probe_level
    above = []
    for level in levels:
        row, noise = [line.difference(level)], 2 * line.noise / 2.0**level
        if not np.isfinite(row[0]).all():
            above = []
            continue
        for order, coarser in enumerate(above, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (4.0**order - 1))
            judged = np.maximum(np.abs(row[order] - row[order - 1]), np.abs(row[order] - coarser)) + noise
            apart = np.abs(row[order] - probe)
            judged = np.where(apart > 1e-4 * np.abs(probe) + noise_there, judged + apart, judged)
            if before is not None and level > STAGES[0][0]:
                apart = np.abs(row[order] - before.value)
                judged = np.where(apart > 10 * before.error, judged + apart, judged)
            better = judged < error
            value, error = np.where(better, row[order], value), np.where(better, judged, error)
        above = row
    return Estimate(value, error)


def remainder_slope(line, claimed, j):
    """The rate at which t (D(t) − claimed) of element j falls.

    3 where the claim is right, 1 where it is wrong, 0 where all is noise; NaN where nothing is left above the noise.
    """
    levels = np.arange(-6, line.probe_level - 4, -1)
    left = np.array([2.0**level * abs(line.difference(level)[j] - claimed[j]) for level in levels])
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(left > 20 * line.noise[j])[-4:]
    if len(seen) < 3:
        return np.nan
    return np.polyfit(levels[seen] * np.log(2), np.log(left[seen]), 1)[0]


def taylor(line, claimed):
    """t, ‖φ(t) − φ(0) − t · claimed‖, and the noise of it, for t = ¼, ⅛, …, as far as f is finite there."""
    levels = [level for level in TAYLOR_LEVELS if np.isfinite(line.pair(level)[0]).all()]
    t = 2.0 ** np.array(levels, dtype=float)
    left = [np.linalg.norm(line.pair(level)[0] - line.value - 2.0**level * claimed) for level in levels]
    return t, np.array(left), np.linalg.norm(line.noise)


def taylor_slope(t, left, noise):
    """The rate at which it falls, over the smallest steps at which it is above the noise; inf where it never is."""
    seen = np.flatnonzero(left > 20 * noise)[-4:]
    return float(np.polyfit(np.log(t[seen]), np.log(left[seen]), 1)[0]) if len(seen) >= 3 else np.inf
