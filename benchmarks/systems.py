"""Learners at a state worth timing."""

import dataclasses

from minorml.learner import make_learner
from minorml.presets import preset
from minorml.train import initial_state


def start(config):
    """(learner without environments, first state) of a configuration."""
    learner = make_learner(config, 1)
    learner.envs.close()
    return learner, initial_state(learner)


def balancing(**fields):
    """Cart-pole with a policy that balances to the end, so that every episode has its 500 steps: (learner, state).

    The policy is a linear feedback through one unit of each layer, among small random weights; the bias and the inner
    rate are next to nothing, so that it holds for all tasks, and after adaptation.
    """
    config = dataclasses.replace(preset("cartpole/norml"), vary=("angle_bias=uniform:-0.001,0.001",),
                                 inner_rate=7e-4, **fields)
    learner, state = start(config)
    theta = state.meta.theta
    theta *= 0.01
    weights, log_std = learner.policy.split(theta)
    (W1, _), (W2, _), (W3, _) = learner.policy.mlp.layers(weights)
    W1[:, 0], W2[0, 0], W3[0, 0] = (0, 0, 2, 0.4), 1, 10  # of position, speed, angle and its speed, scaled
    log_std[:] = -3
    return learner, state
