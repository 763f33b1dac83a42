"""Adaptation of many tasks at once. Tasks with equally many rows are stacked into groups; groups run in threads.

    sample:  roll out π_θ on each task                  → D_i^pre        (again after each adaptation step)
    adapt:   θ_i by (meta.1)

A task adapts to the same bits whatever other tasks are in its group.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..meta import Batch, adapt, outer_loss
from ..rl import threads
from ..rl.baseline import estimate_advantages, normalise
from ..rl.threads import FEWEST_ROWS, in_threads

MOST_ROWS = 4096  # up to which tasks of few rows are stacked


def groups(batches, parts=1):
    """Cut the tasks into groups that can be stacked, with equally many rows, into `parts` groups or more → [slice].

    batches : for each task a list of its batches, one for each adaptation step
    """
    rows = [[len(batch.states) for batch in mine] for mine in batches]
    shares = max(1, min(parts, sum(map(max, filter(None, rows))) // FEWEST_ROWS))
    cuts, share = [0], -(-len(rows) // shares)
    for i in range(1, len(rows)):
        together = i + 1 - cuts[-1]
        if rows[i] != rows[cuts[-1]] or together > share or together * max(rows[i], default=0) > MOST_ROWS:
            cuts.append(i)
    return [slice(*ends) for ends in zip(cuts, [*cuts[1:], len(rows)])]


def stack(batches):
    """Batches of equally many rows as one, with an axis of tasks before the others."""
    return Batch(*(None if fields[0] is None else np.stack(fields) for fields in zip(*batches)))


class Adapted(NamedTuple):
    """A group of tasks, adapted together."""

    tasks: slice
    theta: np.ndarray  # (m, P)
    pullback: Callable  # g' (m, P) ↦ MetaParameters with a row for each task


def adapt_group(problem, meta, pre, tasks):
    """Adapt to the tasks of one group, by (meta.1). `pre`: for each task its batches, one for each step."""
    steps = [stack(batches) for batches in zip(*pre[tasks])]
    theta_i, pullback = adapt(problem.policy, problem.laf, problem.method, meta, steps)
    return Adapted(tasks, np.broadcast_to(theta_i, (len(pre[tasks]), theta_i.shape[-1])), pullback)


def adapt_all(problem, meta, pre):
    """Adapt to each task → [Adapted]."""
    return in_threads(functools.partial(adapt_group, problem, meta, pre), groups(pre, threads.num_threads()))


def outer_all(problem, theta, post):
    """The outer losses of a group: θ_i (m, P) and a Batch for each → (losses (m,), g' (m, P), clip fractions (m,))."""
    outer = [outer_loss(problem.policy, theta[tasks], stack(post[tasks]), problem.config.clip)
             for tasks in groups([[batch] for batch in post])]
    return [np.concatenate(fields) for fields in zip(*outer)]


def pre_batch(problem, trajectories):
    """D_i^pre of one task's trajectories, with advantages from rewards for a method that adapts from them."""
    advantages = None
    if problem.method.uses_rewards:
        advantages, = normalise([estimate_advantages(trajectories, problem.config.discount)])
        advantages = advantages.astype(problem.config.dtype)
    return trajectories.batch(advantages)


def sample_and_adapt(problem, meta, steps, rngs, names=None):
    """Adapt to the tasks that are set: roll out and adapt, `steps` times, each time on fresh transitions.

    Returns
    -------
    rollouts : for each step the `Trajectories` of the M tasks
    pre : for each of the M tasks its batches D_i^pre, one for each step
    theta_i : (M, P)
    adapted : [Adapted]
    """
    rollouts, pre = [], [[] for _ in rngs]
    adapted = adapt_all(problem, meta, pre)
    for _ in range(steps):
        trajectories = problem.rollout(np.concatenate([group.theta for group in adapted]), rngs, names)
        rollouts.append(trajectories)
        for one, mine in zip(trajectories, pre):
            mine.append(pre_batch(problem, one))
        adapted = adapt_all(problem, meta, pre)
    return rollouts, pre, np.concatenate([group.theta for group in adapted]), adapted
