"""Gymnasium environments that differ from task to task. Importing this package registers them.

It is installed as `minorml_envs`.

| id                               | task attribute             | reward                      | steps |
|----------------------------------|----------------------------|-----------------------------|-------|
| `minorml/PointRotation-v0`       | `rotation`, radians        | −distance to the goal       | 10    |
| `minorml/PointRotationSparse-v0` | `rotation`, radians        | −1 until the goal           | 100   |
| `minorml/PointGoal-v0`           | `goal_angle`, radians      | −distance to the goal       | 10    |
| `minorml/CartPoleSensorBias-v0`  | `angle_bias`, radians      | 1 while the pole stands     | 500   |
| `minorml/CartPolePositions-v0`   | `angle_bias`, rates unseen | 1 while the pole stands     | 500   |
| `minorml/CartPoleMotor-v0`       | `reversed`, 0 or 1         | 1 while the pole stands     | 500   |
| `minorml/CartPoleMotorPole-v0`   | `reversed`, cart unseen    | 1 while the pole stands     | 500   |
| `minorml/HalfCheetahSwap-v0`     | `swapped`, 0 or 1          | speed − effort + 1          | 1000  |
| `minorml/HalfCheetahReverse-v0`  | `reversed`, 0 or 1         | speed − effort + 1          | 1000  |

`gymnasium.make("minorml_envs:minorml/PointRotation-v0")` imports and makes one; `gymnasium.make_vec` makes many
that are stepped together as arrays. The task is changed with `set_attr`, for PointGoal the goal and for all
others the dynamics or the sensors.
"""

from gymnasium.envs.registration import register, registry

ROWS: list[tuple[str, int, str, dict]] = [  # name, most steps of an episode, class, what it is made with
    ("PointRotation", 10, "point:PointRotation", {}),
    ("PointRotationSparse", 100, "point:PointRotation", {"sparse": True}),
    ("PointGoal", 10, "point:PointGoal", {}),
    ("CartPoleSensorBias", 500, "cartpole:CartPoleSensorBias", {}),
    ("CartPolePositions", 500, "cartpole:CartPoleSensorBias", {"observed": "positions"}),
    ("CartPoleMotor", 500, "cartpole:CartPoleMotor", {}),
    ("CartPoleMotorPole", 500, "cartpole:CartPoleMotor", {"observed": "pole"}),
    ("HalfCheetahSwap", 1000, "cheetah:HalfCheetahSwap", {}),
    ("HalfCheetahReverse", 1000, "cheetah:HalfCheetahReverse", {}),
]
for name, steps, system, options in ROWS:
    if f"minorml/{name}-v0" not in registry:
        register(f"minorml/{name}-v0", entry_point=f"{__name__}.{system}Env",
                 vector_entry_point=f"{__name__}.{system}VectorEnv", max_episode_steps=steps, kwargs=options)
