"""Somebody else's learning curves, and ours at the same numbers of trajectories."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Published(NamedTuple):
    """Somebody else's learning curve: the return after adaptation."""

    method: str
    trajectories: np.ndarray  # (n,) increasing
    returns: np.ndarray  # (n,)


def read(path, system):
    """The curves of one system in a CSV file: system, method, trajectories, return; lines with # are remarks.

    Several systems, with spaces between them, share a curve.

    Raises
    ------
    ValueError : the file cannot be read as such
    """
    found = {}
    try:
        lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        for row in csv.DictReader(lines, strict=True):
            if system in row["system"].split():
                found.setdefault(row["method"], []).append((float(row["trajectories"]), float(row["return"])))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise ValueError(f"{path}: expected lines of system,method,trajectories,return; {error!r}") from None
    return [Published(method, *np.array(sorted(points)).T) for method, points in found.items()]


def until(curve, end):
    """A curve as far as so many trajectories."""
    where = np.unique(np.minimum(curve.trajectories, end))
    return curve._replace(trajectories=where, returns=np.interp(where, curve.trajectories, curve.returns))


def places(curves, number=5):
    """Where to compare: numbers of trajectories in equal steps up to the end of the curves, (number,)."""
    return np.linspace(0, max(curve.trajectories[-1] for curve in curves), number + 1)[1:]


def returns_at(metrics, where):
    """A run's return after adaptation when it had sampled so many trajectories; NaN where it had not. (n,)"""
    counts, returns = trajectories(metrics), smoothed(metrics, "post_return")
    return np.array([returns[np.searchsorted(counts, count)] if count <= counts[-1] else np.nan for count in where])


def trajectories(rows):
    """How many trajectories a run had sampled after each iteration, (n,)."""
    return np.cumsum([row["episodes"] for row in rows])


def smoothed(rows, key):
    """A column of a run's metrics, each number the mean over the fiftieth of the run that ends there, (n,)."""
    return trailing_mean([row[key] for row in rows], 1 + len(rows) // 50)


def trailing_mean(values, window):
    """For each of `values` (N,) the mean of it and those before it, `window` of them at most."""
    sums, end = np.cumsum([0.0, *values]), np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return (sums[end] - sums[start]) / (end - start)
