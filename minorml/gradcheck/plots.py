"""The picture of a report: for each claim the error against the step, and the Taylor remainders with their slopes."""

import numpy as np

from .differences import taylor

LEVELS = range(4, -45, -1)  # of steps t = 2^level


def plot(report, path):
    """Draw every finding of a report that has lines to draw, one row each. Needs Matplotlib.

    Left: how far the central difference over t is from the claim, along random directions. If the claim is right this
    is a V: truncation falls with t², rounding grows with 1/t. A floor that no step goes below is an error of the claim.
    Right: the Taylor remainder, beside the slopes 2 (right) and 1 (wrong).
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("report.plot: Matplotlib is missing; pip install matplotlib") from error
    drawn = [finding for finding in report.findings if finding.lines]
    if not drawn:
        raise ValueError("report.plot: nothing to draw; no claim was compared along a line (see print(report))")
    figure = Figure(figsize=(9, 3.6 * len(drawn)), layout="constrained")
    for finding, (left, right) in zip(drawn, figure.subplots(len(drawn), 2, squeeze=False)):
        _error_against_step(left, finding)
        _taylor_remainders(right, finding)
    figure.savefig(path)


def _error_against_step(axes, finding):
    for k, (line, claimed) in enumerate(finding.lines):
        t = 2.0 ** np.array(LEVELS)
        size = np.linalg.norm(claimed) or 1.0
        error = np.array([np.linalg.norm(line.difference(level) - claimed) for level in LEVELS]) / size
        axes.loglog(t, np.where(error > 0, error, np.nan), ".-", markersize=4, label=f"direction {k + 1}")
    axes.set_title(f"{finding.name}: {finding.verdict}")
    axes.set_xlabel("step t, in sizes of x")
    axes.set_ylabel("‖central difference − claim‖ / ‖claim‖")
    axes.legend(fontsize=8)


def _taylor_remainders(axes, finding):
    lowest, highest = np.inf, 0.0
    for k, ((line, claimed), slope) in enumerate(zip(finding.lines, finding.slopes)):
        t, left, _ = taylor(line, claimed)
        label = f"direction {k + 1}: slope {slope:.2f}"
        axes.loglog(t, np.where(left > 0, left, np.nan), ".-", markersize=4, label=label)
        lowest, highest = min(lowest, left[left > 0].min(initial=np.inf)), max(highest, left.max())
    for slope, style in ((2, "--"), (1, ":")):
        axes.loglog(t, highest * (t / t[0]) ** slope, style, color="gray", linewidth=1, label=f"slope {slope}")
    if np.isfinite(lowest) and lowest < highest:
        axes.set_ylim(lowest / 3, highest * 3)
    axes.set_xlabel("step t, in sizes of x")
    axes.set_ylabel("‖f(x + t v) − f(x) − t · claim‖")
    axes.legend(fontsize=8)
