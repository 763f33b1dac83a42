"""A claimed derivative beside the oracle's: which of its numbers are right, which wrong, which nobody can tell."""

from typing import NamedTuple

import numpy as np

from .derivatives import relative_error
from .differences import remainder_slope
from .function import step_sizes
from .oracles import ROUNDINGS, SAFETY

RIGHT, WRONG, CANNOT_TELL = "right", "wrong", "cannot tell"
SUM_ROUNDINGS = 100  # of a claim's numbers, where many of them are added up along a direction
RESOLUTION = 1e-6  # of a number's own scale: what a difference leaves unclear beyond this, is unclear
MOST_DIGITS = 15.7


class Row(NamedTuple):
    """One number of a claim, judged."""

    verdict: str
    place: tuple  # (direction, element of f)
    claimed: float
    expected: float
    uncertainty: float  # by which they may differ and both be right
    scale: float  # what an error in it is measured by
    why: str

    @property
    def digits(self):
        """How many digits agree: of the larger of the two or, where the claim is right, of what it is a sum of."""
        error, size = abs(self.claimed - self.expected), max(abs(self.claimed), abs(self.expected))
        if self.verdict == RIGHT:
            size = max(size, self.scale)
        if not np.isfinite(error) or not size:
            return 0.0 if error else MOST_DIGITS
        return float(-np.log10(np.clip(error / size, 10**-MOST_DIGITS, 1))) + 0.0


class Claim(NamedTuple):
    """A linear map that is claimed to be the derivative of f at x."""

    along: object  # v (P,) ↦ (m,)
    eps: float  # the rounding unit of its numbers
    size: object  # v ↦ the root of the sum of squares of what `along` adds up, (m,) or a number
    gradient: np.ndarray | None = None  # (P, m), where the map is an array


def array_claim(gradient):
    """A gradient (P, m) as a linear map."""
    gradient_64 = gradient.astype(np.float64, copy=False)
    kind = gradient.dtype if gradient.dtype.kind == "f" else np.float64
    return Claim(lambda v: _times(v, gradient_64), float(np.finfo(kind).eps),
                 lambda v: np.sqrt(_times(v**2, gradient_64**2)), gradient_64)


def map_claim(function, eps):
    """A function of v, (P,) ↦ (m,), as a linear map."""
    return Claim(function, eps, lambda v: np.linalg.norm(function(v)))


def _times(v, matrix):
    """v @ matrix, where v may have a single element that is not 0, and 0 · NaN is 0."""
    moved = np.flatnonzero(v)
    return v[moved] @ matrix[moved] if len(moved) < len(v) else v @ matrix


class Comparison:
    """Claimed and expected derivatives along directions, (D, m), each judged."""

    def __init__(self, shape):
        self.claimed, self.expected, self.uncertainty, self.scale = np.full((4, *shape), np.nan)
        self.verdict = np.full(shape, RIGHT, dtype=object)
        self.why = {}

    @property
    def overall(self):
        return worst_of(self.verdict.ravel())

    @property
    def unclear(self):
        """‖uncertainty‖ / ‖expected‖ of the numbers that nobody can tell."""
        unknown = np.where(self.verdict == CANNOT_TELL, self.uncertainty, 0)
        return relative_error(self.expected + unknown, self.expected)

    def row(self, place):
        return Row(self.verdict[place], place, self.claimed[place], self.expected[place], self.uncertainty[place],
                   self.scale[place], self.why.get(place, ""))

    def worst(self, number=None):
        """Rows in order: the wrong ones, those that nobody can tell, the right ones; the fewest digits first."""
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.abs(self.claimed - self.expected) / self.scale
        off = np.where(np.isnan(off), np.where(self.scale > 0, np.inf, 0), off)
        rank = np.select([self.verdict == WRONG, self.verdict == CANNOT_TELL], [2, 1], 0)
        order = np.lexsort((-off.ravel(), -rank.ravel()))[:number]
        return [self.row(tuple(int(k) for k in np.unravel_index(flat, self.verdict.shape))) for flat in order]


def worst_of(verdicts):
    verdicts = set(verdicts)
    return next((verdict for verdict in (WRONG, CANNOT_TELL) if verdict in verdicts), RIGHT)


def compare(oracle, claim, directions, units, subgradient=False):
    """The Comparison along each of `directions`, v (P,); derivatives are given per `units` of length along them."""
    result = Comparison((len(directions), oracle.look.value.size))
    for d, (v, unit) in enumerate(zip(directions, units)):
        claimed = np.asarray(claim.along(v), np.float64)
        derivative = oracle.along(v, claimed, claim.eps)
        derivative = derivative._replace(uncertainty=allowed(derivative, claim, v))
        result.claimed[d], result.expected[d] = claimed / unit, derivative.value / unit
        result.uncertainty[d], result.scale[d] = derivative.uncertainty / unit, derivative.scale / unit
        for j in _doubtful(claimed, derivative, claim.eps):
            result.verdict[d, j], result.why[d, j] = judge(claimed, derivative, j, claim.eps, subgradient)
            if derivative.kink[j] and result.verdict[d, j] == RIGHT:
                result.expected[d, j] = result.claimed[d, j]
            elif derivative.kink[j]:
                result.uncertainty[d, j] = np.inf
    return result


def allowed(derivative, claim, v):
    """How far a right claim may be off along v: what the oracle leaves open, and rounding in the sum of the claim."""
    return derivative.uncertainty + SUM_ROUNDINGS * claim.eps * claim.size(v)


def _doubtful(claimed, derivative, eps):
    error = np.abs(claimed - derivative.value)
    line = derivative.line
    with np.errstate(divide="ignore", invalid="ignore"):  # float32's digits are enough where f's values have no more
        digits = np.minimum(np.nan_to_num(line.noise / np.abs(line.value)), np.finfo(np.float32).eps)
    # What a difference of f can give at its own precision: ε^⅔, beyond RESOLUTION where f computes in float32.
    resolution = max(RESOLUTION, 4 * SAFETY * line.function.eps ** (2 / 3))
    known = derivative.uncertainty <= np.maximum(resolution, 2 * ROUNDINGS * np.maximum(eps, digits)) * derivative.scale
    return np.flatnonzero(~((error <= derivative.uncertainty) & known) | derivative.kink)


def judge(claimed, derivative, j, eps, subgradient):
    """(verdict, why) of one number that is not plainly right."""
    line, value, off = derivative.line, derivative.value[j], abs(claimed[j] - derivative.value[j])
    uncertainty = derivative.uncertainty[j]
    if not np.isfinite(claimed[j]):
        return WRONG, "the claim is not finite"
    if derivative.kink[j]:
        return _at_a_kink(claimed[j], line, j, subgradient)
    if not np.isfinite(value) or not np.isfinite(uncertainty):
        return CANNOT_TELL, "f is not finite on both sides of x"
    if max(abs(claimed[j]), abs(value)) <= uncertainty:
        return RIGHT, "zero to rounding"
    if off <= uncertainty:
        return CANNOT_TELL, f"f's values leave an uncertainty of {uncertainty / derivative.scale[j]:.0e} of its scale"
    if derivative.exact and off <= RESOLUTION * derivative.scale[j]:
        return WRONG, "beyond rounding, though too little for a Taylor remainder"
    slope = remainder_slope(line, claimed, j)
    if 0.5 < slope < 1.5:
        return WRONG, f"the Taylor remainder falls at rate {slope:.1f}"
    if np.isnan(slope):
        return CANNOT_TELL, "the difference drowns in the noise of f"
    return CANNOT_TELL, f"the Taylor remainder falls at rate {slope:.1f}: neither 1, as where the claim is wrong, nor 3"


def _at_a_kink(claimed, line, j, subgradient):
    slopes = line.slopes_at_a_kink(j)
    if slopes is None:
        return CANNOT_TELL, "f jumps at x, or is rough there"
    low, high = min(slopes), max(slopes)
    allowed = 1e-4 * max(abs(low), abs(high))
    if not low - allowed <= claimed <= high + allowed:
        return WRONG, "f has a kink at x, and the claim is not between its slopes on both sides"
    return (RIGHT if subgradient else CANNOT_TELL), "f has a kink at x"


class Units:
    """The unit vectors, each as long as its coordinate's natural size, one at a time. A sequence of v (P,)."""

    def __init__(self, layout):
        self.sizes = step_sizes(layout)

    def __len__(self):
        return len(self.sizes)

    def __iter__(self):
        for i, size in enumerate(self.sizes):
            v = np.zeros(len(self.sizes))
            v[i] = size
            yield v
