"""Calls in turn, so that a machine whose speed drifts slows all alike."""

import subprocess
import sys
import time

import numpy as np

PAUSE, TURN = 0.05, 0.3  # s


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def printed_by(code):
    """What a Python process of its own prints while it runs this code."""
    return subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout


def in_turn(*calls, repetitions=30, warm_up=3):
    """Times of a, b, …, called a b … a b …: an array (repetitions,) in seconds for each.

    Before each turn there is a pause of ten calls' time, and at most 0.05 s: the threads of a library go on spinning
    for a while when their work is done, and would take a core from whoever comes next. A turn lasts about 0.3 s:
    short calls are repeated, as training repeats them, and the mean counts, but for the first, which finds a processor
    that has gone to sleep.
    """
    for _ in range(warm_up):
        longest = max(seconds(call) for call in calls)
    pause, repeats = min(PAUSE, 10 * longest), int(TURN / longest)

    def turn(call):
        time.sleep(pause)
        if repeats < 2:
            return seconds(call)
        call()
        return seconds(lambda: [call() for _ in range(repeats)]) / repeats

    return np.array([[turn(call) for call in calls] for _ in range(repetitions)]).T


def spread(times):
    """`1.23 (1.10–1.40)`: median, quartiles, in milliseconds."""
    low, middle, high = np.percentile(1e3 * times, [25, 50, 75])
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"
