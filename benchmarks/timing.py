"""A and B in turn, so that a machine whose speed drifts slows both alike."""

import time

import numpy as np


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(a, b, repetitions=30, warm_up=3):
    """Times of a and b, called A B A B …: two arrays (repetitions,) in seconds."""
    for _ in range(warm_up):
        a(), b()
    times = np.array([(seconds(a), seconds(b)) for _ in range(repetitions)])
    return times[:, 0], times[:, 1]


def spread(times):
    """`1.23 (1.10–1.40)`: median, quartiles, in milliseconds."""
    low, middle, high = np.percentile(1e3 * times, [25, 50, 75])
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"
