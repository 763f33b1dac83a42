"""The point agent: a point in the plane that moves by its action, turned by an angle that it does not know.

    p' = clip(p + R(φ) clip(a, −1, 1), −2, 2),    R(φ) = [[cos φ, −sin φ], [sin φ, cos φ]]       (point.1)
    goal = (cos γ, sin γ)                                                                        (point.2)

    start (0, 0), observation p/2 ∈ [−1, 1]²
    shaped reward −‖p' − goal‖
    sparse reward −1 for every step, ended within 0.1 of the goal

| id                               | task, in radians      | reward | steps |
|----------------------------------|-----------------------|--------|-------|
| `minorml/PointRotation-v0`       | `rotation` φ; γ = 0   | shaped | 10    |
| `minorml/PointRotationSparse-v0` | `rotation` φ; γ = 0   | sparse | 100   |
| `minorml/PointGoal-v0`           | `goal_angle` γ; φ = 0 | shaped | 10    |

The paper draws φ uniformly from [−π, π] (Yang et al. 2019). Neither angle is observed. The rotation
changes the dynamics, so transitions without rewards tell it. The goal changes the reward alone: without
rewards there is nothing to tell it by, which makes PointGoal the control experiment.
"""

import numpy as np
from gymnasium.spaces import Box

from .base import TaskEnv, TaskVectorEnv, task_attribute
from .drawing import Canvas

GOAL_RADIUS = 0.1  # the sparse task ends within it
LIMIT = 2.0  # the plane is [−LIMIT, LIMIT]²


class PointVectorEnv(TaskVectorEnv):
    """Copies of the point agent (point.1), (point.2). Subclasses say which of its two angles makes the task."""

    single_observation_space = Box(-1.0, 1.0, (2,), np.float64)
    single_action_space = Box(-1.0, 1.0, (2,), np.float64)

    def __init__(self, num_envs: int = 1, max_episode_steps: int | None = None, render_mode: str | None = None,
                 sparse: bool = False):
        super().__init__(num_envs, max_episode_steps, render_mode)
        self.sparse = sparse

    def _start(self, copies):
        return np.zeros((len(copies), 2))

    def _advance(self, states, actions):
        a = np.clip(actions, -1, 1)
        cos, sin = self._direction("rotation")
        moved = np.stack([cos * a[:, 0] - sin * a[:, 1], sin * a[:, 0] + cos * a[:, 1]], axis=1)
        states = np.clip(states + moved, -LIMIT, LIMIT)  # (point.1)
        goal = np.stack(self._direction("goal_angle"), axis=1)  # (point.2)
        distance = np.hypot(*(states - goal).T)
        if self.sparse:
            return states, np.full(len(states), -1.0), distance < GOAL_RADIUS
        return states, -distance, np.zeros(len(states), bool)

    def _observe(self, states):
        return states / LIMIT

    @staticmethod
    def step_copy(state, action, constants, observation):
        """`_advance` and `_observe` of one copy, to the same bits."""
        cos, sin, goal_x, goal_y, sparse = constants[0], constants[1], constants[2], constants[3], constants[4]
        a_x, a_y = min(max(action[0], -1.0), 1.0), min(max(action[1], -1.0), 1.0)
        state[0] = min(max(state[0] + (cos * a_x - sin * a_y), -LIMIT), LIMIT)  # (point.1)
        state[1] = min(max(state[1] + (sin * a_x + cos * a_y), -LIMIT), LIMIT)
        observation[0], observation[1] = state[0] / LIMIT, state[1] / LIMIT
        distance = np.hypot(state[0] - goal_x, state[1] - goal_y)
        if sparse:
            return -1.0, distance < GOAL_RADIUS
        return -distance, False

    def _constants(self):
        return np.stack([*self._direction("rotation"), *self._direction("goal_angle"),
                         np.full(self.num_envs, float(self.sparse))], axis=1)

    def _direction(self, name):
        """Cosine and sine, each (N,), of an angle: the task's, or 0 where it is no part of the task."""
        angle = self._value(name)
        return np.cos(angle), np.sin(angle)


class PointEnv(TaskEnv):
    """One point agent, drawn with its path, its goal and the way that the action (1, 0) takes it."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def _draw(self):
        (cos,), (sin,) = self._row._direction("rotation")
        (goal,) = np.stack(self._row._direction("goal_angle"), axis=1)
        canvas = Canvas((-1.1 * LIMIT, 1.1 * LIMIT), (-1.1 * LIMIT, 1.1 * LIMIT), width=320)
        canvas.polygon([(-LIMIT, -LIMIT), (LIMIT, -LIMIT), (LIMIT, LIMIT), (-LIMIT, LIMIT)], "white")
        canvas.line([(-LIMIT, 0), (LIMIT, 0)], "gainsboro", 0.01)
        canvas.line([(0, -LIMIT), (0, LIMIT)], "gainsboro", 0.01)
        canvas.disc(goal, GOAL_RADIUS, "mistyrose")
        canvas.star(goal, GOAL_RADIUS, "crimson")
        canvas.line([(0, 0), (cos, sin)], "orange", 0.03)
        canvas.line(self._trail, "steelblue", 0.03)
        for p in self._trail:
            canvas.disc(p, 0.04, "steelblue")
        canvas.disc(self._trail[-1], 0.08, "midnightblue")
        return canvas.pixels()


class PointRotationVectorEnv(PointVectorEnv):
    """Point agents whose actions are turned: the task attribute is `rotation`, in radians."""

    task_attributes = {"rotation": 0.0}


class PointRotationEnv(PointEnv):
    """One point agent whose actions are turned by `rotation`, in radians."""

    vector_class = PointRotationVectorEnv
    rotation = task_attribute("rotation")


class PointGoalVectorEnv(PointVectorEnv):
    """Point agents whose goals lie elsewhere on the unit circle: the task attribute is `goal_angle`, in radians."""

    task_attributes = {"goal_angle": 0.0}


class PointGoalEnv(PointEnv):
    """One point agent whose goal lies at `goal_angle`, in radians."""

    vector_class = PointGoalVectorEnv
    goal_angle = task_attribute("goal_angle")
