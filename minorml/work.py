"""The unit of work: what one outer iteration does for some of its tasks, whoever does it.

    explore:  roll out π_θ on each task                  → D_i^train       (again after each adaptation step)
    adapt:    θ_i by (meta.1)
    perform:  roll out π_θi on each task                 → D_i^test
    … and, once the advantages of all tasks are known to be normalised …
    gradient: of L_out(θ_i; D_i^test) by (meta.2)–(meta.5)

Nothing here depends on which tasks share a process, or on how often a task is done again: every random number
comes from `stream(seed, …)` with a key that says what it is for, and the rows of a batch never depend on who else
is in it. So a share of the work that was lost with its machine is simply done again elsewhere, to the same bits.
"""

import contextvars
import ctypes
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from .baseline import Spread, estimate_advantages, normalise
from .learner import make_learner
from .meta import Batch, MetaParameters, adapt, outer_loss
from .tasks import describe, sample_tasks, set_tasks

INIT, DRAW_TASKS, TRAIN, EVALUATE = range(4)  # what a stream of random numbers is for


def stream(seed, *key):
    """A generator of its own for each key of integers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def draw_tasks(config, iteration):
    """The M tasks of an iteration (which is the number of those before it)."""
    return sample_tasks(config.distribution, stream(config.seed, DRAW_TASKS, iteration), config.num_tasks)


# Tasks of few rows go through the mathematics together: 4,096 rows at most, and for fewer than 1,000 no thread is
# woken, which would take as long as they do.
FEWEST_ROWS, MOST_ROWS = 1000, 4096


@functools.cache
def num_threads():
    """As many as there are cores, or OMP_NUM_THREADS. Most of the work is in kernels, which let each other run."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(given)) if given.isdecimal() else os.cpu_count() or 1


@functools.cache
def _threads():
    return ThreadPoolExecutor(max(1, num_threads() - 1))


if hasattr(os, "register_at_fork"):  # a fork copies no thread but the one that called it
    os.register_at_fork(after_in_child=_threads.cache_clear)


def in_threads(function, items):
    """[function(item)] with the items shared out among threads, this one too; NumPy's error state is the caller's."""
    if len(items) < 2 or num_threads() < 2:
        return [function(item) for item in items]
    waiting, results = list(enumerate(items)), {}

    def work():
        while True:
            try:
                n, item = waiting.pop()
            except IndexError:  # none is left
                return
            results[n] = function(item)

    calls = [_threads().submit(contextvars.copy_context().run, work) for _ in range(min(len(items), num_threads()) - 1)]
    try:
        work()
    finally:
        waiting.clear()  # after an error nobody begins another
        wait(calls)
    for call in calls:
        call.result()
    return [results[n] for n in range(len(items))]


_blas = functools.cache(ThreadpoolController)


class _OneBlasThread:
    """A context in which BLAS has one thread. The setting is the process's: who leaves last gives back what it was."""

    def __init__(self):
        self.lock, self.inside, self.limit = threading.Lock(), 0, None

    def __enter__(self):
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.limit = _blas().limit(limits=1)

    def __exit__(self, kind, error, trace):
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limit.restore_original_limits()


one_blas_thread = _OneBlasThread()


@functools.cache
def keep_freed_memory():
    """Have the C library keep what is freed: to get the same megabytes anew each time takes a tenth of a gradient."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    for parameter in (-1, -3):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
        mallopt(parameter, 2**30)


def groups(batches, threads=1):
    """Cut the tasks into groups that can be stacked: of equally many rows, not too many, and some for each thread.

    batches : for each task a list of its batches, one for each step → [slice]
    """
    rows = [[len(batch.states) for batch in mine] for mine in batches]
    shares = max(1, min(threads, sum(map(max, filter(None, rows))) // FEWEST_ROWS))
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


def adapt_group(learner, meta, pre, tasks):
    """Adapt to the tasks of one group, by (meta.1). `pre`: for each task its batches, one for each step."""
    steps = [stack(batches) for batches in zip(*pre[tasks])]
    theta_i, pullback = adapt(learner.policy, learner.laf, learner.method, meta, steps)
    return Adapted(tasks, np.broadcast_to(theta_i, (len(pre[tasks]), theta_i.shape[-1])), pullback)


def adapt_all(learner, meta, pre):
    """Adapt to each task → [Adapted]."""
    return in_threads(functools.partial(adapt_group, learner, meta, pre), groups(pre, num_threads()))


def outer_all(learner, theta, post):
    """The outer losses of a group: θ_i (m, P) and a Batch for each → (losses (m,), g' (m, P), clip fractions (m,))."""
    outer = [outer_loss(learner.policy, theta[tasks], stack(post[tasks]), learner.config.clip)
             for tasks in groups([[batch] for batch in post])]
    return [np.concatenate(fields) for fields in zip(*outer)]


def explore_and_adapt(learner, meta, steps, rngs, names=None):
    """Roll out, adapt, and again: `steps` times, each on fresh transitions of the tasks that are set.

    Returns each step's trajectories (M of them), for each of the M tasks its batches, the θ_i (M, P), and [Adapted].
    """
    explored, pre = [], [[] for _ in rngs]
    adapted = adapt_all(learner, meta, pre)
    for _ in range(steps):
        trajectories = learner.rollout(np.concatenate([group.theta for group in adapted]), rngs, names)
        explored.append(trajectories)
        for one, mine in zip(trajectories, pre):
            advantages = None
            if learner.method.uses_rewards:
                advantages, = normalise([estimate_advantages(one, learner.config.discount)])
                advantages = advantages.astype(learner.config.dtype)
            mine.append(one.batch(advantages))
        adapted = adapt_all(learner, meta, pre)
    return explored, pre, np.concatenate([group.theta for group in adapted]), adapted


class Sampled(NamedTuple):
    """What is told of one task's rollouts."""

    before: float  # mean return of the K trajectories before adaptation
    after: float  # … and after it
    env_steps: int
    spread: Spread  # of the advantages after adaptation


class TaskGradient(NamedTuple):
    """What one task contributes to an update."""

    loss: float
    gradient: MetaParameters
    clip_fraction: float


class Kept(NamedTuple):
    """What a share keeps of an iteration between `sample` and `gradients`."""

    iteration: int
    pre: list  # for each task its batches, one for each adaptation step
    adapted: list | None  # [Adapted], until the first update at other parameters
    post: list  # its Batch after adaptation
    advantages: list  # of that batch, (N,) in float64, not normalised


class Share:
    """Some tasks of the meta-batch, with environments of their own.

    config : Config
    indices : which of the M tasks
    make_envs : as for `make_learner`
    """

    def __init__(self, config, indices, make_envs=None):
        keep_freed_memory()
        self.indices = tuple(indices)
        self.learner = make_learner(config, len(self.indices), make_envs)
        self.kept = None  # of the iteration sampled last

    def close(self):
        self.learner.envs.close()

    def begin(self, iteration):
        """Set the tasks of an iteration → (their names for error messages, their generators)."""
        config = self.learner.config
        tasks = draw_tasks(config, iteration)
        set_tasks(self.learner.envs, [tasks[i] for i in self.indices], config.num_trajectories)
        return ([f"{i} ({describe(tasks[i])})" for i in self.indices],
                [stream(config.seed, TRAIN, iteration, i) for i in self.indices])

    def sample(self, meta, iteration):
        """Explore, adapt and perform → [Sampled] of the tasks. The transitions stay here."""
        learner, config = self.learner, self.learner.config
        names, rngs = self.begin(iteration)
        explored, pre, theta, adapted = explore_and_adapt(learner, meta, learner.adapt_steps, rngs, names)
        performed = learner.rollout(theta, rngs, names)
        advantages = [estimate_advantages(one, config.discount) for one in performed]
        self.kept = Kept(iteration, pre, adapted, [one.batch() for one in performed], advantages)
        before = explored[0] if explored else performed
        return [Sampled(float(before[k].returns.mean()), float(performed[k].returns.mean()),
                        sum(int(trajectories[k].alive.sum()) for trajectories in [*explored, performed]),
                        Spread.of(advantages[k]))
                for k in range(len(self.indices))]

    def gradients(self, meta, start, iteration, mean, std):
        """The tasks' outer losses and meta-gradients at `meta` → [TaskGradient].

        start : the MetaParameters that `sample` was given. Where its transitions are not here (another worker has
            taken over), they are sampled again.
        mean, std : of the advantages of all M tasks
        """
        self._recall(start, iteration)
        pre, post, adapted = self.kept.pre, self._batches(mean, std), self.kept.adapted
        if meta is not start:
            adapted = None
            self.kept = self.kept._replace(adapted=None)  # of no more use, and a hundred megabytes on cart-pole

        def contributions(group):
            tasks, theta, pullback = group if adapted else adapt_group(self.learner, meta, pre, group)
            losses, g_post, clip_fractions = outer_all(self.learner, theta, post[tasks])
            return [TaskGradient(float(loss), MetaParameters(*gradient), float(clip_fraction))
                    for loss, gradient, clip_fraction in zip(losses, zip(*pullback(g_post)), clip_fractions)]

        return [one for group in in_threads(contributions, adapted or groups(pre, num_threads())) for one in group]

    def evidence(self, tasks, start, iteration, mean, std):
        """For those of these tasks (indices) that are in this share: (its batches before, its batch after)."""
        self._recall(start, iteration)
        return [(pre, post) for i, pre, post in zip(self.indices, self.kept.pre, self._batches(mean, std))
                if i in tasks]

    def _recall(self, start, iteration):
        if self.kept is None or self.kept.iteration != iteration:
            self.sample(start, iteration)

    def _batches(self, mean, std):
        """The tasks' batches after adaptation, their advantages normalised."""
        return [batch._replace(advantages=((a - mean) / std).astype(self.learner.config.dtype))
                for batch, a in zip(self.kept.post, self.kept.advantages)]
