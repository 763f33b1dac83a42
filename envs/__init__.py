"""Gymnasium environments whose dynamics vary from task to task. Importing this package registers them.

| id                               | task attribute | steps |
|----------------------------------|----------------|-------|
| `minorml/PointRotation-v0`       | `rotation`     | 10    |
| `minorml/PointRotationSparse-v0` | `rotation`     | 100   |

`gymnasium.make("envs:minorml/PointRotation-v0")` imports and makes one; `gymnasium.make_vec` makes many
that are stepped together as arrays.
"""

from gymnasium.envs.registration import register

for name, steps, options in [("PointRotation", 10, {}), ("PointRotationSparse", 100, {"sparse": True})]:
    register(f"minorml/{name}-v0", entry_point="envs.point:PointRotationEnv",
             vector_entry_point="envs.point:PointRotationVectorEnv", max_episode_steps=steps, kwargs=options)
