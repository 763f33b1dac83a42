"""What the systems share: copies of one system stepped together as arrays, under Gymnasium's two interfaces.

A system is written once, for arrays with one row per copy:

    class MyVectorEnv(TaskVectorEnv):     _start, _advance, _observe, and the attributes that make a task
    class MyEnv(TaskEnv):                 a single copy: the same code with one row, and _draw

A *task* is a set of attributes of the environment, such as the point agent's `rotation`. They are changed
with `set_attr`, one value per copy, and keep their values across resets. A single copy has them as properties.
"""

import copy
import operator
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space


class TaskVectorEnv(gymnasium.vector.VectorEnv):
    """`num_envs` independent copies of a system, stepped in lock-step.

    A copy whose episode has ended is reset by the next step, whose action it ignores (Gymnasium's
    NEXT_STEP autoreset). An episode ends by itself (`terminated`) or after `max_episode_steps` (`truncated`;
    None: never). Arrays that are returned belong to the caller, and the caller's are never written to.

    Subclasses give `task_attributes` (name → first value), `single_observation_space`,
    `single_action_space`, and three methods on arrays with one row per copy: `_start`, `_advance`, `_observe`. They may
    say step and observation once more for one copy, as `step_copy`, for a loop that is compiled.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}
    task_attributes: dict[str, float] = {}
    switches: set[str] = set()  # those of them that are 0 or 1
    step_copy: Callable | None = None  # a static method: `_advance` and `_observe` of one copy, in a form to compile

    def __init__(self, num_envs: int = 1, max_episode_steps: int | None = None, render_mode: str | None = None):
        if num_envs < 1:
            raise ValueError(f"num_envs: expected 1 or more; given {num_envs}")
        if max_episode_steps is not None and max_episode_steps < 1:
            raise ValueError(f"max_episode_steps: expected 1 or more, or None; given {max_episode_steps}")
        if render_mode is not None:
            raise ValueError(f"render_mode: a vector environment draws nothing, expected None; given {render_mode!r}")
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.single_observation_space = copy.deepcopy(self.single_observation_space)  # a space has a generator
        self.single_action_space = copy.deepcopy(self.single_action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._task = {name: np.full(num_envs, value) for name, value in self.task_attributes.items()}
        self._seeds = [None] * num_envs
        self._generators = [None] * num_envs
        self._states = None  # (N, D) from the first reset on
        self._steps = np.zeros(num_envs, int)  # of each copy's episode so far
        self._ended = np.zeros(num_envs, bool)
        self._resting = np.zeros(num_envs, bool)

    def _start(self, copies):
        """Initial states, one row for each of the copies (indices). Randomness: `self._generator(i)`."""
        raise NotImplementedError

    def _advance(self, states, actions):
        """One step of every copy: states (N, D), actions (N, U) → next states, rewards (N,), terminated (N,).

        All three in new arrays. Rows of copies that are not `self._living()` are not looked at.
        """
        raise NotImplementedError

    def _observe(self, states):
        """Observations (N, S) of the states (N, D), in a new array."""
        raise NotImplementedError

    def reset(self, *, seed=None, options=None):
        """Start all copies anew. `seed`: None, one integer (copy i gets seed + i), or one for each copy."""
        if seed is not None:
            seeds = range(seed, seed + self.num_envs) if isinstance(seed, (int, np.integer)) else seed
            if len(seeds) != self.num_envs:
                raise ValueError(f"seed: expected an integer or {self.num_envs} of them; given {len(seeds)}")
            seeds = [None if s is None else operator.index(s) for s in seeds]
            if any(s is not None and s < 0 for s in seeds):
                raise ValueError(f"seed: expected integers >= 0; given {min(s for s in seeds if s is not None)}")
            self._seeds = seeds
            self._generators = [None] * self.num_envs
        self._states = self._start(range(self.num_envs))
        self._steps[:] = 0
        self._ended[:] = False
        self._resting[:] = False
        return self._observe(self._states), {}

    def rest(self, copies):
        """Let these copies (N,) bool stay as they are until the next `reset`, with reward 0: nobody looks at them.

        What a simulation costs is then paid for living copies alone. No part of Gymnasium's interface.
        """
        self._resting |= copies

    def step(self, actions):
        """Step all copies: actions (N, U) → observations (N, S), rewards, terminated, truncated (N,), {}."""
        before, still = self._states, ~self._living()
        rewards, terminated = self._live(actions, self.action_space)
        if still.any():
            self._states[still], self._steps[still] = before[still], 0
            rewards[still], terminated[still] = 0.0, False
        again = np.flatnonzero(self._ended & ~self._resting)
        if len(again):
            self._states[again] = self._start(again)
        truncated = self._steps >= (self.max_episode_steps or np.inf)
        self._ended = terminated | truncated
        return self._observe(self._states), rewards, terminated, truncated, {}

    def copies(self):
        """What `step_copy` takes besides an action: states (N, D), and the constants of each copy's task (N, C)."""
        return self._states, self._constants()

    def _constants(self):
        """The tasks as `step_copy` takes them, (N, C): the task attributes."""
        return np.stack(list(self._task.values()), axis=1)

    def _value(self, name):
        """A task attribute in each copy, (N,): 0 where it is no part of the task."""
        return self._task.get(name, np.zeros(self.num_envs))

    def _living(self):
        """Which copies (N,) a step moves: those that neither have ended nor rest."""
        return ~(self._ended | self._resting)

    def get_attr(self, name):
        """The value of a task attribute in each copy, as a tuple."""
        return tuple(self._task[self._known(name)].tolist())

    def set_attr(self, name, values):
        """Set a task attribute: one value for all copies, or a list with one for each."""
        task = self._task[self._known(name)]
        try:
            given = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"{name}: expected numbers; given {values!r}") from None
        if given.shape not in ((), task.shape):
            raise ValueError(f"{name}: expected one value or {self.num_envs}; given shape {given.shape}")
        if not np.isfinite(given).all():
            raise ValueError(f"{name}: expected finite values; given {values!r}")
        if name in self.switches and not np.isin(given, (0, 1)).all():
            raise ValueError(f"{name}: expected 0 or 1; given {values!r}")
        task[:] = given

    def _known(self, name):
        if name not in self._task:
            raise AttributeError(f"{type(self).__name__} has no task attribute {name!r}; it has "
                                 f"{', '.join(self._task)}")
        return name

    def _generator(self, i):
        """Copy i's random generator, made when first asked for: many systems never do."""
        if self._generators[i] is None:
            self._generators[i], _ = seeding.np_random(self._seeds[i])
        return self._generators[i]

    def _live(self, actions, space):
        """Advance the copies by actions that must lie in the shape of `space` → rewards (N,), terminated (N,)."""
        if self._states is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        actions = np.asarray(actions, np.float64)
        if actions.shape != space.shape:
            raise ValueError(f"action: expected shape {space.shape}; given {actions.shape} in {self._where(0)}")
        actions = actions.reshape(self.action_space.shape)
        finite = np.isfinite(actions).all(axis=1)
        if not finite.all():
            i = int(np.argmin(finite))
            raise ValueError(f"action: expected finite numbers; given {actions[i]} in {self._where(i)}")
        self._states, rewards, terminated = self._advance(self._states, actions)
        self._steps += 1
        return rewards, terminated

    def _where(self, i):
        """Copy i in the words of an error message."""
        task = ", ".join(f"{name}={values[i]:.6g}" for name, values in self._task.items())
        return f"{type(self).__name__}, copy {i}, task {task}, step {self._steps[i]}"


class TaskEnv(gymnasium.Env):
    """One copy of a system: a `TaskVectorEnv` with one row.

    Subclasses name its class in `vector_class`, its attributes with `task_attribute`, and draw in `_draw`.
    """

    vector_class: type[TaskVectorEnv]
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, render_mode: str | None = None, **options: Any):
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode: expected None or 'rgb_array'; given {render_mode!r}")
        self.render_mode = render_mode
        self._row = self.vector_class(num_envs=1, **options)
        self.observation_space = self._row.single_observation_space
        self.action_space = self._row.single_action_space

    def _draw(self):
        """A picture of the present state, (height, width, 3) uint8. `self._trail`: the states since reset, (t+1, D)."""
        raise NotImplementedError

    def reset(self, *, seed=None, options=None):
        """Start anew → observation (S,), {}."""
        super().reset(seed=seed)
        self._row._generators = [self.np_random]
        observations, info = self._row.reset()
        self._trail = self._row._states.copy()
        return observations[0], info

    def step(self, action):
        """Step: action (U,) → observation (S,), reward, terminated, False, {}. The time limit is a wrapper's."""
        rewards, terminated = self._row._live(action, self.action_space)
        if self.render_mode is not None:
            self._trail = np.concatenate([self._trail, self._row._states])
        return self._row._observe(self._row._states)[0], float(rewards[0]), bool(terminated[0]), False, {}

    def render(self):
        """A picture as an array (height, width, 3) of uint8, if made with `render_mode="rgb_array"`."""
        if self.render_mode is None:
            gymnasium.logger.warn("render: nothing is drawn without render_mode='rgb_array'")
            return None
        if self._row._states is None:
            raise gymnasium.error.ResetNeeded("call reset before render")
        return self._draw()

    def close(self):
        self._row.close()


def task_attribute(name):
    """A property of a `TaskEnv` that reads and writes a task attribute of its one row."""

    def read(env):
        return env._row.get_attr(name)[0]

    def write(env, value):
        env._row.set_attr(name, value)

    return property(read, write)
