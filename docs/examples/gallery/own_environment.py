"""
Your own environment
====================

Any Gymnasium environment with a number to vary can be meta-trained. Here it is a cart on a rail that is to go one metre
to the right, and whose motor may have been wired the wrong way round.
"""

import gymnasium
import matplotlib.pyplot as plt
import numpy as np

import minorml

# %%
# The environment
# ---------------
#
# A task is an attribute of the environment, here ``gain``. It must keep its value when the environment is reset.


class Cart(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-2.0, 2.0, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    gain = 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = np.zeros(1)
        return self.position.astype(np.float32), {}

    def step(self, action):
        self.position = np.clip(self.position + self.gain * np.clip(action, -1, 1), -2, 2)
        return self.position.astype(np.float32), -abs(self.position[0] - 1), False, False, {}


def make_envs(n):
    return gymnasium.vector.SyncVectorEnv([Cart] * n)


# %%
# Train
# -----
#
# Nothing needs to be registered: ``make_envs`` gives any number of copies.

config = minorml.Config(env="cart on a rail", vary=("gain=choice:-1,1",), method="norml", horizon=10, num_tasks=10,
                        num_trajectories=10, discount=0.9, log_std=-0.7, inner_rate=3.0, outer_rate=5e-3, outer_steps=3,
                        iterations=120)
trained = minorml.train(config, make_envs=make_envs, progress=False)

# %%
# Adapt
# -----
#
# Each repetition explores anew, and adapts by one step without a reward. Standing still has a return of -10.

tasks = [{"gain": -1.0}, {"gain": 1.0}]
scores = minorml.evaluate(trained, tasks, repetitions=3, make_envs=make_envs)
for score in scores:
    mean, deviation = score.returns.mean(), score.returns.std()
    print(f"gain {score.task['gain']:+.0f}, {score.stage:12} return {mean:6.2f} ± {deviation:.2f}")

# %%
# How training went
# -----------------

figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
steps = [row["env_steps"] for row in trained.metrics]
axes.plot(steps, [row["pre_return"] for row in trained.metrics], "--", label="before adaptation")
axes.plot(steps, [row["post_return"] for row in trained.metrics], label="after adaptation")
axes.set(xlabel="environment steps", ylabel="return")
axes.legend()
plt.show()
