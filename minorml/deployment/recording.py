"""A robot's log: episodes of observations and actions, in the environment's own units, rewards where there are any.

    states    s_0  s_1  …  s_T         (T + 1, S)     one row more than actions
    actions   a_0  a_1  …  a_T−1       (T, U)         as the policy gave them, before anything clipped them
    rewards   r_0  r_1  …  r_T−1       (T,)           optional; NoRML has no use for them

Episodes may have different lengths. A transition with a number that is not finite is left out, and so is one across a
gap; the episode goes on after it as a piece of its own. What was left out is told in `notes`.
"""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..policy import check_shape
from ..rl.rollout import Trajectories, scale_observations, unscale_actions
from ..runs import checkpoints


class Episode(NamedTuple):
    """A piece of a log without gaps."""

    states: np.ndarray  # (T + 1, S)
    actions: np.ndarray  # (T, U)
    rewards: np.ndarray | None  # (T,)


class Recording:
    """Episodes that a robot recorded.

    Parameters
    ----------
    states : for each episode (T + 1, S), in the environment's own units; or one array (K, T + 1, S)
    actions : for each episode (T, U), in the environment's own units; or one array (K, T, U)
    rewards : for each episode (T,); None: not known

    Raises
    ------
    ValueError : shapes that do not fit together; no transition without gaps in all of the log
    """

    def __init__(self, states: Iterable, actions: Iterable, rewards: Iterable | None = None):
        self.notes: list[str] = []  # what was odd when it was read
        states, actions = list(states), list(actions)
        given = [None] * len(states) if rewards is None else list(rewards)
        if not len(states) == len(actions) == len(given):
            raise ValueError("recording: expected states, actions and rewards of the same episodes; given "
                             f"{len(states)}, {len(actions)} and {len(given)} episodes")
        self.recorded_lengths = [len(one) for one in actions]  # of the episodes as they came
        self.episodes: list[Episode] = []
        dropped = 0
        for k, one in enumerate(zip(states, actions, given)):
            episode = _numbers(k, *one, *(self.dims if self.episodes else ("S", "U")))
            pieces = list(_pieces(episode))
            dropped += len(episode.actions) - sum(len(piece.actions) for piece in pieces)
            self.episodes += pieces
        if not self.episodes:
            raise ValueError("recording: there is no transition, or none of finite numbers alone")
        if dropped:
            self.notes.append(f"{dropped} of {dropped + self.num_rows} transitions have numbers that are not finite; "
                              "they are left out")

    @classmethod
    def from_rows(cls, states, actions, next_states, rewards=None):
        """A recording of N rows, (N, S), (N, U), (N, S) and (N,): where a row's next state is not the state of the row
        after it, another episode begins."""
        states, next_states, actions = (np.asarray(rows, np.float64) for rows in (states, next_states, actions))
        check_shape("states", states, ("N", "S"))
        check_shape("next_states", next_states, states.shape)
        check_shape("actions", actions, (len(states), "U"))
        begins = [0, *(1 + np.flatnonzero((next_states[:-1] != states[1:]).any(axis=1))), len(states)]
        spans = [slice(*ends) for ends in zip(begins, begins[1:])]
        return cls([np.concatenate([states[span], next_states[span][-1:]]) for span in spans],
                   [actions[span] for span in spans],
                   None if rewards is None else [np.asarray(rewards)[span] for span in spans])

    @property
    def dims(self):
        """(S, U)"""
        return self.episodes[0].states.shape[1], self.episodes[0].actions.shape[1]

    @property
    def states(self):
        """All states, also the last ones, episode after episode. (N + K, S)"""
        return np.concatenate([episode.states for episode in self.episodes])

    @property
    def actions(self):
        """All actions, episode after episode. (N, U)"""
        return np.concatenate([episode.actions for episode in self.episodes])

    @property
    def num_rows(self):
        """How many transitions there are."""
        return sum(len(episode.actions) for episode in self.episodes)

    @property
    def has_rewards(self):
        return all(episode.rewards is not None for episode in self.episodes)

    @property
    def returns(self):
        """The undiscounted return of each episode, (K,). ValueError without rewards."""
        if not self.has_rewards:
            raise ValueError("recording: it has no rewards")
        return np.array([episode.rewards.sum() for episode in self.episodes])

    def save(self, path: str | PathLike) -> None:
        """Write an .npz that `load_recording` reads."""
        if Path(path).suffix != ".npz":
            raise ValueError(f"save: expected a file that ends in .npz; given {str(path)!r}")
        arrays = {"states": self.states, "actions": self.actions,
                  "lengths": np.array([len(episode.actions) for episode in self.episodes])}
        if self.has_rewards:
            arrays["rewards"] = np.concatenate([episode.rewards for episode in self.episodes])
        checkpoints.write(Path(path), arrays)


def trajectories_of(config, recording):
    """A recording as the networks of `config` see it: scaled, in the dtype of training, padded to equal lengths."""
    episodes = recording.episodes
    K, T = len(episodes), max(config.horizon, *(len(episode.actions) for episode in episodes))
    S, U = recording.dims
    states, actions = np.zeros((K, T + 1, S), config.dtype), np.zeros((K, T, U), config.dtype)
    rewards, alive = np.zeros((K, T)), np.zeros((K, T), bool)
    for k, episode in enumerate(episodes):
        t = len(episode.actions)
        with np.errstate(over="ignore"):  # infinite is told of below
            states[k, :t + 1] = scale_observations(episode.states, config.obs_scale)
            actions[k, :t] = unscale_actions(episode.actions, config.action_scale, config.action_offset)
        alive[k, :t] = True
        if episode.rewards is not None:
            rewards[k, :t] = episode.rewards
    for name, array in (("states", states), ("actions", actions)):
        if not np.isfinite(array).all():
            raise ValueError(f"recording: {name} so large that {config.dtype} cannot hold them")
    return Trajectories(states, actions, None, rewards, alive)


def check_widths(k, states, actions, S, U):
    """Raise ValueError unless the states and actions of episode k have these widths; a letter stands for any."""
    check_shape(f"states of episode {k}", states, ("T + 1", S))
    check_shape(f"actions of episode {k}", actions, ("T", U))


def _numbers(k, states, actions, rewards, S, U):
    """An Episode of real numbers whose shapes fit together."""
    try:
        states, actions = np.asarray(states, np.float64), np.asarray(actions, np.float64)
        rewards = None if rewards is None else np.asarray(rewards, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"episode {k}: expected arrays of real numbers ({error})") from None
    check_widths(k, states, actions, S, U)
    if len(states) != len(actions) + 1:
        raise ValueError(f"episode {k}: expected one state more than actions, the last one after the last action; "
                         f"given {len(states)} states and {len(actions)} actions")
    if rewards is not None:
        check_shape(f"rewards of episode {k}", rewards, (len(actions),))
    return Episode(states, actions, rewards)


def _pieces(episode):
    """The stretches of an episode whose transitions have finite numbers alone."""
    finite = np.isfinite(episode.states).all(axis=1)
    good = finite[:-1] & finite[1:] & np.isfinite(episode.actions).all(axis=1)
    if episode.rewards is not None:
        good &= np.isfinite(episode.rewards)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2]):
        yield Episode(episode.states[begin:end + 1], episode.actions[begin:end],
                      None if episode.rewards is None else episode.rewards[begin:end])
