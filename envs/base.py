"""What the systems share: copies of one system stepped together as arrays, under Gymnasium's two interfaces.

A system is written once, for arrays with one row per copy:

    class MyVectorEnv(TaskVectorEnv):     _start, _advance, _observe, and the attributes that make a task
    class MyEnv(TaskEnv):                 a single copy: the same code with one row

A *task* is a set of attributes of the environment, such as the point agent's `rotation`. They are changed
with `set_attr`, one value per copy, and keep their values across resets.
"""

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space


class TaskVectorEnv(gymnasium.vector.VectorEnv):
    """`num_envs` independent copies of a system, stepped in lock-step.

    A copy whose episode has ended is reset by the next step, whose action it ignores (Gymnasium's
    NEXT_STEP autoreset). An episode ends by itself (`terminated`) or after `max_episode_steps` (`truncated`).

    Subclasses give `task_attributes` (name → first value), `single_observation_space`,
    `single_action_space`, and three methods on arrays with one row per copy: `_start`, `_advance`, `_observe`.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}
    task_attributes: dict[str, float] = {}

    def __init__(self, num_envs=1, max_episode_steps=None, render_mode=None):
        if render_mode is not None:
            raise ValueError(f"render_mode: a vector environment draws nothing, expected None; given {render_mode!r}")
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._task = {name: np.full(num_envs, value) for name, value in self.task_attributes.items()}
        self._generators = [None] * num_envs
        self._states = None

    def _start(self, copies):
        """Initial states, one row for each of the copies (indices). Randomness: `self._generator(i)`."""
        raise NotImplementedError

    def _advance(self, states, actions):
        """One step of every copy: states (N, D), actions (N, U) → next states, rewards (N,), terminated (N,)."""
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
            self._seeds = [int(s) for s in seeds]
            self._generators = [None] * self.num_envs
        elif self._states is None:
            self._seeds = [None] * self.num_envs
        self._states = self._start(range(self.num_envs))
        self._steps = np.zeros(self.num_envs, int)
        self._ended = np.zeros(self.num_envs, bool)
        return self._observe(self._states), {}

    def step(self, actions):
        """Step all copies: actions (N, U) → observations, rewards, terminated, truncated, {}."""
        if self._states is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        actions = self._checked(actions)
        self._states, rewards, terminated = self._advance(self._states, actions)
        self._steps += 1
        if self._ended.any():
            again = np.flatnonzero(self._ended)
            self._states[again] = self._start(again)
            self._steps[again], rewards[again], terminated[again] = 0, 0.0, False
        truncated = np.zeros(self.num_envs, bool)
        if self.max_episode_steps is not None:
            truncated = self._steps >= self.max_episode_steps
        self._ended = terminated | truncated
        return self._observe(self._states), rewards, terminated, truncated, {}

    def get_attr(self, name):
        """The value of a task attribute in each copy, as a tuple."""
        return tuple(self._task[self._known(name)].tolist())

    def set_attr(self, name, values):
        """Set a task attribute: one value for all copies, or a list with one for each."""
        given = np.asarray(values, dtype=self._task[self._known(name)].dtype)
        if given.shape not in ((), (self.num_envs,)):
            raise ValueError(f"{name}: expected one value or {self.num_envs}; given shape {given.shape}")
        if not np.isfinite(given).all():
            raise ValueError(f"{name}: expected finite values; given {values}")
        self._task[name] = np.broadcast_to(given, (self.num_envs,)).copy()

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

    def _checked(self, actions):
        actions = np.asarray(actions, dtype=np.float64)
        if actions.shape != self.action_space.shape:
            raise ValueError(f"actions: expected shape {self.action_space.shape}; given {actions.shape}")
        finite = np.isfinite(actions).all(axis=1)
        if not finite.all():
            bad = int(np.argmin(finite))
            raise ValueError(f"actions: expected finite numbers; given {actions[bad]} for environment {bad}, "
                             f"task {({k: v[bad].item() for k, v in self._task.items()})}, step {self._steps[bad]}")
        return actions


class TaskEnv(gymnasium.Env):
    """One copy of a system: a `TaskVectorEnv` with one row. Subclasses name its class in `vector_class`."""

    vector_class: type[TaskVectorEnv]
    metadata = {"render_modes": []}

    def __init__(self, render_mode=None, **options):
        self._row = self.vector_class(num_envs=1, **options)
        self.observation_space = self._row.single_observation_space
        self.action_space = self._row.single_action_space
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._row._generators = [self.np_random]
        observations, info = self._row.reset()
        return observations[0], info

    def step(self, action):
        if self._row._states is not None:
            self._row._ended[:] = False  # a single environment is reset by its user
        action = np.asarray(action, dtype=np.float64)
        if action.shape != self.action_space.shape:
            raise ValueError(f"action: expected shape {self.action_space.shape}; given {action.shape}")
        observations, rewards, terminated, _, info = self._row.step(action[None])
        return observations[0], float(rewards[0]), bool(terminated[0]), False, info


def task_attribute(name):
    """A property of a `TaskEnv` that reads and writes a task attribute of its one row."""

    def read(env):
        return env._row.get_attr(name)[0]

    def write(env, value):
        env._row.set_attr(name, value)

    return property(read, write)
