"""Mistakes that logs often have, put right one at a time: which of them makes the log fit?"""

import itertools
import math

import numpy as np

from ..rl.rollout import scale_actions
from .recording import Recording

FACTORS = {180 / math.pi: "in radians (these are degrees)", math.pi / 180: "in degrees (these are radians)",
           1000.0: "divided by 1,000", 0.001: "multiplied by 1,000", 100.0: "divided by 100", 0.01: "multiplied by 100"}


def corrections(config, recording, measures):
    """(in words, the recording corrected) for each mistake. `measures`: those of held-out logs."""
    S, U = recording.dims
    nearest = nearest_factors(recording, measures)
    if (nearest != 1).any():
        for factors in {tuple(nearest), *(tuple(np.where(nearest != 1, factor, 1.0)) for factor in FACTORS)}:
            yield _named(factors), _changed(recording, lambda s, factors=factors: s / factors)
    if len(config.obs_scale):
        yield ("observations multiplied by obs_scale (they were divided by it before)",
               _changed(recording, lambda s: s * config.obs_scale))
    if len(config.action_scale) or len(config.action_offset):
        yield ("actions in the environment's units (they were not yet multiplied by action_scale)",
               _changed(recording, actions=lambda a: scale_actions(a, config.action_scale, config.action_offset)))
    for order, words in _exchanges(S, "observation"):
        yield words, _changed(recording, lambda s, order=order: s[:, order])
    for order, words in _exchanges(U, "action"):
        yield words, _changed(recording, actions=lambda a, order=order: a[:, order])
    long = [episode for episode in recording.episodes if len(episode.actions) > 1]
    if long:
        yield "each action moved up by a row", Recording([one.states[:-1] for one in long],
                                                         [one.actions[1:] for one in long])
        yield "each action moved down by a row", Recording([one.states[1:] for one in long],
                                                           [one.actions[:-1] for one in long])


def nearest_factors(recording, measures):
    """For each observation the unit by which it is nearest in size to held-out logs, 1 for most. (S,)"""
    mine = np.sqrt(np.square(recording.states).mean(axis=0))
    theirs = np.sqrt(measures.states_mean**2 + measures.states_std**2)  # (n, S)
    factors = np.array([1.0, *FACTORS])
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.abs(np.log(mine / np.median(theirs, axis=0)) - np.log(factors)[:, None])  # (factors, S)
    return np.where(np.isfinite(away).all(axis=0), factors[away.argmin(axis=0)], 1.0)


def _changed(recording, states=lambda s: s, actions=lambda a: a):
    return Recording([states(episode.states) for episode in recording.episodes],
                     [actions(episode.actions) for episode in recording.episodes])


def _exchanges(n, name):
    """(the order of n columns, in words) with each two of them exchanged."""
    for i, j in itertools.combinations(range(n), 2):
        order = np.arange(n)
        order[[i, j]] = j, i
        yield order, f"{name}_{i} and {name}_{j} exchanged"


def _named(factors):
    """`observation_2, observation_3 in radians (these are degrees)`"""
    kinds = {}
    for j, factor in enumerate(factors):
        if factor != 1:
            kinds.setdefault(FACTORS[factor], []).append(f"observation_{j}")
    return "; ".join(f"{', '.join(names)} {what}" for what, names in kinds.items())
