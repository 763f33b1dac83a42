"""Recording a simulated robot: what its environments are given and give back, in their own units."""

import numpy as np

from .recording import Recording


class Recorder:
    """Environments, as `rollout` uses them, that remember what happened since their last reset.

    It is no gymnasium.vector.VectorWrapper, which in old versions closes the environments when it is thrown away.
    """

    def __init__(self, env):
        self.env, self.num_envs = env, env.num_envs

    def reset(self, **options):
        observations, info = self.env.reset(**options)
        self.states, self.actions, self.rewards, self.ended = [np.array(observations)], [], [], []
        return observations, info

    def step(self, actions):
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        for kept, values in ((self.states, observations), (self.actions, actions), (self.rewards, rewards),
                             (self.ended, terminated | truncated)):
            kept.append(np.array(values))
        return observations, rewards, terminated, truncated, info

    def rest(self, copies):
        """Not every environment has it."""
        getattr(self.env, "rest", lambda copies: None)(copies)

    def recording(self, copies):
        """The Recording of these copies (a slice)."""
        states, actions, rewards, ended = (np.stack(kept)[:, copies] for kept in
                                           (self.states, self.actions, self.rewards, self.ended))
        lengths = np.where(ended.any(axis=0), ended.argmax(axis=0) + 1, len(ended))
        return Recording([states[:n + 1, k] for k, n in enumerate(lengths)],
                         [actions[:n, k] for k, n in enumerate(lengths)],
                         [rewards[:n, k] for k, n in enumerate(lengths)])


def record(problem, thetas, rngs, names=None):
    """K episodes on each task that is set, by the policies θ (M, P) → M `Recording`s. `names`: of the tasks."""
    recorder = Recorder(problem.envs)
    problem._replace(envs=recorder).rollout(thetas, rngs, names)
    K = problem.config.num_trajectories
    return [recorder.recording(slice(i * K, (i + 1) * K)) for i in range(len(thetas))]
