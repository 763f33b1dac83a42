"""The cart-pole, whose sensor or motor is not as expected: a pole hinged to a cart, balanced by pushing the cart.

    f = 10 w clip(a, −1, 1) N
    τ = (f + m l θ̇² sin θ) / (m + M)
    θ̈ = (g sin θ − τ cos θ) / (l (4/3 − m cos² θ / (m + M)))
    ẍ = τ − m l θ̈ cos θ / (m + M)                                                            (cartpole.1)

    explicit Euler, 0.02 s:  (x, ẋ, θ, θ̇) ← (x + 0.02 ẋ, ẋ + 0.02 ẍ, θ + 0.02 θ̇, θ̇ + 0.02 θ̈)
    start: each of the four uniform in [−0.05, 0.05]
    ended when |x| > 2.4 m or |θ| > 12°, by the true angle; at most 500 steps
    reward 1 for every step after which the pole still stands, 0 for the step that ends the episode by itself:
    500 for a pole that stands to the end, where Gymnasium counts the fall itself too
    observation (x, ẋ, θ + b, θ̇) / (4.8, 3, 0.418, 3)

| id                             | task                     | observation          |
|--------------------------------|--------------------------|----------------------|
| `minorml/CartPoleSensorBias-v0`| `angle_bias` b, radians  | all four             |
| `minorml/CartPolePositions-v0` | `angle_bias` b, radians  | the positions alone  |
| `minorml/CartPoleMotor-v0`     | `reversed`, 0 or 1       | all four             |
| `minorml/CartPoleMotorPole-v0` | `reversed`, 0 or 1       | the pole's two alone |

w is −1 if `reversed`, or else 1. The paper has the first: b uniform in ±10° (Yang et al. 2019). One policy can serve
all of its tasks, since the pole's rate tells when the measured angle is wrong. The others are ours. Where the cart is
seen, a single policy can serve both wirings of the motor: it pushes to the right, and later reads from the cart's place
which way that went. (`docs/original.md`: in the authors' code the rates are lost too.)

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
OBSERVED = {  # of (x, ẋ, θ, θ̇)
    "all": np.array([True, True, True, True]),
    "positions": np.array([True, False, True, False]),
    "pole": np.array([False, False, True, True]),
}


class CartPoleVectorEnv(TaskVectorEnv):
    """Copies of the cart-pole (cartpole.1). Subclasses say what makes its task: the bias or the motor's wiring.

    observed : "all", or "positions" (x, θ + b) alone, or the "pole" (θ + b, θ̇) alone
    """

    single_action_space = Box(-1.0, 1.0, (1,), np.float64)

    def __init__(self, num_envs: int = 1, max_episode_steps: int | None = None, render_mode: str | None = None,
                 observed: str = "all"):
        if observed not in OBSERVED:
            raise ValueError(f"observed: expected one of {', '.join(OBSERVED)}; given {observed!r}")
        self._seen = OBSERVED[observed]
        self.single_observation_space = Box(-np.inf, np.inf, SCALE[self._seen].shape, np.float64)
        super().__init__(num_envs, max_episode_steps, render_mode)

    def _start(self, copies):
        return np.stack([self._generator(i).uniform(-START, START, 4) for i in copies])

    def _advance(self, states, actions):
        x, x_dot, theta, theta_dot = states.T
        force = FORCE * self._wiring() * np.clip(actions[:, 0], -1, 1)
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
        observations[:, 2] += self._value("angle_bias")
        return (observations / SCALE)[:, self._seen]

    @staticmethod
    def step_copy(state, action, constants, observation):
        """`_advance` and `_observe` of one copy. Sine and cosine are the C library's: a unit in the last place."""
        x, x_dot, theta, theta_dot = state[0], state[1], state[2], state[3]
        bias, wiring, seen = constants[0], constants[1], constants[2:]
        force = FORCE * wiring * min(max(action[0], -1.0), 1.0)
        cos, sin = math.cos(theta), math.sin(theta)
        push = (force + POLE_MOMENT * (theta_dot * theta_dot) * sin) / TOTAL_MASS
        theta_acc = (GRAVITY * sin - cos * push) / (POLE_LENGTH * (4.0 / 3.0 - POLE_MASS * (cos * cos) / TOTAL_MASS))
        x_acc = push - POLE_MOMENT * theta_acc * cos / TOTAL_MASS
        state[0], state[1] = x + TIME_STEP * x_dot, x_dot + TIME_STEP * x_acc
        state[2], state[3] = theta + TIME_STEP * theta_dot, theta_dot + TIME_STEP * theta_acc
        j = 0
        for i in range(4):
            if seen[i]:
                observation[j] = (state[i] + bias if i == 2 else state[i]) / SCALE[i]
                j += 1
        terminated = abs(state[0]) > MAX_X or abs(state[2]) > MAX_ANGLE
        return (0.0 if terminated else 1.0), terminated

    def _constants(self):
        seen = np.tile(self._seen, (self.num_envs, 1))
        return np.column_stack([self._value("angle_bias"), self._wiring(), seen])

    def _wiring(self):
        """w of every copy, (N,)."""
        return 1.0 - 2.0 * self._value("reversed")


class CartPoleEnv(TaskEnv):
    """One cart-pole (cartpole.1), drawn with the pole that the sensor reports behind the true one."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}

    def _draw(self):
        x, _, theta, _ = self._trail[-1]
        (bias,) = self._row._value("angle_bias")
        hinge = np.array([x, 0.0])
        canvas = Canvas((-2.6, 2.6), (-1.2, 1.92), width=400)
        canvas.line([(-2.6, -0.2), (2.6, -0.2)], "gray", 0.02)
        for end in (-MAX_X, MAX_X):
            canvas.line([(end, -0.35), (end, -0.05)], "gray", 0.02)
        for angle, colour, width in [(theta + bias, "lightsteelblue", 0.04), (theta, "peru", 0.12)]:
            tip = hinge + 2 * POLE_LENGTH * np.array([np.sin(angle), np.cos(angle)])
            canvas.line([hinge, tip], colour, width)
        canvas.polygon(hinge + np.array([(-0.3, -0.2), (0.3, -0.2), (0.3, 0.1), (-0.3, 0.1)]), "darkslategray")
        canvas.disc(hinge, 0.06, "lightsteelblue")
        return canvas.pixels()


class CartPoleSensorBiasVectorEnv(CartPoleVectorEnv):
    """Cart-poles whose angle sensor is biased: the task attribute is `angle_bias`, in radians."""

    task_attributes = {"angle_bias": 0.0}


class CartPoleSensorBiasEnv(CartPoleEnv):
    """One cart-pole whose angle sensor is biased by `angle_bias`, in radians."""

    vector_class = CartPoleSensorBiasVectorEnv
    angle_bias = task_attribute("angle_bias")


class CartPoleMotorVectorEnv(CartPoleVectorEnv):
    """Cart-poles whose motor may be wired the other way round: the task attribute is `reversed`, 0 or 1."""

    task_attributes = {"reversed": 0}
    switches = {"reversed"}


class CartPoleMotorEnv(CartPoleEnv):
    """One cart-pole, whose motor is wired the other way round if `reversed`, 0 or 1."""

    vector_class = CartPoleMotorVectorEnv
    reversed = task_attribute("reversed")
