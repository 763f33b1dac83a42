"""From a claim about f to a Finding: a gradient, products with the Jacobian, its transpose, or the Hessian."""

import numpy as np

from .derivatives import relative_error
from .differences import Line
from .function import Function, look
from .judge import CANNOT_TELL, RIGHT, WRONG, Units, array_claim, compare, map_claim, worst_of
from .layout import leaves
from .oracles import ROUNDINGS, Differences, NotAnalytic, choose, random_direction
from .patterns import explain
from .report import Coordinate, Finding
from .search import search

COLUMNS = 50  # of a Hessian, up to which each is looked at
DIRECTIONS = 3
WEIGHTS = 2
KEPT = 20  # of the worst coordinates
ORDER = [WRONG, CANNOT_TELL, RIGHT]


class Examination:
    """Makes a Finding of each kind of claim about functions of x."""

    def __init__(self, layout, rng, subgradient, every, oracle, rtol):
        self.layout, self.rng, self.subgradient, self.every = layout, rng, subgradient, every
        self.oracle, self.rtol = oracle, rtol

    @property
    def x(self):
        """x itself, in its own dtype; a new copy each time."""
        return self.layout.build(self.layout.vector.astype(self.layout.dtype))

    def gradient(self, function, facts, gradient, name="gradient"):
        value = gradient(self.x) if callable(gradient) else gradient
        try:
            claimed = self.layout.flatten(value, function.shape, name)
        except ValueError as error:
            return Finding(name, WRONG, str(error).removeprefix(f"{name}: "))
        return self._finding(name, function, facts, array_claim(claimed.reshape(self.layout.size, -1)))

    def jvp(self, function, facts, jvp):
        def along(v):
            return np.ravel(np.array(jvp(self.x, self.layout.build(v)), np.float64))

        shape = np.shape(jvp(self.x, self.layout.build(self.layout.vector)))
        if shape != function.shape:
            return Finding("jvp", WRONG, f"expected shape {function.shape}, that of f(x); given {shape}")
        return self._finding("jvp", function, facts, map_claim(along, self._eps(jvp)))

    def vjp(self, f, function, facts, vjp):
        """Through one gradient each: of ⟨w, f⟩ for random w."""
        several = facts.value.size > 1
        for _ in range(WEIGHTS if several else 1):
            w = self.rng.normal(size=function.shape) if several else np.ones(function.shape)
            weighted = Function(lambda x, w=w: np.sum(w * np.asarray(f(x))), self.layout)
            finding = self.gradient(weighted, look(weighted, self.rng), vjp(self.x, w), "vjp")
            if finding.verdict != RIGHT:
                break
        return finding

    def hvp(self, function, gradient, hvp):
        """Against the derivative of the gradient."""
        if function.shape:
            raise ValueError(f"hvp: expected an f that gives a number; f(x) has shape {function.shape}")

        def along(v):
            return self.layout.flatten(hvp(self.x, self.layout.build(v)), (), "hvp").astype(np.float64)

        first = Function(lambda x: self.layout.flatten(gradient(x), (), "gradient"), self.layout)
        try:
            along(self.layout.vector)
        except ValueError as error:
            return Finding("hvp", WRONG, str(error).removeprefix("hvp: "))
        claim = map_claim(along, self._eps(hvp))
        return self._finding("hvp", first, look(first, self.rng), claim, COLUMNS, names=self.layout.name)

    def adjoint(self, jvp, vjp):
        """⟨w, J v⟩ = ⟨Jᵀ w, v⟩ for random v and w."""
        worst = 0.0
        for _ in range(DIRECTIONS):
            v = random_direction(self.layout, self.rng)
            Jv = np.asarray(jvp(self.x, self.layout.build(v)))
            w = self.rng.normal(size=Jv.shape)
            Jw = self.layout.flatten(vjp(self.x, w), (), "vjp")
            eps = max(np.finfo(part.dtype).eps for part in (Jv, Jw))
            allowed = ROUNDINGS * eps * (np.linalg.norm(w) * np.linalg.norm(Jv) + np.linalg.norm(Jw * v))
            worst = max(worst, abs(np.sum(w * Jv) - Jw @ v) / allowed if allowed else 0.0)
        if not worst <= 1:
            return Finding("adjoint", WRONG, f"⟨w, J v⟩ and ⟨Jᵀ w, v⟩ differ by {worst:.1g} times what rounding allows")
        return Finding("adjoint", RIGHT, "⟨w, J v⟩ = ⟨Jᵀ w, v⟩; the weaker proof: both can be wrong together")

    def _eps(self, product):
        """The rounding unit of what a jvp or hvp gives."""
        kinds = [array.dtype for _, array in leaves(product(self.x, self.x)) if array.dtype.kind == "f"]
        return float(max((np.finfo(kind).eps for kind in kinds), default=np.finfo(float).eps))

    def _finding(self, name, function, facts, claim, columns=np.inf, names=None):
        """columns: how many coordinates x may have for each to be looked at; names: element of f ↦ its name."""
        if facts.obstacle:
            return Finding(name, CANNOT_TELL, facts.obstacle, notes=facts.notes)
        every = self.every and self.layout.size <= columns
        compare_all = self._every_coordinate if every else self._directions
        oracle, reason = choose(function, facts, self.rng, self.oracle, self.rtol)
        try:
            verdict, summary, rows, patterns, *error = compare_all(oracle, claim)
        except NotAnalytic as lost:
            oracle, reason = Differences(function, facts), str(lost)
            verdict, summary, rows, patterns, *error = compare_all(oracle, claim)
        worst = [self._coordinate(where, row, function, names) for where, row in rows]
        seed = int(self.rng.integers(2**32))
        if verdict == CANNOT_TELL:
            summary = f"{summary}: {worst[0].why}"
        return Finding(name, verdict, summary, f"{oracle}" + (f" ({reason})" if reason else ""),
                       min(row.digits for row in worst), *error, worst, patterns, facts.notes,
                       lambda: self._lines(function, facts, claim, seed))

    def _every_coordinate(self, oracle, claim):
        units = Units(self.layout)
        result = compare(oracle, claim, units, units.sizes, self.subgradient)
        number, verdict = result.verdict.size, result.overall
        bad = np.sum(result.verdict == verdict)
        summary = f"all {number} numbers" if verdict == RIGHT else f"{bad} of {number} numbers"
        patterns = []
        if claim.gradient is not None and result.verdict.shape[1] == 1:
            patterns = explain(result.claimed[:, 0], result.expected[:, 0], result.verdict[:, 0] == WRONG, self.layout)
        rows = [(self.layout.name(row.place[0]), row) for row in result.worst(KEPT)]
        return verdict, summary, rows, patterns, relative_error(result.claimed, result.expected), result.unclear

    def _directions(self, oracle, claim):
        rows, seen = search(oracle, claim, self.layout, self.rng, self.subgradient)
        rows.sort(key=lambda named: (ORDER.index(named[1].verdict), "direction" in named[0], named[1].digits))
        verdict = worst_of(row.verdict for _, row in rows)
        at_fault = [named for named in rows if named[1].verdict == WRONG and "direction" not in named[0]]
        tried = sum("direction" in where for where, _ in rows)
        summary = f"{tried} random directions and {len(rows) - tried} of {self.layout.size} coordinates tried"
        if verdict == RIGHT:
            summary += f"; a single coordinate off by {seen:.0e} of their root mean square would have shown"
        claimed, expected = np.array([(row.claimed, row.expected) for _, row in rows]).T
        unclear = np.inf if verdict == CANNOT_TELL else 0.0
        return verdict, summary, at_fault or rows[:KEPT], [], relative_error(claimed, expected), unclear

    def _coordinate(self, where, row, function, names):
        element = row.place[1]
        if names is not None:
            where = f"{names(element)} along {where}"
        elif function.shape:
            index = np.unravel_index(element, function.shape)
            where = f"∂f[{', '.join(str(k) for k in index)}]/∂{where}"
        return Coordinate(where, row.verdict, row.claimed, row.expected, row.uncertainty, row.digits, row.why)

    def _lines(self, function, facts, claim, seed):
        """Random lines through x, and what is claimed along them."""
        rng = np.random.default_rng(seed)
        lines = [Line(function, facts, random_direction(self.layout, rng)) for _ in range(DIRECTIONS)]
        return [(line, claim.along(line.v)) for line in lines]
