"""What an environment and its tasks are asked at the border, once, before anything is written.

A task sets an attribute of the environment. Two mistakes are silent without a look: the attribute has no effect (it was
used in `__init__` and never again), or `reset` draws it anew. Either way a program would train on other tasks than it
was asked to. A third: the step that it offers for the compiled loop is not the one that it takes itself.
"""

import math
import numbers
import re
import sys
import time

import gymnasium
import numpy as np

from ..kernels.rollout import compile_step, offered_step
from .foreign import describe_error, get_numbers
from .rollout import scale_observations
from .tasks import Uniform, set_tasks

SECONDS = 2.0  # at most, for an effect to show
DRAWS = 200  # of the first policy's actions
TOLD = 0.5  # the share of them outside of the action space from which on it is told: exploration noise alone is less


def require_number(envs, name):
    """Raise ValueError unless `name` is a number of the environment's own; ask without calling anything."""
    head = re.match(r"\w*", name).group()
    if hasattr(gymnasium.Env, head) or hasattr(gymnasium.vector.VectorEnv, head) or head.startswith("_"):
        raise ValueError(f"vary: expected a number of the environment's own; {head!r} belongs to every environment")
    try:
        values = get_numbers(envs, name)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"vary: the environment has no number {name} ({error})") from None
    for value in values:
        if not isinstance(value, numbers.Real | np.bool) and not (isinstance(value, np.ndarray) and value.ndim == 0):
            raise ValueError(f"vary: expected a number; {name} is {value!r:.60}")


def tell_lost_noise(config):
    """Say on stderr if the first policy's noise is lost in rounding, so that what is learned from is rounding."""
    least = math.log(np.finfo(config.dtype).eps)
    if config.log_std < least:
        print(f"minorml: log_std is {config.log_std:g}: noise below e^{least:.3g} is lost where it is added to an "
              f"action of 1 in {config.dtype}, and what is learned from is rounding", file=sys.stderr)


def tell_integers(problem):
    """Say on stderr if what is an integer in the environment is to be set to real numbers. Before any task is set."""
    for part in problem.config.distribution:
        now = get_numbers(problem.envs, part.name)[0]
        if isinstance(now, numbers.Integral) and isinstance(part, Uniform):
            print(f"minorml: {part.name} is an integer in the environment, {now}, and is set to real numbers",
                  file=sys.stderr)


def check_tasks(problem):
    """Look at a problem of two tasks with a single copy each.

    Raises
    ------
    ValueError : an attribute is another after `reset` than was set, or makes no difference to trajectories
    """
    distribution = problem.config.distribution
    others = [{part.name: part.ends()[end] for part in distribution} for end in (0, 1)]  # one may switch another off
    for part in distribution:
        ends, steps = part.ends(), 0
        if ends[0] == ends[1]:
            continue
        for other in others if len(distribution) > 1 else others[:1]:
            set_tasks(problem.envs, [{**other, part.name: end} for end in ends], 1)
            steps = _steps_until_they_differ(problem, part.name, ends)
            if steps is None:
                break
        if steps is not None:
            raise ValueError(f"vary: {part.name} = {ends[0]:.6g} and {ends[1]:.6g} gave the same trajectories for "
                             f"{steps} steps, from the same seed and actions: the attribute has no effect (is it used "
                             "in __init__ alone, or in a wrapper of its own?)")


def _steps_until_they_differ(problem, name, ends):
    """Step both copies with the same seed and actions → how many steps they were alike, or None if they differ.

    What raises here, or is not finite, is left to the first rollout, which names the task and the step.
    """
    envs = problem.envs
    space, rng, end, steps = envs.single_action_space, np.random.default_rng(0), time.monotonic() + SECONDS, 0
    try:
        observations, _ = envs.reset(seed=[0, 0])
    except Exception:
        return None
    _require_still_set(envs, name, ends)
    try:
        for _ in range(problem.config.horizon):
            steps += 1
            action = problem.scale_actions(rng.normal(size=space.shape).astype(np.float32))
            action = np.clip(action, space.low, space.high).astype(space.dtype)
            before, (observations, *outcome, _) = observations, envs.step(np.stack([action, action]))
            seen = [*before, *observations, *outcome]
            if not all(np.isfinite(x).all() for x in seen) or not all(len(x) == 2 and np.array_equal(*x)
                                                                      for x in (before, observations, *outcome)):
                return None
            if np.any(outcome[1:]) or time.monotonic() > end:
                break
        return steps
    except Exception:
        return None


def _require_still_set(envs, name, ends):
    found = [float(value) for value in get_numbers(envs, name)]
    if not np.allclose(found, ends, rtol=1e-6):
        raise ValueError(f"vary: {name} was set to {ends[0]:.6g} and {ends[1]:.6g}, and is {found[0]:.6g} and "
                         f"{found[1]:.6g} after reset: the environment draws or overwrites it there")


def check_step_copy(problem):
    """Compare the step that the environments offer for the compiled loop, if they do, with the one that they take.

    Raises
    ------
    ValueError : it raises, does something else, or cannot be compiled
    """
    envs, config, step = problem.envs, problem.config, offered_step(problem.envs)
    if step is None:
        return
    rng, space, N = np.random.default_rng(0), envs.single_action_space, envs.num_envs
    set_tasks(envs, [{part.name: part.ends()[k % 2] for part in config.distribution} for k in range(N)], 1)
    envs.reset(seed=list(range(N)))
    for t in range(min(config.horizon, envs.max_episode_steps or config.horizon)):
        actions = np.clip(rng.normal(size=(N, *space.shape)), space.low, space.high)
        states, constants = (np.array(values, np.float64) for values in envs.copies())
        seen = np.zeros((N, problem.policy.obs_dim))
        try:  # in Python, where an index out of range is an error
            outcomes = [step(*rows) for rows in zip(states, actions, constants, seen)]
            rewards, ended = np.array(outcomes, np.float64).reshape(N, 2).T
        except Exception as error:
            raise ValueError(f"step_copy: {describe_error(error)}, in step {t}") from error
        observations, *expected, _, _ = envs.step(actions)
        for name, ours, theirs in zip(("observation", "reward", "terminated"), (seen, rewards, ended),
                                      (observations, *expected)):
            for k in range(N):
                if not np.allclose(ours[k], theirs[k], rtol=1e-9, atol=1e-9, equal_nan=True):
                    raise ValueError(f"step_copy: in step {t} its {name} is {ours[k]}, that of the environment's own "
                                     f"step {theirs[k]}")
        if np.any(expected[1]):
            break
    compile_step(step)


def tell_actions_outside(problem, theta):
    """Say on stderr if many of the first policy's actions lie outside of the environment's action space."""
    try:
        share = share_outside(problem, theta)
    except Exception:  # left to the first rollout
        return
    if share > TOLD:
        print(f"minorml: {share:.0%} of the first policy's actions lie outside of the environment's "
              f"{problem.envs.single_action_space}, and are likely to be clipped there; action_scale and action_offset "
              "map them into it", file=sys.stderr)


def share_outside(problem, theta):
    """The share of a policy's actions, at the start of an episode, outside of the environment's action space."""
    envs, space = problem.envs, problem.envs.single_action_space
    observations, _ = envs.reset(seed=[0] * envs.num_envs)
    seen = scale_observations(observations[:1], problem.config.obs_scale).astype(theta.dtype)
    noise = np.random.default_rng(0).normal(size=(1, DRAWS, problem.policy.act_dim)).astype(theta.dtype)
    actions = problem.policy.actions(theta[None], np.repeat(seen[None], DRAWS, axis=1), noise)
    actions = problem.scale_actions(actions[0])
    return np.mean(((actions < space.low) | (actions > space.high)).any(axis=-1))
