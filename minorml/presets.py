"""Environment × method rows of hyper-parameters: `PRESETS["point/norml"]`.

The values are those of the authors' released configurations, except where a comment says what was changed
and why. Where they have no row (domain randomization of the point agent) the values are ours.
"""

import math

from .config import Config, nearest

ROTATION = (f"rotation=uniform:{-math.pi},{math.pi}",)

ENVIRONMENTS = {
    "point": dict(env="envs:minorml/PointRotation-v0", vary=ROTATION, horizon=10, discount=0.9),
    "point-sparse": dict(env="envs:minorml/PointRotationSparse-v0", vary=ROTATION, horizon=100, discount=0.9),
}

# environment, method, α, outer rate, log σ, and what else differs from Config's defaults
ROWS = [
    ("point", "dr", 0.0, 3e-3, -1.0, dict(adapt_steps=0)),
    ("point", "maml", 0.02, 7e-3, -3.0, {}),
    ("point", "norml-no-laf", 0.1, 3e-3, -3.0, {}),
    ("point", "norml-no-offset", 0.7, 6e-4, -3.25, {}),
    ("point", "norml", 10.0, 6e-3, -0.75, {}),
    ("point-sparse", "dr", 0.0, 2e-3, -1.0, dict(adapt_steps=0)),
    ("point-sparse", "maml", 1e-4, 2e-3, -1.25, {}),
    ("point-sparse", "norml-no-laf", 7.0, 2e-3, -0.5, {}),
    ("point-sparse", "norml-no-offset", 2e-5, 1e-3, -1.0, {}),
    ("point-sparse", "norml", 9.0, 2.6e-3, -0.6, {}),
]

PRESETS = {
    f"{env}/{method}": Config(**ENVIRONMENTS[env], method=method, inner_rate=inner_rate, outer_rate=outer_rate,
                              log_std=log_std, **others)
    for env, method, inner_rate, outer_rate, log_std, others in ROWS
}


def preset(name):
    """The Config of `ENV/METHOD`; ValueError with the nearest names if there is none."""
    if name not in PRESETS:
        raise ValueError(f"preset: no preset {name!r}; {nearest(name, PRESETS)}")
    return PRESETS[name]
