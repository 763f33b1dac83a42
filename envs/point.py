"""The point agent: a point in the plane whose actions are turned by an unknown angle.

    p' = clip(p + R(φ) clip(a, −1, 1), −2, 2),    R(φ) = [[cos φ, −sin φ], [sin φ, cos φ]]       (point.1)

    start (0, 0), goal (1, 0), observation p/2 ∈ [−1, 1]²
    task: the rotation φ (radians), uniform in [−π, π] in the paper
    shaped reward −‖p' − goal‖, 10 steps
    sparse reward −1 for every step, ended within 0.1 of the goal, 100 steps

The observation shows where the point is, never how its actions are turned: only transitions tell that
(Yang et al. 2019, sec. 5.1).
"""

import numpy as np
from gymnasium.spaces import Box

from .base import TaskEnv, TaskVectorEnv, task_attribute

GOAL = np.array([1.0, 0.0])
GOAL_RADIUS = 0.1  # the sparse task ends within it
LIMIT = 2.0  # the plane is [−LIMIT, LIMIT]²


class PointRotationVectorEnv(TaskVectorEnv):
    """Copies of the point agent (point.1); the task attribute is `rotation`, in radians."""

    task_attributes = {"rotation": 0.0}
    single_observation_space = Box(-1.0, 1.0, (2,), np.float64)
    single_action_space = Box(-1.0, 1.0, (2,), np.float64)

    def __init__(self, num_envs=1, max_episode_steps=None, render_mode=None, sparse=False):
        super().__init__(num_envs, max_episode_steps, render_mode)
        self.sparse = sparse

    def _start(self, copies):
        return np.zeros((len(copies), 2))

    def _advance(self, states, actions):
        a = np.clip(actions, -1, 1)
        cos, sin = np.cos(self._task["rotation"]), np.sin(self._task["rotation"])
        moved = np.stack([cos * a[:, 0] - sin * a[:, 1], sin * a[:, 0] + cos * a[:, 1]], axis=1)
        states = np.clip(states + moved, -LIMIT, LIMIT)
        distance = np.hypot(*(states - GOAL).T)
        if self.sparse:
            return states, np.full(len(states), -1.0), distance < GOAL_RADIUS
        return states, -distance, np.zeros(len(states), bool)

    def _observe(self, states):
        return states / LIMIT


class PointRotationEnv(TaskEnv):
    """One point agent (point.1)."""

    vector_class = PointRotationVectorEnv
    rotation = task_attribute("rotation")
