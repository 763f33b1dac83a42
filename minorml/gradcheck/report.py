"""What `check` found, to be read by people and by programs."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .differences import taylor, taylor_slope
from .judge import CANNOT_TELL, RIGHT, WRONG, worst_of

SHOWN = 4  # of the worst coordinates


@dataclass
class Coordinate:
    """One number of a claim, by its name."""

    name: str
    verdict: str
    claimed: float
    expected: float
    uncertainty: float
    digits: float
    why: str

    def __str__(self):
        off = f"{self.digits:.1f} digits" if self.verdict == RIGHT else self.why
        return f"{self.name}: claimed {self.claimed:.10g}, expected {self.expected:.10g} ({off})"


@dataclass
class Finding:
    """What came of one claim: a gradient, hvp, jvp or vjp, or two of them against each other."""

    name: str
    verdict: str
    summary: str  # how many numbers are right, or why nothing can be said
    oracle: str = ""
    digits: float = np.nan  # that agree, in the worst number
    relative_error: float = np.nan  # ‖claimed − expected‖ / ‖expected‖ over all that was looked at
    unclear: float = 0.0  # ‖uncertainty‖ / ‖expected‖ of the numbers that nobody can tell; infinite at a kink
    worst: list = field(default_factory=list)  # Coordinates, the worst first
    patterns: list = field(default_factory=list)  # sentences: what kind of mistake it looks like
    notes: list = field(default_factory=list)  # what was seen of f
    draw: object = None  # () ↦ [(Line, derivative claimed along it)], for slopes and pictures

    @cached_property
    def lines(self):
        """Random lines through x, and the derivative claimed along each."""
        return self.draw() if self.draw else []

    @cached_property
    def slopes(self):
        """The rate at which the Taylor remainder falls along each line: 2 where the claim is right, 1 where wrong."""
        return [taylor_slope(*taylor(line, claimed)) for line, claimed in self.lines]

    def __str__(self):
        text = [f"{self.name}: {self.verdict}, {self.summary}"]
        if self.oracle:
            text.append(f"  oracle: {self.oracle}")
        if self.slopes:
            rates = [f"{slope:.2f}" if np.isfinite(slope) else "(nothing left)" for slope in self.slopes]
            text.append(f"  Taylor remainder falls at rate {', '.join(rates)}"
                        " along random directions (2: right, 1: wrong, 0: noise)")
        if np.isfinite(self.digits):
            text.append(f"  digits: {self.digits:.1f} agree in the worst number")
        text += [f"  {note}" for note in self.notes]
        text += [f"  pattern: {pattern}" for pattern in self.patterns]
        bad = [row for row in self.worst if row.verdict != RIGHT] or self.worst[:1]
        text += [f"  {row}" for row in bad[:SHOWN]]
        return "\n".join(text)


@dataclass
class Report:
    """The verdict on everything that was claimed of f at x; true where all of it is right.

    verdict : "right", "wrong" or "cannot tell"
    findings : one Finding for each claim
    """

    findings: list

    @property
    def verdict(self):
        return worst_of(finding.verdict for finding in self.findings)

    @property
    def digits(self):
        """How many digits agree in the worst number of all claims."""
        return float(np.nanmin([finding.digits for finding in self.findings]))

    @property
    def worst(self):
        """Coordinates of all claims: the wrong ones, those that nobody can tell, the right ones."""
        rows = [row for finding in self.findings for row in finding.worst]
        return sorted(rows, key=lambda row: ([WRONG, CANNOT_TELL, RIGHT].index(row.verdict), row.digits))

    def __getitem__(self, name):
        """The finding about "gradient", "hvp", "jvp", "vjp" or "adjoint"."""
        return next(finding for finding in self.findings if finding.name == name)

    def __bool__(self):
        return self.verdict == RIGHT

    def __str__(self):
        several = [self.verdict] if len(self.findings) > 1 else []
        return "\n".join([*several, *(str(finding) for finding in self.findings)])

    def __repr__(self):
        return str(self)

    def plot(self, path):
        """Draw the error against the step, and the Taylor remainders, into a file (.png, .pdf, .svg)."""
        from .plots import plot
        plot(self, path)
