"""Large x: random directions first, then the coordinates that are wrong by bisection. Memory for a few copies of x.

What a claim is off by along v is a sum over the coordinates that v moves. Where it is not zero, one half of them or the
other is off too: 20 halvings find one coordinate in a million.
"""

import numpy as np

from .function import step_sizes
from .judge import RIGHT, allowed, compare
from .oracles import random_direction

DIRECTIONS = 4
SPOT_CHECKS = 10  # of the largest coordinates, and of any
FOUND = 5  # wrong coordinates after which the search ends
HALVINGS = 300
BLOCKS = 64  # up to which each block has a direction of its own


def search(oracle, claim, layout, rng, subgradient):
    """Random directions, those of each block, and some coordinates by themselves.

    Returns (rows, seen): [(name, Row)], and the smallest error of a single coordinate that would have shown along every
    direction, relative to the root mean square of what the coordinates contribute.
    """
    rows, seen, suspect = [], 0.0, None
    for name, v in _directions(layout, rng):
        result = compare(oracle, claim, [v], [1.0], subgradient)
        rows += [(name, row) for row in result.worst(1)]
        typical = np.max(claim.size(v)) / np.sqrt(np.count_nonzero(v))
        seen = max(seen, np.max(result.uncertainty) / typical if typical else 0)
        if result.overall != RIGHT:
            suspect = v  # the last: that of a block, if any is off, has the shorter way
    spots = {int(i) for i in rng.integers(layout.size, size=SPOT_CHECKS)} | set(_largest(claim, layout))
    if suspect is not None:
        spots |= set(_bisect(oracle, claim, suspect))
    for i in sorted(spots):
        v = _part(step_sizes(layout), np.array([i]))
        rows += [(layout.name(i), row) for row in compare(oracle, claim, [v], [v[i]], subgradient).worst(1)]
    return rows, seen


def _directions(layout, rng):
    for k in range(DIRECTIONS):
        yield f"random direction {k + 1}", random_direction(layout, rng)
    if 1 < len(layout.blocks) <= BLOCKS:
        for block in layout.blocks:
            places = np.arange(block.start, block.stop)
            yield f"random direction in {block.name}", _part(random_direction(layout, rng), places)


def _part(v, places):
    """v at the places, 0 elsewhere."""
    part = np.zeros_like(v)
    part[places] = v[places]
    return part


def _largest(claim, layout):
    """Coordinates of the largest claimed contributions, where the claim is an array to look them up in."""
    if claim.gradient is None:
        return []
    contributions = np.abs(claim.gradient).max(axis=1) * step_sizes(layout)
    return np.argpartition(contributions, -SPOT_CHECKS)[-SPOT_CHECKS:].tolist()


def _bisect(oracle, claim, v):
    """Coordinates that are off, at most FOUND: into the half that is off by more, until all that is off is found."""
    total, found = _Off(oracle, claim, v), []
    stack = [total]
    for _ in range(HALVINGS):
        if not stack or len(found) == FOUND or total.explained_by(found):
            break
        whole = stack.pop()
        if len(whole.places) == 1:
            found.append(whole)
            continue
        halves = [_Off(oracle, claim, _part(v, places)) for places in np.array_split(whole.places, 2)]
        stack += sorted((half for half in halves if half.ratio > 1), key=lambda half: half.ratio)
    return [int(off.places[0]) for off in found]


class _Off:
    """How far the claim is off along v, and in units of what it may be off by."""

    def __init__(self, oracle, claim, v):
        self.places = np.flatnonzero(v)
        claimed = np.asarray(claim.along(v), np.float64)
        derivative = oracle.along(v, claimed, claim.eps)
        self.error, self.allowed = claimed - derivative.value, allowed(derivative, claim, v)
        self.ratio = self._ratio(self.error)

    def _ratio(self, error):
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.abs(error) / self.allowed
        return np.max(np.where(np.isnan(ratio), np.where(np.isnan(error), np.inf, 0), ratio))

    def explained_by(self, found):
        """Whether the errors found add up to this one."""
        return bool(found) and self._ratio(self.error - sum(off.error for off in found)) <= 1
