"""Distributions over tasks: which attributes of an environment vary, and how.

A task is a dict {attribute: value}. A distribution is written as text, so that it can stand on a command line
and in config.json: `rotation=uniform:-3.14,3.14`, `swapped=choice:0,1`, or `model.opt.gravity[2]=uniform:-12,-5`.
"""

import math
from typing import NamedTuple

import numpy as np

from .foreign import PATH, set_numbers


class Uniform(NamedTuple):
    """Attribute `name` uniform in [low, high]: `NAME=uniform:LOW,HIGH`."""

    name: str
    low: float
    high: float

    def sample(self, rng, n):
        return rng.uniform(self.low, self.high, n)

    def ends(self):
        return self.low, self.high

    def grid(self, n):
        """n values in the middle of n equal parts of the range."""
        return self.low + (np.arange(n) + 0.5) * (self.high - self.low) / n


class Choice(NamedTuple):
    """Attribute `name` one of a few values: `NAME=choice:A,B,…`."""

    name: str
    values: tuple[float, ...]

    def sample(self, rng, n):
        """n values in random order, each of them as often as the others (as far as n allows)."""
        return rng.permutation(np.resize(rng.permutation(self.values), n))

    def ends(self):
        return min(self.values), max(self.values)

    def grid(self, n):
        """The values one after the other, again and again."""
        return np.resize(self.values, n)


def parse(text):
    """`NAME=uniform:LOW,HIGH` or `NAME=choice:A,B,…` → Uniform or Choice."""
    name, _, rest = text.partition("=")
    kind, _, numbers = rest.partition(":")
    try:
        values = tuple(float(x) for x in numbers.split(","))
    except ValueError:
        values = ()
    if PATH.fullmatch(name) and values and all(abs(x) < 1e100 for x in values):
        if kind == "uniform" and len(values) == 2 and values[0] <= values[1]:
            return Uniform(name, *values)
        if kind == "choice":
            return Choice(name, values)
    raise ValueError(f"vary: expected NAME=uniform:LOW,HIGH with LOW <= HIGH, or NAME=choice:A,B,…; given {text!r}")


def sample_tasks(distribution, rng, n):
    """n tasks drawn from a list of `Uniform`s and `Choice`s, each attribute by itself."""
    columns = {part.name: part.sample(rng, n) for part in distribution}
    return [{name: float(column[k]) for name, column in columns.items()} for k in range(n)]


def grid_tasks(distribution, n):
    """At most n fixed tasks, all different, that cover the distribution evenly, for evaluation.

    With one attribute that varies: the middles of n equal parts of its range, or its values. With several: a Latin
    hypercube, in which each attribute takes the middles of its parts once, in an order that is the same every time.
    """
    columns = {}
    for i, part in enumerate(distribution):
        order = np.arange(n) if i == 0 else np.random.default_rng(i).permutation(n)
        columns[part.name] = part.grid(n)[order]
    different = dict.fromkeys(zip(*columns.values()))
    return [dict(zip(columns, map(float, values))) for values in different]


def require_alike(tasks, names):
    """Raise ValueError unless there are tasks, each with a value for all of `names`, and all for the same."""
    if not tasks:
        raise ValueError("tasks: expected one or more")
    for task in tasks:
        if not set(names) <= set(task) or set(task) != set(tasks[0]):
            raise ValueError(f"tasks: expected values for {', '.join(names)}, and for the same in each; given {task}")


def set_tasks(envs, tasks, copies):
    """Give the first `copies` environments of a vector the first task, the next `copies` the second, …"""
    for name in tasks[0]:
        values = [task[name] for task in tasks]
        try:
            set_numbers(envs, name, [value for value in values for _ in range(copies)])
        except (AttributeError, IndexError, TypeError, ValueError, AssertionError) as error:
            raise ValueError(f"task: the environment does not take {name} = {values[0]:.6g}"
                             f"{', …' * (len(values) > 1)}: {error}") from error


def parse_task(text, distribution):
    """`rotation=1.5` or `g=9,m=2` → {attribute: value}; ValueError unless each attribute that varies has a number."""
    try:
        task = {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
    except ValueError:
        task = {}
    if not task or not all(PATH.fullmatch(name) and math.isfinite(value) for name, value in task.items()):
        raise ValueError(f"task: expected NAME=NUMBER, several with ',' between them; given {text!r}")
    missing = [part.name for part in distribution if part.name not in task]
    if missing:
        raise ValueError(f"task: expected a value for {', '.join(missing)} too; given {text!r}")
    return task


def describe(task):
    """`rotation=-1.57`"""
    return " ".join(f"{name}={value:+.4g}" for name, value in task.items())
