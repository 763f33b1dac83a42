"""Files that a log may come in: .npz, CSV with named columns, a Minari dataset.

`.npz`   `states`, `actions` and, where they are known, `rewards`, in one of three shapes:

    (K, T+1, S), (K, T, U), (K, T)                      K episodes of T steps
    (Σ T_k + K, S), (Σ T_k, U), (Σ T_k,), `lengths` (K,)    episode after episode, of T_k actions each
    (N, S), (N, U), (N,), `next_states` (N, S)          transitions

`.csv`   a row for each time step:

    episode, step, observation_0, …, action_0, …, reward

The last row of an episode has the last observation, and nothing under actions and reward. `step` and `reward` may be
missing. Other names of columns are given as `observations` and `actions`. With columns next_observation_0, … a row is a
transition, and there is no last row.

`minari:ID`   a dataset of Farama's format for recorded episodes; needs the package minari.
"""

import csv
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from .recording import Recording


def load_recording(path: str | PathLike, observations: Sequence[str] | None = None,
                   actions: Sequence[str] | None = None) -> Recording:
    """Read a log; the docstring of `minorml.deployment.logs` shows the formats.

    Parameters
    ----------
    path : a file that ends in .npz or .csv, or "minari:ID"
    observations, actions : names of the columns of a .csv, in the order that the policy was trained with; default:
        observation_0, observation_1, … and action_0, action_1, …

    Raises
    ------
    ValueError : something is missing, or has another shape; what was expected, and given
    ImportError : a Minari dataset without the package minari
    OSError : there is no such file
    """
    if str(path).startswith("minari:"):
        return _from_minari(str(path).removeprefix("minari:"))
    readers = {".npz": _from_npz, ".csv": lambda file: _from_csv(file, observations, actions)}
    path = Path(path)
    if path.suffix not in readers:
        raise ValueError(f"log: expected a file that ends in .npz or .csv, or minari:ID; given {str(path)!r}")
    try:
        return readers[path.suffix](path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _from_npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("states", "actions", "rewards", "next_states", "lengths")
                      if name in file.files}
            missing = [name for name in ("states", "actions") if name not in arrays]
            if missing:
                raise ValueError(f"expected arrays states and actions; given {', '.join(file.files) or 'none'}")
    except OSError:
        raise
    except Exception as error:  # whatever zipfile and NumPy make of a damaged file
        raise ValueError(str(error) or type(error).__name__) from None
    states, actions, rewards = arrays["states"], arrays["actions"], arrays.get("rewards")
    if "next_states" in arrays:
        return Recording.from_rows(states, actions, arrays["next_states"], rewards)
    if "lengths" not in arrays:
        if states.ndim != 3 or actions.ndim != 3:
            raise ValueError("expected states (K, T+1, S) and actions (K, T, U), or the array lengths (K,), or "
                             f"next_states (N, S) beside them; given states {states.shape} and actions {actions.shape}")
        return Recording(states, actions, rewards)
    lengths = arrays["lengths"]
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 1).any():
        raise ValueError(f"lengths: expected the number of actions of each episode, integers >= 1; given {lengths}")
    expected = int(lengths.sum()) + len(lengths), int(lengths.sum())
    if (len(states), len(actions)) != expected:
        raise ValueError(f"lengths: they say {expected[0]} states and {expected[1]} actions; given {len(states)} and "
                         f"{len(actions)}")
    ends = np.cumsum(lengths)[:-1]
    return Recording(np.split(states, ends + np.arange(1, len(lengths))), np.split(actions, ends),
                     None if rewards is None else np.split(rewards, ends))


def _from_csv(path, observations, actions):
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or [])
        observations, actions = (list(names) if names else _numbered(header, kind)
                                 for names, kind in ((observations, "observation"), (actions, "action")))
        following = _numbered(header, "next_observation", at_least=0)
        wanted = ["episode", *observations, *actions]
        missing = [name for name in wanted if name not in header]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}; expected {', '.join(wanted)}; given {', '.join(header)}")
        read = [*observations, *actions, *following, *(name for name in ("step", "reward") if name in header)]
        episodes: dict[str, list] = {}
        for row in reader:
            numbers = {name: _number(row[name], name, reader.line_num) for name in read}
            episodes.setdefault(row["episode"], []).append(numbers)
    if not episodes:
        raise ValueError("there is no row under the names of the columns")

    def columns(rows, names):
        return np.array([[row[name] for name in names] for row in rows])

    notes, pieces, lost = [], [], 0
    for name, rows in episodes.items():
        pieces += _without_gaps(f"episode {name}", rows, notes) if "step" in header else [rows]
        lost += bool(np.isfinite(columns(pieces[-1][-1:], actions)).any())
    if following:
        rows = [row for piece in pieces for row in piece]
        recording = Recording.from_rows(columns(rows, observations), columns(rows, actions), columns(rows, following),
                                        [row["reward"] for row in rows] if "reward" in header else None)
    else:
        if lost:
            notes.append(f"{lost} of {len(episodes)} episodes have no row after their last action: the observation "
                         "that it led to is missing, and the action is left out")
        pieces = [rows for rows in pieces if len(rows) > 1]
        recording = Recording([columns(rows, observations) for rows in pieces],
                              [columns(rows[:-1], actions) for rows in pieces],
                              [[row["reward"] for row in rows[:-1]] for rows in pieces] if "reward" in header else None)
    recording.notes[:0] = notes
    return recording


def _without_gaps(name, rows, notes):
    """The rows of an episode in the order of their steps, cut where a step is missing."""
    steps = np.array([row["step"] for row in rows])
    if not np.isfinite(steps).all():
        raise ValueError(f"{name}: step: expected a number in each row")
    if (np.diff(steps) < 0).any():
        notes.append(f"{name}: its rows were not in the order of time; they were sorted by step")
        order = np.argsort(steps, kind="stable")
        rows, steps = [rows[i] for i in order], steps[order]
    if (np.diff(steps) == 0).any():
        raise ValueError(f"{name}: step {steps[:-1][np.diff(steps) == 0][0]:g} comes twice")
    gaps = 1 + np.flatnonzero(np.diff(steps) > np.median(np.diff(steps)) * 1.5) if len(steps) > 2 else []
    if len(gaps):
        notes.append(f"{name}: {len(gaps)} gap{'s' * (len(gaps) > 1)} in its steps, the first after step "
                     f"{steps[gaps[0] - 1]:g}; it is cut there")
    return [rows[begin:end] for begin, end in zip([0, *gaps], [*gaps, len(rows)])]


def _numbered(header, kind, at_least=1):
    """observation_0, observation_1, … as far as there are such columns; at least the first, to be missed."""
    count = sum(re.fullmatch(rf"{kind}_\d+", name) is not None for name in header)
    return [f"{kind}_{i}" for i in range(max(count, at_least))]


def _number(text, column, line):
    """A cell; an empty one is NaN."""
    try:
        return float(text) if text and text.strip() else np.nan
    except ValueError:
        raise ValueError(f"line {line}, {column}: expected a number; given {text!r}") from None


def _from_minari(name):
    try:
        import minari
    except ImportError:
        raise ImportError("a Minari dataset needs minari: pip install 'minorml[minari]'") from None
    try:
        episodes = list(minari.load_dataset(name).iterate_episodes())
    except FileNotFoundError as error:
        raise ValueError(f"minari:{name}: no such dataset ({error})") from None
    for what in ("observations", "actions"):
        others = {type(getattr(one, what)).__name__ for one in episodes} - {"ndarray"}
        if others:
            raise ValueError(f"minari:{name}: {what}: expected arrays; given {', '.join(others)}")
    recording = Recording([episode.observations for episode in episodes], [episode.actions for episode in episodes],
                          [episode.rewards for episode in episodes])
    cut = sum(not (np.any(episode.terminations[-1:]) or np.any(episode.truncations[-1:])) for episode in episodes)
    if cut:
        recording.notes.append(f"{cut} of {len(episodes)} episodes have no end: their last step is neither a "
                               "termination nor a truncation")
    return recording
