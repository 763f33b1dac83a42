"""Somebody else's environment: its numbers are read and set, its rewards are numbers, and what it raises is told with
the place where it happened.

A number is an attribute, or what a path leads to: `length`, `model.opt.gravity[2]`.
"""

import numbers
import re
import traceback
from contextlib import contextmanager

import gymnasium
import numpy as np

FOUR_VALUES = "expected 5, got 4"  # as Gymnasium's wrappers say it


PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*|\[\d+\])*")


class EnvironmentFailed(RuntimeError):
    """An environment raised; the message says what, in which step, and where it is known in which task."""


class Guard(gymnasium.Wrapper):
    """One of the copies of a vector. It notes its number on what the environment raises.

    number : of the copy
    """

    def __init__(self, env, number):
        super().__init__(env)
        self._number_of_copy = number

    def reset(self, **options):
        with self._noted():
            return self.env.reset(**options)

    def step(self, action):
        with self._noted(action):
            observation, reward, terminated, truncated, info = self.env.step(action)
            if np.size(reward) != 1:
                raise ValueError(f"reward: expected a number; given shape {np.shape(reward)}")
            return observation, np.asarray(reward).item(), terminated, truncated, info

    @contextmanager
    def _noted(self, action=None):
        try:
            yield
        except Exception as error:
            error.copy_that_failed = self._number_of_copy
            space = self.action_space
            error.action_was_outside = action is not None and bool(((action < space.low) | (action > space.high)).any())
            raise


@contextmanager
def told(when, names=(), copies=1):
    """Turn whatever an environment raises into an EnvironmentFailed.

    when : "reset" or "step 3"
    names, copies : what its tasks are called, and how many copies each has
    """
    try:
        yield
    except Exception as error:
        number = getattr(error, "copy_that_failed", 0 if len(names) == copies == 1 else None)
        task = "" if number is None or not names else f", task {names[number // copies]}"
        raise EnvironmentFailed(f"{describe_error(error)}, in {when}{task}") from error


def describe_error(error):
    """Its type and text; of an assertion without a text, the line that it stands in."""
    text = " ".join(str(error).split())
    if not text:
        frames = traceback.extract_tb(error.__traceback__)
        text = (frames[-1].line or "") if frames else ""
    if FOUR_VALUES in text:
        text += (" (step gives four values, as before 2022; Gymnasium's gives five: observation, reward, terminated, "
                 "truncated, info)")
    if getattr(error, "action_was_outside", False):
        text += " (the action lay outside of the action space; action_scale and action_offset map actions into it)"
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def get_numbers(envs, path):
    """What each copy of a vector has there."""
    if hasattr(envs, "envs"):
        return [_at(env, _parts(path)) for env in envs.envs]
    _require_plain(path)
    return envs.get_attr(path)


def set_numbers(envs, path, values):
    """Give each copy of a vector its value. What was an integer stays one where the value is whole.

    Raises
    ------
    AttributeError, IndexError, TypeError, ValueError : there is no such number, or it is another after it was set
    """
    if not hasattr(envs, "envs"):
        _require_plain(path)
        envs.set_attr(path, list(values))
        return
    *front, last = _parts(path)
    for env, value in zip(envs.envs, values):
        old = _at(env, [*front, last])
        if isinstance(old, numbers.Integral) and float(value).is_integer():
            value = bool(value) if isinstance(old, bool) and value in (0, 1) else int(value)
        if not front:
            env.set_wrapper_attr(last, value)
        elif isinstance(last, int):
            _at(env, front)[last] = value
        else:
            setattr(_at(env, front), last, value)
        now = float(_at(env, [*front, last]))
        if not np.isclose(now, float(value), rtol=1e-6):
            raise ValueError(f"it was set to {value:.6g} and is {now:.6g}")


def _parts(path):
    """`model.opt.gravity[2]` → ["model", "opt", "gravity", 2]"""
    return [int(part) if part.isdecimal() else part for part in re.findall(r"\w+", path)]


def _at(env, parts):
    value = env.get_wrapper_attr(parts[0])
    for part in parts[1:]:
        value = value[part] if isinstance(part, int) else getattr(value, part)
    return value


def _require_plain(path):
    if not path.isidentifier():
        raise ValueError(f"{path}: a path is followed in a gymnasium.vector.SyncVectorEnv alone; these environments "
                         "take the names of attributes")
