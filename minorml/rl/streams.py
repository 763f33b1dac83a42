"""Random numbers, keyed by what they are for.

Each use has a generator of its own, made from the seed and a key such as (TRAIN, iteration, task). A number therefore
does not depend on which process draws it, in which order, or on whether a piece of work is repeated.
"""

import numpy as np

from .tasks import sample_tasks

INIT, DRAW_TASKS, TRAIN, EVALUATE, REFERENCE = range(5)  # the first number of a key: what the random numbers are for


def stream(seed, *key):
    """A generator of its own for each key of integers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def draw_tasks(config, iteration):
    """The M tasks of an iteration (which is the number of those before it)."""
    return sample_tasks(config.distribution, stream(config.seed, DRAW_TASKS, iteration), config.num_tasks)
