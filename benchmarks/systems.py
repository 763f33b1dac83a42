"""Learners at a state worth timing."""

import dataclasses

from minorml.experiments.trained import initial_state
from minorml.rl.presets import preset
from minorml.rl.problem import make_problem


def start(config):
    """(problem without environments, first state) of a configuration."""
    problem = make_problem(config, 1)
    problem.envs.close()
    return problem, initial_state(problem)


def balancing(**fields):
    """Cart-pole with a policy that balances to the end, so that every episode has its 500 steps: (problem, state).

    The policy is a linear feedback through one unit of each layer, among small random weights; the bias and the inner
    rate are next to nothing, so that it holds for all tasks, and after adaptation. Both networks have tanh, and a batch
    has five outer updates: what is measured stays the same whatever the preset is.
    """
    config = dataclasses.replace(preset("cartpole/norml"), vary=("angle_bias=uniform:-0.001,0.001",),
                                 inner_rate=7e-4, activation="tanh", laf_activation="tanh", outer_steps=5, clip=0.2,
                                 outer_rate=1e-3, **fields)
    problem, state = start(config)
    theta = state.meta.theta
    theta *= 0.01
    weights, log_std = problem.policy.split(theta)
    (W1, _), (W2, _), (W3, _) = problem.policy.mlp.layers(weights)
    W1[:, 0], W2[0, 0], W3[0, 0] = (0, 0, 2, 0.4), 1, 10  # of position, speed, angle and its speed, scaled
    log_std[:] = -3
    return problem, state
