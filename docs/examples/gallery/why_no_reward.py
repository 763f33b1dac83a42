"""
Why no reward is needed
=======================

One adaptation step on the point agent, with an advantage function that is written down by hand. It contains no angle.
The step finds the angle all the same, in the transitions. The chapter on this has the derivation.
"""

import matplotlib.pyplot as plt
import numpy as np

from minorml import METHODS, AdvantageNetwork, Batch, GaussianPolicy, MetaParameters, adapt

# %%
# A policy and an advantage function, by hand
# -------------------------------------------
#
# The policy is linear, all of its weights are zero, and σ = ½: it takes steps in random directions. A_ψ is linear too:
# A = −(x' − x), so it is low where the point has moved to the right.

policy = GaussianPolicy(obs_dim=2, act_dim=2, hidden=(), activation="identity")
theta = policy.init(np.random.default_rng(0), log_std=np.log(0.5), dtype=np.float64)
policy.split(theta)[0][:] = 0

advantage = AdvantageNetwork(obs_dim=2, act_dim=2, hidden=(), activation="identity")
psi = np.zeros(advantage.num_params)  # weights of s (2), a (2), s' (2), and a bias
psi[0], psi[4] = 1, -1

# %%
# Transitions of one task
# -----------------------
#
# The robot turns each action by φ = 2 radians and says nothing about it. 250 actions from the origin.

phi = 2.0
turn = np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
actions = 0.5 * np.random.default_rng(0).normal(size=(250, 2))
states, next_states = np.zeros((250, 2)), actions @ turn.T

# %%
# One adaptation step
# -------------------
#
# It has no reward: a ``Batch`` has no field for one.

zero = np.zeros_like(theta)
meta = MetaParameters(theta, offset=zero, psi=psi, alpha=np.ones_like(theta))
adapted, _ = adapt(policy, advantage, METHODS["norml"], meta, Batch(states, actions, next_states))
mean = policy.mean(adapted, np.zeros((1, 2)))[0]
direction = mean / np.linalg.norm(mean)
print("direction of the new mean action:", direction.round(3))
print("R(-phi) (1, 0):                  ", turn[0].round(3))
print("which the robot turns into:      ", (turn @ direction).round(3))

# %%
# The picture
# -----------
#
# Left: the actions, coloured by A_ψ of the transition that followed. Where it is low, the step pulls the mean action.
# Right: the same transitions as the robot made them. The arrow, turned by φ, points to the right.

values = advantage.value(psi, states, actions, next_states)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4.2), sharex=True, sharey=True, layout="constrained")
for axes, points, arrow, title in ((left, actions, direction, "actions, and the step that follows from them"),
                                   (right, next_states, turn @ direction, "where the robot went, and will go now")):
    dots = axes.scatter(*points.T, c=values, cmap="coolwarm", s=12)
    axes.annotate("", 1.4 * arrow, (0, 0), arrowprops=dict(arrowstyle="-|>", lw=2.5, mutation_scale=22))
    axes.set(title=title, xlim=(-1.8, 1.8), ylim=(-1.8, 1.8), aspect="equal")
figure.colorbar(dots, ax=[left, right], label="A_ψ = −Δx", shrink=0.8)
plt.show()
