"""Sampling the half cheetah with a policy in the loop, against bare MuJoCo replaying the same controls."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np

from benchmarks.timing import in_turn, spread
from envs.cheetah import FRAME_SKIP, SWAP
from minorml.learner import make_learner
from minorml.presets import preset
from minorml.tasks import grid_tasks, set_tasks
from minorml.train import initial_state

STEPS = 100


def main():
    config = dataclasses.replace(preset("cheetah/norml"), horizon=STEPS)
    tasks = grid_tasks(config.distribution, 2) * 2
    learner = make_learner(config)
    set_tasks(learner.envs, tasks, config.num_trajectories)
    envs = learner.envs.unwrapped
    thetas = np.stack([initial_state(learner).meta.theta] * len(tasks))

    def sample():
        return learner.rollout(thetas, [np.random.default_rng(i) for i in range(len(tasks))])

    trajectories = sample()
    last = envs._now.copy()
    lengths = np.concatenate([one.alive.sum(axis=1) for one in trajectories])
    actions = np.clip(np.concatenate([one.actions for one in trajectories]).astype(np.float64), -1, 1)
    swapped = np.array(envs.get_attr("swapped"), bool)
    controls = np.where(swapped[:, None, None], actions[:, :, SWAP], actions)
    starts = start_states(envs, len(tasks), config.num_trajectories)
    pool = ThreadPoolExecutor(envs.num_threads)

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

    bare()
    np.testing.assert_array_equal([state(data) for data in envs._data], last)  # the same simulation, to the last bit
    in_loop, alone = in_turn(sample, bare, repetitions=30, warm_up=1)
    print("### Sampling the half cheetah\n")
    print(f"{lengths.sum()} steps of {envs.num_envs} copies in {envs.num_threads} threads; milliseconds.\n")
    print("| policy in the loop | bare `mj_step`, same controls | share of bare speed | steps per second |")
    print("|---|---|---|---|")
    print(f"| {spread(in_loop)} | {spread(alone)} | {np.median(alone / in_loop):.0%} | "
          f"{lengths.sum() / np.median(in_loop):,.0f} |\n")
    pool.shutdown()
    learner.envs.close()


def state(data):
    return np.concatenate([data.qpos, data.qvel])


def start_states(envs, num_tasks, copies):
    """The states that a rollout with generators 0, 1, … starts from: (N, 18)."""
    rngs = [np.random.default_rng(i) for i in range(num_tasks)]
    for rng in rngs:
        rng.standard_normal((STEPS, copies, 6))  # a rollout draws its noise first
    envs.reset(seed=[int(n) for rng in rngs for n in rng.integers(2**31, size=copies)])
    return envs._now.copy()
