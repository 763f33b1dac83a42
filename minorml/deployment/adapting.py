"""Adaptation to logs: Algorithm 4 of Yang et al. 2019, wherever the transitions come from.

    Recording → trajectories as the networks see them → D_i^pre → θ_i by (meta.1)

`finetune` and `evaluate` go this way with what a simulation recorded, `trained.adapt` with a robot's log.
"""

import numpy as np

from ..parallel.adaptation import adapt_all, pre_batch
from ..rl.streams import REFERENCE, stream
from ..rl.tasks import grid_tasks, set_tasks
from ..rl.threads import one_blas_thread
from ..runs.progress import Progress
from .collect import record
from .recording import check_widths, trajectories_of
from .reference import NUM_LOGS, Moments, Reference, measure


def batch_of(problem, recording):
    """D_i^pre of one task's recording. ValueError where a method needs rewards, and there are none."""
    first = recording.episodes[0]  # the others have its widths
    check_widths(0, first.states, first.actions, problem.policy.obs_dim, problem.policy.act_dim)
    if problem.method.uses_rewards and not recording.has_rewards:
        raise ValueError(f"recording: {problem.config.method} adapts from rewards, and this log has none; the methods "
                         "with a learned advantage need none")
    return pre_batch(problem, trajectories_of(problem.config, recording))


def adapt_to(problem, meta, batches):
    """θ_i of M tasks (M, P). `batches`: for each task its batches, one for each adaptation step."""
    return np.concatenate([group.theta for group in adapt_all(problem, meta, batches)])


def record_and_adapt(problem, meta, steps, rngs, names=None):
    """Adapt to the tasks that are set, each step on fresh transitions.

    Returns
    -------
    recordings : for each step those of the M tasks
    batches : for each task its batches, one for each step
    thetas : the policies (M, P) before the first step and after each
    """
    recordings, batches = [], [[] for _ in rngs]
    thetas = [adapt_to(problem, meta, batches)]
    for _ in range(steps):
        recordings.append(record(problem, thetas[-1], rngs, names))
        for mine, recording in zip(batches, recordings[-1]):
            mine.append(batch_of(problem, recording))
        thetas.append(adapt_to(problem, meta, batches))
    return recordings, batches, thetas


def measure_reference(problem, meta, iteration, progress=False):
    """The Reference of a trained policy: NUM_LOGS logs of held-out tasks, as many at a time as environments allow."""
    config, logs, moments, named = problem.config, [], [], []
    M = problem.envs.num_envs // config.num_trajectories
    grid = grid_tasks(config.distribution, NUM_LOGS)
    with one_blas_thread, Progress(-(-NUM_LOGS // M), label="held-out logs", enabled=progress) as shown:
        for first in range(0, NUM_LOGS, M):
            tasks = [grid[i % len(grid)] for i in range(first, first + M)]
            set_tasks(problem.envs, tasks, config.num_trajectories)
            rngs = [stream(config.seed, REFERENCE, i) for i in range(first, first + M)]
            (recordings,), batches, (before, after) = record_and_adapt(problem, meta, 1, rngs)
            logs += [measure(problem, meta, *row) for row in zip(before, after, recordings, (b for b, in batches))]
            moments += [Moments.of(batch) for batch, in batches]
            named += tasks
            shown.update()
    return Reference.of(logs, moments, named, iteration)
