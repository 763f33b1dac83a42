"""What stays the same during a run: environments, networks and method."""

from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from ..advantage import AdvantageNetwork
from ..methods import METHODS, Method
from ..policy import GaussianPolicy
from .checks import require_number
from .config import Config
from .foreign import EnvironmentFailed, Guard, describe_error
from .rollout import rollout, scale_actions


class Problem(NamedTuple):
    """The environments, the networks and the method of a configuration. Made by `make_problem`, or `without_envs`."""

    config: Config
    envs: gymnasium.vector.VectorEnv | None  # M·K copies; None where a log is all that there is
    policy: GaussianPolicy
    laf: AdvantageNetwork
    method: Method

    @property
    def adapt_steps(self):
        """Adaptation steps during training: none for a method that does not adapt."""
        return self.config.adapt_steps if self.method.adapts else 0

    def rollout(self, thetas, rngs, names=None):
        """K trajectories on each task that is set: θ (M, P) → M `Trajectories`. `names` of the tasks, for errors."""
        config = self.config
        try:
            return rollout(self.envs, self.policy, thetas, config.horizon, rngs, config.obs_scale, config.action_scale,
                           names, config.action_offset)
        except EnvironmentFailed as error:
            raise EnvironmentFailed(f"{error} (env {config.env})") from error.__cause__

    def scale_actions(self, a):
        """What the environment gets of the policy's actions (..., U)."""
        return scale_actions(a, self.config.action_scale, self.config.action_offset)


def make_problem(config, num_tasks=None, make_envs=None):
    """Environments and networks for a configuration.

    Parameters
    ----------
    config : Config
    num_tasks : how many tasks to have copies for; default: the meta-batch
    make_envs : n ↦ a gymnasium.vector.VectorEnv of n copies; default: `gymnasium.make_vec(config.env, n, …)`

    Raises
    ------
    ValueError : the environment cannot be made, or does not fit the configuration
    """
    num_tasks = config.num_tasks if num_tasks is None else num_tasks
    envs = (make_envs or partial(_make_vec, config.env, config.env_options))(num_tasks * config.num_trajectories)
    if isinstance(envs, SyncVectorEnv):
        envs.envs = [Guard(env, number) for number, env in enumerate(envs.envs)]
    try:
        obs_dim = _width("observation", envs.single_observation_space, "obs_scale", config.obs_scale)
        act_dim = _width("action", envs.single_action_space, "action_scale", config.action_scale)
        _width("action", envs.single_action_space, "action_offset", config.action_offset)
        autoreset = envs.metadata.get("autoreset_mode")
        if autoreset is not AutoresetMode.NEXT_STEP:
            raise ValueError("autoreset mode: expected NEXT_STEP, which shows the last observation of an episode; "
                             f"given {autoreset}")
        for part in config.distribution:
            require_number(envs, part.name)
    except (AttributeError, ValueError) as error:
        envs.close()
        raise ValueError(f"env {config.env}: {error}") from error
    return without_envs(config, obs_dim, act_dim)._replace(envs=envs)


def without_envs(config, obs_dim, act_dim):
    """The networks for a configuration and a robot of S observations and U actions."""
    return Problem(config, None,
                   GaussianPolicy(obs_dim, act_dim, config.hidden, config.activation),
                   AdvantageNetwork(obs_dim, act_dim, config.laf_hidden, config.laf_activation),
                   METHODS[config.method])


def _make_vec(env_id, options, num_envs):
    """A vector of environments whose attributes can be set: the environment's own, or else Gymnasium's."""
    with _named(env_id):
        envs = gymnasium.make_vec(env_id, num_envs=num_envs, **options)
        if hasattr(envs, "set_attr"):
            return envs
        envs.close()
        return gymnasium.make_vec(env_id, num_envs=num_envs, vectorization_mode="sync", **options)


@contextmanager
def _named(env_id):
    """Turn what goes wrong when an environment is made into an error that names it."""
    try:
        yield
    except (gymnasium.error.Error, ImportError, AttributeError, TypeError, ValueError) as error:
        needs = "; pip install 'gymnasium[mujoco]'" if getattr(error, "name", "") in ("imageio", "mujoco") else ""
        raise ValueError(f"env: cannot make {env_id!r}: {error}{needs}") from error
    except MemoryError:
        raise
    except Exception as error:
        raise EnvironmentFailed(f"env: cannot make {env_id!r}: {describe_error(error)}") from error


def step_limit(env_id, options=None):
    """The step at which a registered environment's episodes are cut off: the natural horizon T."""
    with _named(env_id):
        env = gymnasium.make(env_id, **options or {})
    env.close()
    if env.spec.max_episode_steps is None:
        raise ValueError(f"horizon: {env_id} has no limit of its own; give one")
    return env.spec.max_episode_steps


def _width(name, space, scale_name, scale):
    """The number of coordinates of a space of real vectors, and so of the scale for it."""
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1 or space.dtype.kind != "f":
        help = {"observation": "gymnasium.wrappers.FlattenObservation makes one of a Dict, Tuple, Discrete or image",
                "action": "gymnasium.wrappers.TransformAction can make your actions of real ones"}[name]
        raise ValueError(f"{name} space: expected a Box of one dimension and of real numbers; given {space}; {help}")
    if len(scale) not in (0, space.shape[0]):
        raise ValueError(f"{scale_name}: expected {space.shape[0]} numbers, or none; given {scale}")
    return space.shape[0]
