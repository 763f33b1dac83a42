"""Somebody else's environment: what it raises is told with the place where it happened, and its rewards are numbers."""

import traceback
from contextlib import contextmanager

import gymnasium
import numpy as np

FOUR_VALUES = "expected 5, got 4"  # as Gymnasium's wrappers say it


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
        with self._noted():
            observation, reward, terminated, truncated, info = self.env.step(action)
            if np.size(reward) != 1:
                raise ValueError(f"reward: expected a number; given shape {np.shape(reward)}")
            return observation, np.asarray(reward).item(), terminated, truncated, info

    @contextmanager
    def _noted(self):
        try:
            yield
        except Exception as error:
            error.copy_that_failed = self._number_of_copy
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
    return f"{type(error).__name__}: {text}".removesuffix(": ")
