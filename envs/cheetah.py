"""The half cheetah, whose hip motors may be wired wrongly.

    u = clip(a, −1, 1), with u_0 and u_3 exchanged if swapped, or negated if reversed          (cheetah.1)
    (q, q̇) ← five steps of MuJoCo under u: 0.05 s                                              (cheetah.2)
    reward = (x' − x) / 0.05 − 0.05 ‖clip(a, −1, 1)‖² + 1                                       (cheetah.3)

    start, as HalfCheetah-v5: each of q uniform in [−0.1, 0.1], each of q̇ normal with deviation 0.1
    ended when cos(pitch) < 0.8; at most 1000 steps
    observation (q_2…, q̇_2…): pitch and six joint angles (rad), then their rates (rad/s); position and speed unseen

| id                               | task                                  |
|----------------------------------|---------------------------------------|
| `minorml/HalfCheetahSwap-v0`     | `swapped`, 0 or 1 (Yang et al. 2019)  |
| `minorml/HalfCheetahReverse-v0`  | `reversed`, 0 or 1 (ours)             |

Model, reset and simulation are those of Gymnasium's HalfCheetah-v5: with the right wiring the states are the same to
the last bit. The same for any number of threads: every copy has its own MjData, and is stepped by one thread.
"""

import ctypes
import functools
import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files

import numpy as np
from gymnasium.spaces import Box

from .base import TaskEnv, TaskVectorEnv, task_attribute


def _choose_gl():
    """Draw with EGL where there is no display and nobody has chosen. MuJoCo looks when it is imported."""
    chosen = {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"} & os.environ.keys() or "mujoco" in sys.modules
    if sys.platform == "linux" and not chosen:
        try:
            ctypes.CDLL("libEGL.so.1")
        except OSError:
            return  # simulation goes without
        os.environ["MUJOCO_GL"] = "egl"


_choose_gl()
import mujoco  # noqa: E402

_warned = itertools.count(1)  # how often MuJoCo has warned, in any simulation of this process
_last_warning = [0]


def _note_warning(message):
    _last_warning[0] = next(_warned)


if mujoco.get_mju_user_warning() is None:
    # Otherwise warnings go to stderr and to MUJOCO_LOG.TXT in the working directory: one for each model that is
    # loaded, about a deprecated attribute in its XML, and those that `_advance` raises as errors.
    mujoco.set_mju_user_warning(_note_warning)

FRAME_SKIP = 5
PITCH = 2  # index in q
SWAPPED = [3, 1, 2, 0, 4, 5]
REVERSED = [-1, 1, 1, -1, 1, 1]
CONTROL_COST = 0.05
ALIVE_BONUS = 1.0
MIN_COS_PITCH = 0.8
START_NOISE = 0.1


def _default_threads():
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(given)) if given.isdecimal() else os.cpu_count() or 1


@functools.cache
def _model():
    """Gymnasium's half cheetah, read only."""
    with as_file(files("gymnasium") / "envs" / "mujoco" / "assets" / "half_cheetah.xml") as path:
        return mujoco.MjModel.from_xml_path(str(path))


def _simulate(model, copies):
    """(cheetah.2) for the copies that an iterator gives, each (views of one copy, its new control).

    Threads share the iterator: who is done with a copy takes the next. MuJoCo releases the GIL, so what Python does for
    one copy hides behind the simulation of another.
    """
    for (data, ctrl, qpos, qvel, q, v), control in copies:
        ctrl[:] = control
        mujoco.mj_step(model, data, FRAME_SKIP)
        q[:], v[:] = qpos, qvel


class HalfCheetahVectorEnv(TaskVectorEnv):
    """Copies of the half cheetah, stepped in threads. Subclasses say how its hips may be wired.

    num_threads : at most one for each copy; default: OMP_NUM_THREADS if the environment has it, or one for each core

    `step` raises FloatingPointError for a simulation that has diverged, and does so again until the next reset.
    """

    single_observation_space = Box(-np.inf, np.inf, (14,), np.float64)
    single_action_space = Box(-1.0, 1.0, (6,), np.float64)

    def __init__(self, num_envs: int = 1, max_episode_steps: int | None = None, render_mode: str | None = None,
                 num_threads: int | None = None):
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads: expected 1 or more, or None; given {num_threads}")
        super().__init__(num_envs, max_episode_steps, render_mode)
        self.num_threads = min(num_threads or _default_threads(), num_envs)
        self._helpers = ThreadPoolExecutor(max(1, self.num_threads - 1))  # the thread that calls `step` works too
        self._model = _model()
        self._data = [mujoco.MjData(self._model) for _ in range(num_envs)]
        self._now = np.zeros((num_envs, self._model.nq + self._model.nv))  # (q, q̇) of every copy
        # Views into the simulations, and into `_now`: to look up 200 of these costs ten times as much as to use them.
        self._views = [(data, data.ctrl, data.qpos, data.qvel, *np.split(row, [self._model.nq]))
                       for data, row in zip(self._data, self._now)]
        self._seen_warning = 0

    def _wrongly(self, u):
        """The controls (…, 6) of hips that are wired wrongly."""
        raise NotImplementedError

    def close_extras(self):
        self._helpers.shutdown()

    def _start(self, copies):
        for i in copies:
            rng, data = self._generator(i), self._data[i]
            mujoco.mj_resetData(self._model, data)
            data.qpos += rng.uniform(-START_NOISE, START_NOISE, self._model.nq)
            data.qvel += START_NOISE * rng.standard_normal(self._model.nv)
            mujoco.mj_forward(self._model, data)
            self._now[i] = *data.qpos, *data.qvel
        return self._now[copies]

    def _advance(self, states, actions):
        a = np.clip(actions, -1, 1)
        (wrong,) = self._task.values()
        controls = np.where(wrong[:, None] == 1, self._wrongly(a), a)  # (cheetah.1)
        copies = itertools.compress(zip(self._views, controls), self._living().tolist())
        if self.num_threads > 1:
            copies = iter(list(copies))  # an iterator over a list may be shared between threads
        helpers = [self._helpers.submit(_simulate, self._model, copies) for _ in range(self.num_threads - 1)]
        _simulate(self._model, copies)
        for helper in helpers:
            helper.result()
        self._require_sane()
        after = self._now.copy()
        velocity = (after[:, 0] - states[:, 0]) / (self._model.opt.timestep * FRAME_SKIP)
        rewards = velocity - CONTROL_COST * np.square(a).sum(axis=1) + ALIVE_BONUS  # (cheetah.3)
        return after, rewards, np.cos(after[:, PITCH]) < MIN_COS_PITCH

    def _require_sane(self):
        """Raise FloatingPointError where MuJoCo gave up: it has put that copy back to its zero state, and warned."""
        last = _last_warning[0]
        if last == self._seen_warning and mujoco.get_mju_user_warning() is _note_warning:
            return  # nobody has warned since
        warnings = np.array([data.warning.number for data in self._data])  # of each kind, since the reset
        if not warnings.any():
            self._seen_warning = last
        else:
            i, kind = np.argwhere(warnings)[0].tolist()
            raise FloatingPointError(f"the simulation diverged ({mujoco.mjtWarning(kind).name}) in {self._where(i)}")

    def _observe(self, states):
        q = self._model.nq
        return np.concatenate([states[:, PITCH:q], states[:, q + PITCH:]], axis=1)


class HalfCheetahEnv(TaskEnv):
    """One half cheetah, drawn by MuJoCo from a camera that follows it."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    _renderer = None

    def _draw(self):
        if self._renderer is None:
            try:
                self._renderer = mujoco.Renderer(_model(), height=240, width=320)
            except Exception as error:
                raise RuntimeError(
                    f"render: MuJoCo finds no OpenGL (MUJOCO_GL={os.environ.get('MUJOCO_GL', '')!r}); without a "
                    "display install EGL (libegl1) and set MUJOCO_GL=egl before mujoco is imported") from error
        self._renderer.update_scene(self._row._data[0], camera="track")
        return self._renderer.render()

    def close(self):
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        super().close()


class HalfCheetahSwapVectorEnv(HalfCheetahVectorEnv):
    """Half cheetahs whose hip motors may be exchanged: the task attribute is `swapped`, 0 or 1."""

    task_attributes = {"swapped": 0}
    switches = {"swapped"}

    def _wrongly(self, u):
        return u[..., SWAPPED]


class HalfCheetahSwapEnv(HalfCheetahEnv):
    """One half cheetah, whose hip motors are exchanged if `swapped`, 0 or 1."""

    vector_class = HalfCheetahSwapVectorEnv
    swapped = task_attribute("swapped")


class HalfCheetahReverseVectorEnv(HalfCheetahVectorEnv):
    """Half cheetahs whose hip motors may turn the other way: the task attribute is `reversed`, 0 or 1."""

    task_attributes = {"reversed": 0}
    switches = {"reversed"}

    def _wrongly(self, u):
        return u * REVERSED


class HalfCheetahReverseEnv(HalfCheetahEnv):
    """One half cheetah, whose hip motors turn the other way if `reversed`, 0 or 1."""

    vector_class = HalfCheetahReverseVectorEnv
    reversed = task_attribute("reversed")
