"""Sampling the half cheetah with a policy in the loop, against bare MuJoCo replaying the same controls."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from benchmarks.page import Ratio, Times
from benchmarks.timing import in_turn
from envs.cheetah import FRAME_SKIP, mujoco  # it chooses how MuJoCo draws
from minorml.experiments.trained import initial_state
from minorml.parallel.share import Share
from minorml.parallel.workers import WorkerPool
from minorml.rl.presets import preset

STEPS = 100


def main(page):
    config = dataclasses.replace(preset("cheetah/dr"), horizon=STEPS)
    with (closing(Share(config, range(config.num_tasks))) as share, WorkerPool(config, workers=2) as processes,
          ThreadPoolExecutor() as pool):
        envs = share.problem.envs.unwrapped
        meta = initial_state(share.problem).meta
        starts = start_states(share)
        trajectories = share.problem.rollout(np.stack([meta.theta] * config.num_tasks), share.begin(0)[1])
        last = envs._now.copy()
        lengths = np.concatenate([one.alive.sum(axis=1) for one in trajectories])
        actions = np.clip(np.concatenate([one.actions for one in trajectories]).astype(np.float64), -1, 1)
        swapped = np.array(envs.get_attr("swapped"), bool)
        controls = np.where(swapped[:, None, None], envs._wrongly(actions), actions)

        def replay(copies):
            for i in copies:
                data = envs._data[i]
                mujoco.mj_resetData(envs._model, data)
                data.qpos[:], data.qvel[:] = np.split(starts[i], 2)
                mujoco.mj_forward(envs._model, data)
                for t in range(lengths[i]):
                    data.ctrl[:] = controls[i, t]
                    mujoco.mj_step(envs._model, data, FRAME_SKIP)

        def bare():
            list(pool.map(replay, np.array_split(np.arange(envs.num_envs), envs.num_threads)))

        bare()  # the same simulations, to the last bit; and as many steps
        np.testing.assert_array_equal([np.concatenate([data.qpos, data.qvel]) for data in envs._data], last)
        assert [sum(one.env_steps for one in who.sample(meta, 0)) for who in (share, processes)] == [lengths.sum()] * 2
        *in_loop, alone = in_turn(lambda: share.sample(meta, 0), lambda: processes.sample(meta, 0), bare,
                                  repetitions=page.turns(30), warm_up=1)
        table = page.table("Sampling the half cheetah", f"{lengths.sum():,} steps of {envs.num_envs} copies on "
                           f"{envs.num_threads} cores; milliseconds. Bare: `mj_step` in threads, the same controls.",
                           ["who", "policy in the loop", "bare", "share of bare speed", "steps per second"])
        for who, times in zip((f"one process, {envs.num_threads} threads", "two processes"), in_loop):
            table.row(who, Times(times), Times(alone), Ratio(alone, times), f"{lengths.sum() / np.median(times):,.0f}")


def start_states(share):
    """The states that the first iteration's rollout starts from: (N, 18)."""
    _, rngs = share.begin(0)
    config, envs = share.problem.config, share.problem.envs
    for rng in rngs:
        rng.standard_normal((STEPS, config.num_trajectories, 6))  # a rollout draws its noise first
    envs.reset(seed=[int(n) for rng in rngs for n in rng.integers(2**31, size=config.num_trajectories)])
    return envs.unwrapped._now.copy()
