"""What there is to know of an environment and its tasks before training, for `minorml check`."""

import dataclasses
import time
from contextlib import closing

import numpy as np

from ..kernels.rollout import offered_step
from .checks import check_step_copy, check_tasks, share_outside
from .foreign import EnvironmentFailed, get_numbers
from .problem import make_problem
from .streams import INIT, stream
from .tasks import describe, grid_tasks, set_tasks

SMALL, LARGE = 0.1, 5.0  # observations whose usual size is between these need no scale


def survey(config, make_envs=None):
    """Line by line, (whether it can be trained on, what was found). `make_envs` as for `train`."""
    try:
        problem = make_problem(dataclasses.replace(config, num_trajectories=1), 2, make_envs)
    except (ValueError, EnvironmentFailed) as error:
        yield False, str(error)
        return
    with closing(problem.envs):
        try:
            yield from _lines(problem)
        except (ValueError, EnvironmentFailed, FloatingPointError) as error:
            yield False, str(error)


def _lines(problem):
    config, envs = problem.config, problem.envs
    yield True, f"{problem.policy.obs_dim} observations, {problem.policy.act_dim} actions in {envs.single_action_space}"
    for part in config.distribution:
        now = get_numbers(envs, part.name)[0]
        yield True, f"{part.name} is {now!r}; tasks from {part.ends()[0]:.6g} to {part.ends()[1]:.6g}"
    check_tasks(problem)
    yield True, "each end of each range gives other trajectories, and is still set after reset"
    check_step_copy(problem)
    if offered_step(envs):
        yield True, "its step for the compiled loop does what its own step does"
    first, _ = envs.reset(seed=[0, 0])
    again, _ = envs.reset(seed=[0, 0])
    yield True, ("the same seed gives the same start" if np.array_equal(first, again) else
                 "the same seed gives another start: numbers of this environment cannot be made again")
    theta = problem.policy.init(stream(config.seed, INIT), config.log_std, config.dtype)
    share = share_outside(problem, theta)
    yield True, (f"{share:.0%} of the first policy's actions lie outside of the action space"
                 + ("; --set action_scale=… and action_offset=… map them into it" if share > 0.1 else ""))
    tasks = (grid_tasks(config.distribution, 2) * 2)[:2]
    set_tasks(envs, tasks, 1)
    begun = time.perf_counter()
    rollouts = problem.rollout(np.stack([theta] * 2), [stream(0, i) for i in range(2)], list(map(describe, tasks)))
    seconds = time.perf_counter() - begun
    batches = [one.batch() for one in rollouts]
    steps = [len(batch.states) for batch in batches]
    returns = [one.returns[0] for one in rollouts]
    yield True, (f"two episodes of the first policy: {steps[0]} and {steps[1]} steps of at most {config.horizon}, "
                 f"returns {returns[0]:.4g} and {returns[1]:.4g}")
    size = np.sqrt(np.square(np.concatenate([batch.states for batch in batches])).mean(axis=0))
    odd = [f"{j}: {x:.3g}" for j, x in enumerate(size) if x > LARGE or 0 < x < SMALL]
    yield True, ("observations are of the size of 1" if not odd else
                 f"observations of another size than 1, as the policy sees them: {', '.join(odd)}; --set obs_scale=… "
                 "divides them")
    per_iteration = config.num_tasks * config.num_trajectories * (1 + problem.adapt_steps) * np.mean(steps)
    yield True, (f"{sum(steps) / seconds:,.0f} steps a second with two copies; an iteration takes about "
                 f"{per_iteration:,.0f}")
