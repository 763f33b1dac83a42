"""Whole episodes, compiled: the policy, its noise and the environment's step in one loop. See `minorml/rl/rollout.py`.

An environment that is to be stepped here, a vector of N copies, has

    step_copy           a function (state (D,), action (U,), constants (C,), observation (S,)) → reward, terminated.
                        All arrays are float64. It changes `state` into the next one and fills `observation`. Numba
                        compiles it; what it calls must stand in the same file, and nothing in it may be random
    copies()            the copies' states (N, D) as they are now, and the constants (N, C) of their tasks
    max_episode_steps   the step at which an episode is cut off, or None

The numbers of one copy do not depend on how many others live.
"""

import functools
import inspect
from pathlib import Path

import numba
import numpy as np
from numba.core.ccallback import CFunc
from numba.types import boolean, float64, intp, void

from .activation import NUMBERS
from .network import aligned, forward_block, lines_of, stacked
from .registry import EXACT, compile_exactly, helper, kept_on_disk  # each compiled function has a name of its own
from .tile import VECTOR_BYTES

NOT_FINITE = "nothing", "action", "observation", "reward"
STEP_COPIES = (intp[::1], *[float64[:, ::1]] * 4, float64[::1], boolean[::1]), void  # arguments, result


def offered_step(envs):
    """The step that a vector of environments offers, or None. A wrapper's steps are its own."""
    return None if numba.config.DISABLE_JIT else getattr(type(envs), "step_copy", None)


@functools.cache
def compile_step(step_copy):
    """A step of those copies that live. The loop below calls it by its address, and is compiled once for all systems.

    Raises
    ------
    ValueError : Numba cannot compile it
    """
    step = numba.njit(**EXACT)(step_copy)

    def step_copies(living, states, actions, constants, observations, rewards, terminated):
        for k in living:
            rewards[k], terminated[k] = step(states[k], actions[k], constants[k], observations[k])

    step_copies.__qualname__ = f"{step_copy.__module__}.{step_copy.__qualname__}"  # one for each: it names machine code
    compiled = CFunc(step_copies, STEP_COPIES, {}, dict(EXACT))
    if "<locals>" not in step_copy.__qualname__ and Path(inspect.getsourcefile(step_copy) or "").is_file():
        kept_on_disk(compiled, step_copies, inspect.getsourcefile(step_copy))  # its text says all that it does
    try:
        compiled.compile()
    except numba.core.errors.NumbaError as error:
        raise ValueError(f"step_copy: Numba cannot compile it: {str(error).strip().splitlines()[-1]}") from error
    return compiled


@helper
def _finite(row):
    for x in row:
        if not np.isfinite(x):
            return False
    return True


@compile_exactly
def _rollout(step_copies, activation, widths, thetas, stds, noise, obs_scale, action_scale, action_offset, now,
             constants, observations, room, states, actions, rewards, alive):
    """Fill the last four → an index of NOT_FINITE, task, copy, step. now : the copies' states; room : for a block"""
    (M, K, _, U), S, L = actions.shape, states.shape[3], lines_of(widths)
    lanes = VECTOR_BYTES // states.itemsize
    controls, reward, ended = np.empty((K, U)), np.empty(K), np.empty(K, np.bool_)
    living, count = np.empty(K, np.intp), 0  # the first `count` of it
    for i in range(M):
        for k in range(K):
            living[k] = k
        count = K
        for t in range(noise.shape[1]):
            if count == 0:
                break
            R = -(-count // lanes) * lanes
            block = room[:L * R].reshape(L, R)
            for r in range(count):
                for j in range(S):
                    block[j, r] = states[i, living[r], t, j]
            block[:S, count:] = 0
            forward_block(activation, widths, thetas[i, :-U], block)
            for r in range(count):
                k = living[r]
                alive[i, k, t] = True
                for u in range(U):
                    actions[i, k, t, u] = block[L - U + u, r] + stds[i, u] * noise[i, t, k, u]
                    controls[k, u] = actions[i, k, t, u] * action_scale[u] + action_offset[u]
                if not _finite(controls[k]):
                    return 1, i, k, t
            step_copies(living[:count], now[i], controls, constants[i], observations, reward, ended)
            left = 0
            for r in range(count):
                k = living[r]
                rewards[i, k, t] = reward[k]
                for j in range(S):
                    states[i, k, t + 1, j] = observations[k, j] / obs_scale[j]
                if not _finite(states[i, k, t + 1]):
                    return 2, i, k, t
                if not np.isfinite(reward[k]):
                    return 3, i, k, t
                if not ended[k]:
                    living[left] = k
                    left += 1
            count = left
    return 0, 0, 0, 0


def rollout(step_copies, policy, scales, thetas, noise, now, constants, states, actions, rewards, alive):
    """Fill the last four, which have a row for each of M tasks; the first observations are there.

    Parameters
    ----------
    step_copies : by `compile_step`
    scales : obs_scale (S,), action_scale (U,), action_offset (U,)
    thetas, noise : (M, P), (M, T, K, U)
    now, constants : the copies' states (M, K, D), which are changed, and (M, K, C)
    states, actions, rewards, alive : (M, K, T+1, S), (M, K, T, U), (M, K, T), (M, K, T)

    Returns
    -------
    None, or what was not finite: its name, the task, the copy, the step.
    """
    (_, K, _, S), dtype, widths = states.shape, states.dtype, np.array(policy.mlp.sizes)
    thetas = stacked(thetas, 2)
    most = -(-K * dtype.itemsize // VECTOR_BYTES) * VECTOR_BYTES // dtype.itemsize
    what, *where = _rollout(step_copies, NUMBERS[policy.mlp.activation.name], widths, thetas,
                            np.exp(policy.split(thetas)[1]), noise, *scales, now, constants, np.zeros((K, S)),
                            aligned(((widths.sum() + len(widths) - 1) * most,), dtype), states, actions, rewards, alive)
    return (NOT_FINITE[what], *where) if what else None
