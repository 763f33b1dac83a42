"""Statistics of a few seeds, after Agarwal, Schwarzer, Castro, Courville and Bellemare, *Deep reinforcement learning at
the edge of the statistical precipice*, NeurIPS 2021. Each seed has one score, and each summary a bootstrap interval.
"""

import numpy as np

LEVEL = 95  # per cent of an interval


def interquartile_mean(scores):
    """The mean of the middle half: scores (n, …) → (…). ⌊n/4⌋ are left out at each end, so of three seeds none is."""
    cut = len(scores) // 4
    return np.sort(scores, axis=0)[cut:len(scores) - cut].mean(axis=0)


def probability_of_improvement(x, y):
    """P(X > Y) of a score X from x (n,) and a Y from y (m,), an equal one counting half."""
    x, y = np.asarray(x)[:, None], np.asarray(y)
    return (np.mean(x > y) + np.mean(x == y) * 0.5).item()


def bootstrap_interval(statistic, *samples, resamples=2000, seed=0):
    """The 95 % percentile interval of statistic(*samples), each sample (n, …) drawn again with replacement, by itself.

    Returns
    -------
    low, high : each of the shape of the statistic; NaN where a sample has fewer than two members
    """
    samples = [np.asarray(x) for x in samples]
    if min(map(len, samples)) < 2:
        nothing = np.full_like(statistic(*samples), np.nan, dtype=float)
        return nothing, nothing
    rng = np.random.default_rng(seed)
    drawn = [statistic(*(x[rng.integers(len(x), size=len(x))] for x in samples)) for _ in range(resamples)]
    return np.percentile(drawn, [(100 - LEVEL) / 2, (100 + LEVEL) / 2], axis=0)


def last_returns(metrics, count=50):
    """(n, before, after): the mean returns before and after adaptation over the last n ≤ `count` rows."""
    last = metrics[-count:]
    before, after = (sum(row[name] for row in last) / len(last) if last else float("nan")
                     for name in ("pre_return", "post_return"))
    return len(last), before, after
