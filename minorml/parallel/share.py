"""One share of the work: what an outer iteration does for some of its tasks, in whichever process.

    sample:    roll out π_θ on each task                → D_i^pre        (again after each adaptation step)
               adapt to it: θ_i by (meta.1)
               roll out π_θi on each task               → D_i^post
    gradients: of L_out(θ_i; D_i^post) by (meta.2)–(meta.5), with advantages normalised over all tasks

Results do not depend on which tasks share a process, or on whether a task is repeated: random numbers come from keyed
streams, and a task's numbers never depend on its neighbours. A share that is lost with its machine is computed again
elsewhere, to the same bits.
"""

from typing import NamedTuple

from ..meta import MetaParameters
from ..rl import threads
from ..rl.baseline import AdvantageMoments, estimate_advantages
from ..rl.problem import make_problem
from ..rl.streams import TRAIN, draw_tasks, stream
from ..rl.tasks import describe, set_tasks
from ..rl.threads import in_threads, keep_freed_memory
from .adaptation import adapt_group, groups, outer_all, sample_and_adapt


class TaskSummary(NamedTuple):
    """One task's rollouts in numbers."""

    pre_return: float  # mean return of the K trajectories before adaptation
    post_return: float  # … and after it
    env_steps: int
    advantages: AdvantageMoments  # of the batch after adaptation


class TaskGradient(NamedTuple):
    """What one task contributes to an update."""

    loss: float
    gradient: MetaParameters
    clip_fraction: float


class IterationData(NamedTuple):
    """What a share keeps of an iteration between `sample` and `gradients`."""

    iteration: int
    pre: list  # for each task its batches D_i^pre, one for each adaptation step
    adapted: list | None  # [Adapted], until the first outer update has changed the parameters
    post: list  # for each task its Batch D_i^post
    advantages: list  # of that batch, (N,) in float64, not normalised


class Share:
    """Some tasks of the meta-batch, with environments of their own.

    config : Config
    indices : which of the M tasks
    make_envs : as for `make_problem`
    """

    def __init__(self, config, indices, make_envs=None):
        keep_freed_memory()
        self.indices = tuple(indices)
        self.problem = make_problem(config, len(self.indices), make_envs)
        self.data = None  # IterationData of the iteration sampled last

    def close(self):
        self.problem.envs.close()

    def begin(self, iteration):
        """Set the tasks of an iteration → (their names for error messages, their generators)."""
        config = self.problem.config
        tasks = draw_tasks(config, iteration)
        set_tasks(self.problem.envs, [tasks[i] for i in self.indices], config.num_trajectories)
        return ([f"{i} ({describe(tasks[i])})" for i in self.indices],
                [stream(config.seed, TRAIN, iteration, i) for i in self.indices])

    def sample(self, meta, iteration):
        """Roll out, adapt, and roll out again → [TaskSummary]. The transitions stay here."""
        problem, config = self.problem, self.problem.config
        names, rngs = self.begin(iteration)
        rollouts, pre, theta_i, adapted = sample_and_adapt(problem, meta, problem.adapt_steps, rngs, names)
        rollouts = [*rollouts, problem.rollout(theta_i, rngs, names)]  # the first under θ, the last under θ_i
        advantages = [estimate_advantages(one, config.discount) for one in rollouts[-1]]
        self.data = IterationData(iteration, pre, adapted, [one.batch() for one in rollouts[-1]], advantages)
        return [TaskSummary(float(task[0].returns.mean()), float(task[-1].returns.mean()),
                            sum(int(trajectories.alive.sum()) for trajectories in task), AdvantageMoments.of(a))
                for task, a in zip(zip(*rollouts), advantages)]

    def gradients(self, meta, start, iteration, mean, std):
        """The tasks' outer losses and meta-gradients at `meta` → [TaskGradient].

        start : the MetaParameters that `sample` was given. Where its transitions are not here (another worker has
            taken over), they are sampled again.
        mean, std : of the advantages of all M tasks
        """
        self._recall(start, iteration)
        pre, post, adapted = self.data.pre, self._post(mean, std), self.data.adapted
        if meta is not start:
            adapted = None
            self.data = self.data._replace(adapted=None)  # of no more use, and a hundred megabytes on cart-pole

        def contributions(group):
            tasks, theta, pullback = group if adapted else adapt_group(self.problem, meta, pre, group)
            losses, g_post, clip_fractions = outer_all(self.problem, theta, post[tasks])
            return [TaskGradient(float(loss), MetaParameters(*gradient), float(clip_fraction))
                    for loss, gradient, clip_fraction in zip(losses, zip(*pullback(g_post)), clip_fractions)]

        contributed = in_threads(contributions, adapted or groups(pre, threads.num_threads()))
        return [one for group in contributed for one in group]

    def batches(self, tasks, start, iteration, mean, std):
        """[(D_i^pre, one for each adaptation step; D_i^post)] of those of these tasks that are in this share."""
        self._recall(start, iteration)
        return [(pre, post) for i, pre, post in zip(self.indices, self.data.pre, self._post(mean, std)) if i in tasks]

    def _recall(self, start, iteration):
        if self.data is None or self.data.iteration != iteration:
            self.sample(start, iteration)

    def _post(self, mean, std):
        """Each task's D_i^post, its advantages normalised."""
        return [batch._replace(advantages=((a - mean) / std).astype(self.problem.config.dtype))
                for batch, a in zip(self.data.post, self.data.advantages)]
