"""
Adapt a point agent
===================

A point is to go to (1, 0), but an unknown rotation turns each of its moves. We meta-train NoRML for a few seconds,
adapt to two rotations without a reward, and draw what the policy does before and after adaptation.
"""

import gymnasium
import matplotlib.pyplot as plt
import numpy as np

import minorml

# %%
# Meta-train
# ----------
#
# 150 outer iterations take about five seconds; the results of this book use 1,000. With no folder given, nothing is
# kept on the disk.

trained = minorml.train("point/norml", seed=0, iterations=150, progress=False)
after = [row["post_return"] for row in trained.metrics]
print(f"return after adaptation: {after[0]:.1f} in the first iteration, {after[-1]:.1f} in the last")

# %%
# Adapt
# -----
#
# Each task gives 25 trajectories of the exploring policy, and one gradient step on them: row i of ``theta`` is the
# adapted policy of task i. No reward is used.

tasks = [{"rotation": 1.0}, {"rotation": -2.0}]
theta = minorml.finetune(trained, tasks)
print("adapted parameters:", theta.shape)

# %%
# Act
# ---
#
# The adapted policy runs in the plain Gymnasium environment. The position is twice the observation.

config = trained.config
policy = minorml.GaussianPolicy(2, 2, config.hidden, config.activation)
env = gymnasium.make(config.env)


def path(parameters, rotation, rng):
    """Positions (11, 2) in one episode under the policy, with its noise."""
    env.unwrapped.rotation = rotation
    observation, _ = env.reset(seed=0)
    positions = [2 * observation]
    for _ in range(config.horizon):
        noise = rng.standard_normal((1, 1, 2))
        action, _ = policy.sample(parameters[None], observation[None, None].astype(np.float32), noise)
        observation, *_ = env.step(action[0, 0])
        positions.append(2 * observation)
    return np.array(positions)


rng = np.random.default_rng(0)
figure, rows = plt.subplots(2, 2, figsize=(7, 7), sharex=True, sharey=True, layout="constrained")
for row, task, adapted in zip(rows, tasks, theta):
    for axes, parameters, when in zip(row, (trained.meta.theta, adapted), ("before adaptation", "after one step")):
        for _ in range(10):
            axes.plot(*path(parameters, task["rotation"], rng).T, marker=".", lw=0.8, ms=3)
        axes.plot(1, 0, "r*", ms=12)
        axes.set(title=f"rotation {task['rotation']:+.0f} rad: {when}", xlim=(-2, 2), ylim=(-2, 2), aspect="equal")
plt.show()

# %%
# On the left the policy scatters around its start to find out how it is turned: the noise is all it needs. On the right
# are two different policies, one for each rotation, and both go to the goal (the star).
