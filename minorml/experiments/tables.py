"""Numbers and tables, as Markdown and as CSV."""

import csv
import io

import numpy as np

from ..runs.checkpoints import write_atomically
from .statistics import bootstrap_interval, interquartile_mean


def numbers(scores):
    scores = np.asarray(scores, float)
    return scores[np.isfinite(scores)]


def interval(scores):
    """`−0.65 (−0.67 to −0.63)`: the interquartile mean and its interval, of the scores that there are."""
    scores = numbers(scores)
    return with_interval(interquartile_mean, scores) if len(scores) else ""


def with_interval(statistic, *samples):
    low, high = bootstrap_interval(statistic, *samples)
    return number(statistic(*samples)) + (f" ({number(low)} to {number(high)})" if np.isfinite(low) else "")


def number(value, digits=2):
    return f"{value:.{digits}f}".replace("-", "−") if np.isfinite(value) else ""


def duration(seconds):
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def table(header, rows):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows])


def cell(value):
    return "" if value is None else f"{value:.6g}"


def write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    write_atomically(path, text.getvalue().encode())
