"""Sampling: K trajectories on each of M tasks, all M·K of them in lock-step.

    environment (i, k) = copy i·K + k of the vector environment

              t = 0      1      2   …  T−1    T
    states      s_0    s_1    s_2   …  s_T−1  s_T       (K, T+1, S)
    actions     a_0    a_1    a_2   …  a_T−1            (K, T, U)
    alive        1      1      1    …    0              (K, T)   1: the episode had not ended before step t

An episode that ends before T leaves dead rows behind, which are never used. Gymnasium's NEXT_STEP autoreset starts a
new episode in those rows; it is not recorded. An environment with a method `rest` is told which of its copies are no
longer recorded, and need not simulate them.

An environment that offers a step for the compiled loop of `minorml/kernels/rollout.py` is reset through Gymnasium, and
stepped there.
"""

from typing import NamedTuple

import numpy as np

from ..kernels import rollout as compiled
from ..kernels.registry import FAST_DTYPES
from ..meta import Batch
from .foreign import told
from .threads import FEWEST_ROWS, in_threads


class Trajectories(NamedTuple):
    """K trajectories of one task."""

    states: np.ndarray  # (K, T+1, S)
    actions: np.ndarray  # (K, T, U)
    log_probs: np.ndarray | None  # (K, T) under the policy that sampled; None: not known, it has the present parameters
    rewards: np.ndarray  # (K, T), 0 in dead rows
    alive: np.ndarray  # (K, T)

    @property
    def returns(self):
        """The undiscounted return of each trajectory, (K,)."""
        return self.rewards.sum(axis=1)

    def batch(self, advantages=None):
        """The N live rows, one trajectory after the other."""
        return Batch(self.live(self.states[:, :-1]), self.live(self.actions), self.live(self.states[:, 1:]),
                     advantages, None if self.log_probs is None else self.live(self.log_probs))

    def live(self, values):
        """The live rows of an array (K, T, …), one trajectory after the other: (N, …)."""
        return values.reshape(-1, *values.shape[2:]) if self.alive.all() else values[self.alive]  # the first is faster


def rollout(envs, policy, thetas, horizon, rngs, obs_scale=(), action_scale=(), names=None, action_offset=()):
    """Sample from M policies, each on its own task.

    Parameters
    ----------
    envs : gymnasium.vector.VectorEnv of M·K copies, with the tasks already set
    policy : GaussianPolicy
    thetas : (M, P), one row of parameters per task; their dtype is that of the trajectories
    horizon : T, the most steps of an episode
    rngs : M random generators, one per task: a task's numbers do not depend on its neighbours
    obs_scale, action_scale, action_offset : (S,), (U,), (U,) the policy sees observations divided by the first; the
        environment gets its actions multiplied by the second, plus the third
    names : what error messages call the tasks; default: their numbers

    Returns
    -------
    M `Trajectories`.

    Raises
    ------
    EnvironmentFailed : an environment raised
    FloatingPointError : a parameter, action, observation or reward is not finite, or log σ has exploded
    """
    M, K, T = len(thetas), envs.num_envs // len(thetas), horizon
    noise = np.stack([rng.standard_normal((T, K, policy.act_dim)) for rng in rngs]).astype(thetas.dtype)
    names = names or list(range(M))
    _require_sane(policy, thetas, names)
    sampled = Trajectories(  # of all tasks
        np.zeros((M, K, T + 1, policy.obs_dim), thetas.dtype), np.zeros((M, K, T, policy.act_dim), thetas.dtype),
        policy.noise_log_prob(thetas, noise).swapaxes(1, 2), np.zeros((M, K, T)), np.zeros((M, K, T), bool))
    with told("reset", names, K):
        observations, _ = envs.reset(seed=[int(n) for rng in rngs for n in rng.integers(2**31, size=K)])
        sampled.states[:, :, 0] = _seen(observations, obs_scale, sampled.states[:, :, 0])
    _require_finite("observation", sampled.states[:, :, 0], np.ones((M, K), bool), "reset", names)
    sample = _in_one_loop if compiled.offered_step(envs) and thetas.dtype in FAST_DTYPES else _step_by_step
    sample(envs, policy, thetas, noise, (obs_scale, action_scale, action_offset), names, sampled)
    return [Trajectories(*arrays) for arrays in zip(*sampled)]


def _in_one_loop(envs, policy, thetas, noise, scales, names, sampled):
    """Fill `sampled`, whose first states are there: some tasks at a time, in threads."""
    M, K, T, _ = sampled.actions.shape
    neutral = np.ones(policy.obs_dim), np.ones(policy.act_dim), np.zeros(policy.act_dim)
    dtypes = np.float64, thetas.dtype, thetas.dtype
    scales = [np.asarray(given if len(given) else none, dtype) for given, none, dtype in zip(scales, neutral, dtypes)]
    step_copies = compiled.compile_step(compiled.offered_step(envs))
    tasks = [thetas, noise[:, :envs.max_episode_steps],
             *(np.array(values, np.float64).reshape(M, K, -1) for values in envs.copies()),
             sampled.states, sampled.actions, sampled.rewards, sampled.alive]
    together = -(-FEWEST_ROWS // (K * T))
    cuts = [slice(i, i + together) for i in range(0, M, together)]
    found = in_threads(lambda cut: compiled.rollout(step_copies, policy, scales, *(x[cut] for x in tasks)), cuts)
    for cut, odd in zip(cuts, found):
        if odd:
            name, i, k, t = odd
            mine = Trajectories(*(x[cut][i, k] for x in sampled))
            value = {"action": scale_actions(mine.actions[t], *scales[1:]), "observation": mine.states[t + 1],
                     "reward": mine.rewards[t]}[name]
            raise _not_finite(name, value, names[cut][i], k, f"step {t}")


def _step_by_step(envs, policy, thetas, noise, scales, names, sampled):
    """Fill `sampled`, whose first states are there: through Gymnasium, all copies in lock-step."""
    obs_scale, action_scale, action_offset = scales
    M, K, T, U = sampled.actions.shape
    s, living = sampled.states[:, :, 0], np.ones((M, K), bool)
    rest = getattr(envs, "rest", lambda copies: None)
    for t in range(T):
        a = policy.actions(thetas, s, noise[:, t])
        scaled = scale_actions(a, action_scale, action_offset)
        _require_finite("action", scaled, living, f"step {t}", names)
        with told(f"step {t}", names, K):
            observations, reward, terminated, truncated, _ = envs.step(scaled.reshape(M * K, U))
            s = sampled.states[:, :, t + 1] = _seen(observations, obs_scale, s)
        reward = np.reshape(reward, (M, K))
        _require_finite("observation", s, living, f"step {t}", names)
        _require_finite("reward", reward, living, f"step {t}", names)
        sampled.actions[:, :, t], sampled.alive[:, :, t] = a, living
        sampled.rewards[:, :, t] = np.where(living, reward, 0)
        living = living & ~np.reshape(terminated | truncated, (M, K))
        if not living.any():
            break
        rest(~living.ravel())


def _seen(observations, obs_scale, like):
    """What the policies see of all copies' observations, in the shape (M, K, S) and the dtype of `like`."""
    (M, K, S), given = like.shape, np.shape(observations)
    if given != (M * K, S):
        raise ValueError(f"observation: expected shape {(M * K, S)}; given {given}")
    return scale_observations(observations, obs_scale).reshape(like.shape).astype(like.dtype)


def scale_observations(observations, obs_scale):
    """What the policy sees of observations (..., S): divided by `obs_scale`, if there is one. In float64."""
    observations = np.asarray(observations, np.float64)
    return observations / obs_scale if len(obs_scale) else observations


def scale_actions(a, action_scale, action_offset=()):
    """What the environment gets of actions (..., U): multiplied by `action_scale`, plus `action_offset`, if given."""
    scaled = a * np.asarray(action_scale, a.dtype) if len(action_scale) else a
    return scaled + np.asarray(action_offset, a.dtype) if len(action_offset) else scaled


def unscale_actions(actions, action_scale, action_offset=()):
    """The policy's actions of what the environment got (..., U): the inverse of `scale_actions`. In float64."""
    actions = np.asarray(actions, np.float64)
    actions = actions - np.asarray(action_offset) if len(action_offset) else actions
    return actions / np.asarray(action_scale) if len(action_scale) else actions


def _require_sane(policy, thetas, names):
    """Name a parameter that cannot be sampled with: before it has turned everything else to NaN."""
    with np.errstate(over="ignore"):
        std = np.exp(policy.split(thetas)[1])
    for name, good in (("theta", np.isfinite(thetas)), ("log σ", np.isfinite(std) & (std > 0))):
        if not good.all():
            i = int(np.argmin(good.all(axis=-1)))
            raise FloatingPointError(f"{name} of task {names[i]}: expected finite numbers with 0 < e^(log σ) < ∞; "
                                     f"log σ is {policy.split(thetas)[1][i]}")


def _require_finite(name, values, living, when, names):
    if np.isfinite(values).all():
        return
    finite = np.isfinite(values).reshape(*living.shape, -1).all(axis=-1) | ~living
    if not finite.all():
        i, k = np.unravel_index(np.argmin(finite), living.shape)
        raise _not_finite(name, values[i, k], names[i], k, when)


def _not_finite(name, value, task, k, when):
    return FloatingPointError(f"{name}: expected finite numbers; given {value} in task {task}, trajectory {k}, {when}")
