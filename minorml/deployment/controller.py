"""A policy that can be run: observations in, actions out, both in the environment's own units.

    explorer = trained.policy()              π_θ, the one to record with
    explorer.act(observation, rng)           a ~ π_θ(·|s): an action that explores
    explorer.act(observation)                the mean action
    explorer.export("explorer.c")            for a robot without Python
    explorer.save("explorer.npz");  load_policy("explorer.npz")
"""

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np

from ..policy import GaussianPolicy, check_shape
from ..rl.rollout import scale_actions, scale_observations
from ..runs import checkpoints
from .export import export
from .fit import FitReport


@dataclass(frozen=True, eq=False)
class Policy:
    """A Gaussian policy with its parameters and scales. From `trained.policy()`, `trained.adapt(…)` or `load_policy`.

    S observations, U actions, P parameters. The network sees observations divided by `obs_scale`; its actions are
    multiplied by `action_scale`, and `action_offset` is added. All of that happens inside.
    """

    family: GaussianPolicy
    theta: np.ndarray = field(repr=False)  # (P,)
    obs_scale: tuple[float, ...] = ()  # (S,), or empty: observations as they are
    action_scale: tuple[float, ...] = ()  # (U,), or empty
    action_offset: tuple[float, ...] = ()  # (U,), or empty
    report: FitReport | None = field(default=None, repr=False)  # of an adapted policy: did its logs fit?

    def act(self, observation: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """What to do.

        Parameters
        ----------
        observation : (S,), or (N, S) for N of them, in the environment's own units
        rng : draws the action; None: the mean action

        Returns
        -------
        action : (U,), or (N, U), in the environment's own units. It may lie outside of what motors can do; what is
            logged has to be this action, and not the clipped one

        Raises
        ------
        ValueError : another shape, or an observation that is not finite
        """
        S, many = self.family.obs_dim, np.ndim(observation) > 1
        check_shape("observation", observation, ("N", S) if many else (S,))
        s = scale_observations(observation, self.obs_scale)
        if not np.isfinite(s).all():
            raise ValueError(f"observation: expected finite numbers; given {observation}")
        rows = np.atleast_2d(s).astype(self.theta.dtype)
        if rng is None:
            a = self.family.mean(self.theta, rows)
        else:
            noise = rng.standard_normal((len(rows), self.family.act_dim)).astype(self.theta.dtype)
            a = self.family.actions(self.theta[None], rows[None], noise[None])[0]
        return scale_actions(a, self.action_scale, self.action_offset).reshape(*s.shape[:-1], -1)

    def save(self, path: str | PathLike) -> None:
        """Write the policy to an .npz, from which `load_policy` gives it back to the last bit."""
        if Path(path).suffix != ".npz":
            raise ValueError(f"save: expected a file that ends in .npz; given {str(path)!r} (`export` has others)")
        export(self, path)

    def export(self, path: str | PathLike) -> None:
        """Write a file that runs without minorml: .onnx, .c, .h or .npz, see `minorml.deployment.export.export`."""
        export(self, path)


def load_policy(path: str | PathLike) -> Policy:
    """The Policy of an .npz that `save` or `export` wrote.

    Raises
    ------
    ValueError : the file is damaged, or holds something else
    OSError : there is no such file
    """
    try:
        arrays, manifest = checkpoints.read(path)
        depth = sum(name.startswith("W") for name in arrays)
        layers = [(arrays[f"W{l}"], arrays[f"b{l}"]) for l in range(1, 1 + depth)]
        sizes = [len(layers[0][0]), *(len(b) for _, b in layers)]
        family = GaussianPolicy(sizes[0], sizes[-1], sizes[1:-1], manifest["activation"])
        theta = np.concatenate([part.ravel() for layer in layers for part in layer] + [arrays["log_std"]])
        check_shape("theta", theta, (family.num_params,))
        obs_scale, action_scale, action_offset = (tuple(arrays[name].tolist()) for name in
                                                  ("obs_scale", "action_scale", "action_offset"))
        return Policy(family, theta, obs_scale, action_scale, action_offset)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: not a policy that minorml wrote ({what})") from None
