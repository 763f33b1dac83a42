"""Adaptation at test time: Algorithms 2 (MAML) and 4 (NoRML) of Yang et al. 2019, and how well it works.

    before        roll out π_θ on the task: K trajectories, without rewards for NoRML
    after 1       θ_i by (meta.1), roll out π_θi
    after 2       adapt again on those transitions, roll out, …
    offset only   θ + θ_off, without the gradient step: what the offset does by itself
"""

from collections.abc import Callable, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..deployment.adapting import record_and_adapt
from ..deployment.collect import record
from ..deployment.controller import Policy
from ..deployment.recording import Recording
from ..rl.problem import make_problem
from ..rl.streams import EVALUATE, stream
from ..rl.tasks import describe, require_alike, set_tasks
from ..rl.threads import one_blas_thread
from ..runs.progress import Progress
from .trained import Trained

NO_NOISE = -40.0  # the log σ of a policy that acts by its mean: 4e-18 is lost beside any action


class Score(NamedTuple):
    """The return of one stage of adaptation on one task, repeated."""

    task: dict
    stage: str  # "before", "offset only", "after 1", …
    returns: np.ndarray  # (repetitions,) each the mean undiscounted return of K trajectories


@contextmanager
def on_tasks(config, tasks, make_envs=None):
    """A problem whose environments have these tasks, K copies each, and are closed in the end; one BLAS thread."""
    require_alike(tasks, [part.name for part in config.distribution])
    problem = make_problem(config, len(tasks), make_envs)
    with closing(problem.envs), one_blas_thread:
        set_tasks(problem.envs, tasks, config.num_trajectories)
        yield problem


def act(problem, thetas, tasks, seed=0):
    """K trajectories of each policy θ (M, P) on its task, after `finetune` of the same seed → M `Trajectories`."""
    rngs = [stream(seed, EVALUATE, 1, i) for i in range(len(tasks))]
    return problem.rollout(thetas, rngs, list(map(describe, tasks)))


def finetune(trained: Trained, tasks: Sequence[dict], steps: int | None = None, seed: int = 0,
             make_envs: Callable | None = None) -> np.ndarray:
    """Adapt to tasks.

    Parameters
    ----------
    trained : Trained, from `train` or `load`
    tasks : dicts {attribute: value}, for example [{"rotation": 1.0}]
    steps : adaptation steps, each on K fresh trajectories per task; default: as many as it was trained for
    seed : of the exploration
    make_envs : as for `train`

    Returns
    -------
    theta : (M, P), the adapted parameters for each task

    Raises
    ------
    ValueError : no task, or one that the environment does not have
    """
    steps = trained.config.adapt_steps if steps is None else steps
    rngs = [stream(seed, EVALUATE, 0, i) for i in range(len(tasks))]
    with on_tasks(trained.config, tasks, make_envs) as problem:
        _, _, thetas = record_and_adapt(problem, trained.meta, steps, rngs, list(map(describe, tasks)))
    return thetas[-1]


def collect(trained: Trained, task: dict, policy: Policy | None = None, seed: int | np.random.Generator = 0,
            episodes: int | None = None, make_envs: Callable | None = None) -> Recording:
    """Record a simulated robot.

    Parameters
    ----------
    trained : Trained
    task : {attribute: value}, for example {"rotation": 1.5}
    policy : the one that acts, with its noise; default: `trained.policy()`
    seed : of the noise and of resets; or a generator, which is used and goes on. `finetune` adapts to what seed 0 gives
    episodes : how many; default: K, as in training
    make_envs : as for `train`

    Raises
    ------
    ValueError : the environment does not have this task; a policy of another robot
    """
    config = trained.config if episodes is None else replace(trained.config, num_trajectories=episodes)
    rng = seed if isinstance(seed, np.random.Generator) else stream(seed, EVALUATE, 0, 0)
    with on_tasks(config, [task], make_envs) as problem:
        own = trained.meta.theta
        theta = own if policy is None else policy.theta
        if (theta.shape, theta.dtype) != (own.shape, own.dtype):
            raise ValueError(f"policy: expected one of {len(own)} parameters in {own.dtype}; given {len(theta)} in "
                             f"{theta.dtype}")
        recording, = record(problem, theta[None], [rng], [describe(task)])
    return recording


def evaluate(trained: Trained, tasks: Sequence[dict], steps: int | None = None, repetitions: int = 5, seed: int = 0,
             progress: bool = False, make_envs: Callable | None = None, deterministic: bool = False) -> list[Score]:
    """The return on each task at each stage of adaptation, over independent repetitions → list of `Score`.

    A method without adaptation (domain randomization) has the stage "before" alone. With `deterministic` each stage is
    scored by its mean action f(s; θ_μ); what it adapts to is still sampled, the same as without. The rest as for
    `finetune`.
    """
    steps = trained.config.adapt_steps if steps is None else steps
    if steps < 0 or repetitions < 1:
        raise ValueError(f"expected steps >= 0 and repetitions >= 1; given {steps} and {repetitions}")
    names = list(map(describe, tasks))
    returns = []  # one dict for each repetition: stage → (M,) returns
    with (on_tasks(trained.config, tasks, make_envs) as problem,
          Progress(repetitions, label="evaluate", enabled=progress) as shown):
        steps = steps if problem.method.adapts else 0
        for r in range(repetitions):
            rngs = [stream(seed, EVALUATE, r, i) for i in range(len(tasks))]
            returns.append(_stages(problem, trained.meta, steps, rngs, deterministic, names))
            shown.update()
    return [Score(task, stage, np.array([one[stage][i] for one in returns]))
            for i, task in enumerate(tasks) for stage in returns[0]]


def _stages(problem, meta, steps, rngs, deterministic, names):
    """Each stage's mean return on each task: {stage: (M,)}."""
    def perform(theta):
        return record(problem, theta, rngs, names)

    recordings, _, thetas = record_and_adapt(problem, meta, steps, rngs, names)
    if deterministic:
        performed = [perform(without_noise(problem.policy, theta)) for theta in thetas]
    else:
        performed = [*recordings, perform(thetas[-1])]
    stages = {"before": performed[0]}
    if "offset" in problem.method.learned:
        offset = np.stack([meta.theta + meta.offset] * len(rngs))
        stages["offset only"] = perform(without_noise(problem.policy, offset) if deterministic else offset)
    stages |= {f"after {k}": recorded for k, recorded in enumerate(performed) if k > 0}
    return {stage: np.array([one.returns.mean() for one in recorded]) for stage, recorded in stages.items()}


def without_noise(policy, thetas):
    """The parameters (M, P) of policies that act by the mean action of these."""
    thetas = thetas.copy()
    policy.split(thetas)[1][:] = NO_NOISE
    return thetas
