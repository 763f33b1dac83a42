"""The cart-pole whose angle sensor is biased: a pole hinged to a cart, balanced by pushing the cart.

    f = 10 clip(a, −1, 1) N
    τ = (f + m l θ̇² sin θ) / (m + M)
    θ̈ = (g sin θ − τ cos θ) / (l (4/3 − m cos² θ / (m + M)))
    ẍ = τ − m l θ̈ cos θ / (m + M)                                                            (cartpole.1)

    explicit Euler, 0.02 s:  (x, ẋ, θ, θ̇) ← (x + 0.02 ẋ, ẋ + 0.02 ẍ, θ + 0.02 θ̇, θ̇ + 0.02 θ̈)
    start: each of the four uniform in [−0.05, 0.05]
    ended when |x| > 2.4 m or |θ| > 12°, by the true angle; at most 500 steps
    reward 1 for every step after which the pole still stands, 0 for the step that ends the episode by itself:
    500 for a pole that stands to the end, where Gymnasium counts the fall itself too
    observation (x, ẋ, θ + b, θ̇) / (4.8, 3, 0.418, 3)
    task: the bias b, `angle_bias` (radians), uniform in ±10° in the paper (Yang et al. 2019)

Constants and order of operations are those of Gymnasium's CartPole-v1 (Barto, Sutton and Anderson 1983; the
equations are Florian's, 2007): with actions ±1 the states are the same to the last bit.
"""

import math

import numpy as np
from gymnasium.spaces import Box

from .base import TaskEnv, TaskVectorEnv, task_attribute
from .drawing import Canvas

GRAVITY = 9.8  # m/s²
POLE_MASS, TOTAL_MASS = 0.1, 0.1 + 1.0  # kg
POLE_LENGTH = 0.5  # m: from the hinge to the centre, half of the pole
POLE_MOMENT = POLE_MASS * POLE_LENGTH  # kg m
FORCE = 10.0  # N, of an action 1
TIME_STEP = 0.02  # s
MAX_X = 2.4  # m
MAX_ANGLE = 12 * 2 * np.pi / 360  # rad
START = 0.05
SCALE = np.array([4.8, 3.0, 0.418, 3.0])  # of the observation


class CartPoleSensorBiasVectorEnv(TaskVectorEnv):
    """Copies of the cart-pole (cartpole.1); the task attribute is `angle_bias`, in radians."""

    task_attributes = {"angle_bias": 0.0}
    single_observation_space = Box(-np.inf, np.inf, (4,), np.float64)
    single_action_space = Box(-1.0, 1.0, (1,), np.float64)

    def _start(self, copies):
        return np.stack([self._generator(i).uniform(-START, START, 4) for i in copies])

    def _advance(self, states, actions):
        x, x_dot, theta, theta_dot = states.T
        force = FORCE * np.clip(actions[:, 0], -1, 1)
        cos, sin = np.cos(theta), np.sin(theta)
        push = (force + POLE_MOMENT * np.square(theta_dot) * sin) / TOTAL_MASS
        theta_acc = (GRAVITY * sin - cos * push) / (
            POLE_LENGTH * (4.0 / 3.0 - POLE_MASS * np.square(cos) / TOTAL_MASS))
        x_acc = push - POLE_MOMENT * theta_acc * cos / TOTAL_MASS
        states = states + TIME_STEP * np.stack([x_dot, x_acc, theta_dot, theta_acc], axis=1)
        terminated = (np.abs(states[:, 0]) > MAX_X) | (np.abs(states[:, 2]) > MAX_ANGLE)
        return states, np.where(terminated, 0.0, 1.0), terminated

    def _observe(self, states):
        observations = states.copy()
        observations[:, 2] += self._task["angle_bias"]
        return observations / SCALE

    @staticmethod
    def step_copy(state, action, constants, observation):
        """`_advance` and `_observe` of one copy. Sine and cosine are the C library's: a unit in the last place."""
        x, x_dot, theta, theta_dot = state[0], state[1], state[2], state[3]
        force = FORCE * min(max(action[0], -1.0), 1.0)
        cos, sin = math.cos(theta), math.sin(theta)
        push = (force + POLE_MOMENT * (theta_dot * theta_dot) * sin) / TOTAL_MASS
        theta_acc = (GRAVITY * sin - cos * push) / (POLE_LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS))
        x_acc = push - POLE_MOMENT * theta_acc * cos / TOTAL_MASS
        state[0], state[1] = x + TIME_STEP * x_dot, x_dot + TIME_STEP * x_acc
        state[2], state[3] = theta + TIME_STEP * theta_dot, theta_dot + TIME_STEP * theta_acc
        for j in range(4):
            observation[j] = (state[j] + constants[0] if j == 2 else state[j]) / SCALE[j]
        terminated = abs(state[0]) > MAX_X or abs(state[2]) > MAX_ANGLE
        return (0.0 if terminated else 1.0), terminated


class CartPoleSensorBiasEnv(TaskEnv):
    """One cart-pole (cartpole.1), drawn with the pole that the sensor reports behind the true one."""

    vector_class = CartPoleSensorBiasVectorEnv
    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}
    angle_bias = task_attribute("angle_bias")

    def _draw(self):
        x, _, theta, _ = self._trail[-1]
        hinge = np.array([x, 0.0])
        canvas = Canvas((-2.6, 2.6), (-1.2, 1.92), width=400)
        canvas.line([(-2.6, -0.2), (2.6, -0.2)], "gray", 0.02)
        for end in (-MAX_X, MAX_X):
            canvas.line([(end, -0.35), (end, -0.05)], "gray", 0.02)
        for angle, colour, width in [(theta + self.angle_bias, "lightsteelblue", 0.04), (theta, "peru", 0.12)]:
            tip = hinge + 2 * POLE_LENGTH * np.array([np.sin(angle), np.cos(angle)])
            canvas.line([hinge, tip], colour, width)
        canvas.polygon(hinge + np.array([(-0.3, -0.2), (0.3, -0.2), (0.3, 0.1), (-0.3, 0.1)]), "darkslategray")
        canvas.disc(hinge, 0.06, "lightsteelblue")
        return canvas.pixels()
