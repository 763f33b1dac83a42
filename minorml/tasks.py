"""Distributions over tasks: which attributes of an environment vary, and how.

A task is a dict {attribute: value}. A distribution is written as text, so that it can stand on a command line
and in config.json: `rotation=uniform:-3.14,3.14`.
"""

import math
from typing import NamedTuple

import numpy as np


class Uniform(NamedTuple):
    """Attribute `name` uniform in [low, high]."""

    name: str
    low: float
    high: float

    def sample(self, rng):
        return rng.uniform(self.low, self.high)

    def grid(self, n):
        """n values in the middle of n equal parts of the range."""
        return self.low + (np.arange(n) + 0.5) * (self.high - self.low) / n

    @classmethod
    def parse(cls, text):
        """`NAME=uniform:LOW,HIGH` → Uniform."""
        name, _, rest = text.partition("=")
        kind, _, limits = rest.partition(":")
        try:
            low, high = (float(x) for x in limits.split(","))
            good = name.isidentifier() and kind == "uniform" and math.isfinite(high - low) and low <= high
        except ValueError:
            good = False
        if not good:
            raise ValueError(f"vary: expected NAME=uniform:LOW,HIGH with LOW <= HIGH; given {text!r}")
        return cls(name, low, high)


def sample_tasks(distribution, rng, n):
    """n tasks drawn from a list of `Uniform`s, each attribute by itself."""
    return [{part.name: part.sample(rng) for part in distribution} for _ in range(n)]


def grid_tasks(distribution, n):
    """n fixed tasks that cover the distribution evenly, for evaluation.

    With one attribute that varies: the middles of n equal parts. With several: a Latin hypercube, in which each
    attribute takes the middles of its parts once, in an order that is the same every time.
    """
    columns = {}
    for i, part in enumerate(distribution):
        order = np.arange(n) if i == 0 else np.random.default_rng(i).permutation(n)
        columns[part.name] = part.grid(n)[order]
    return [{name: float(column[k]) for name, column in columns.items()} for k in range(n)]


def set_tasks(envs, tasks, copies):
    """Give the first `copies` environments of a vector the first task, the next `copies` the second, …"""
    for name in tasks[0]:
        envs.set_attr(name, [task[name] for task in tasks for _ in range(copies)])


def describe(task):
    """`rotation=-1.57`"""
    return " ".join(f"{name}={value:+.4g}" for name, value in task.items())
