"""Calls in turn, so that a machine whose speed drifts slows all alike."""

import time

import numpy as np

LONGEST_PAUSE = 0.05  # s


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(*calls, repetitions=30, warm_up=3):
    """Times of a, b, …, called a b … a b …: an array (repetitions,) in seconds for each.

    Before each timed call there is a pause of ten calls' time, and at most 0.05 s: the threads of a library go on
    spinning for a while when their work is done, and would take a core from whoever comes next. It is shorter for
    short calls, which would otherwise start on a processor that has gone to sleep.
    """
    for _ in range(warm_up):
        longest = max(seconds(call) for call in calls)
    pause = min(LONGEST_PAUSE, 10 * longest)

    def rested(call):
        time.sleep(pause)
        return seconds(call)

    return np.array([[rested(call) for call in calls] for _ in range(repetitions)]).T


def spread(times):
    """`1.23 (1.10–1.40)`: median, quartiles, in milliseconds."""
    low, middle, high = np.percentile(1e3 * times, [25, 50, 75])
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"
