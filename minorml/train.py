"""Meta-training: Algorithms 1 (MAML) and 3 (NoRML) of Yang et al. 2019, and domain randomization, in one loop.

    repeat
        draw M tasks
        explore:  roll out π_θ on each task                  → D_i^train       (again after each adaptation step)
        adapt:    θ_i by (meta.1)
        perform:  roll out π_θi on each task                 → D_i^test
        learn:    mean over tasks of (meta.2)–(meta.5)       → Adam

Every random number comes from `stream(seed, …)` with a key that says what it is for, so nothing depends on
what was drawn before, and a run continues from a checkpoint as if it had never stopped.
"""

import dataclasses
import time
from contextlib import closing
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from . import adam
from .baseline import estimate_advantages, normalise
from .config import Config
from .learner import make_learner
from .meta import MetaParameters, adapt, outer_loss
from .presets import preset
from .progress import Progress
from .runs import Run
from .tasks import sample_tasks, set_tasks

INIT, DRAW_TASKS, TRAIN, EVALUATE = range(4)  # what a stream of random numbers is for


def stream(seed, *key):
    """A generator of its own for each key of integers."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class State(NamedTuple):
    """What changes from one iteration to the next, and all that a checkpoint holds."""

    meta: MetaParameters
    moments: dict  # field of MetaParameters → adam.Moments, for the learned ones
    iteration: int  # finished iterations
    env_steps: int  # environment steps lived so far
    seconds: float  # time spent so far


def initial_state(learner):
    """θ and ψ drawn, θ_off = 0, α = the inner rate everywhere."""
    config, rng = learner.config, stream(learner.config.seed, INIT)
    theta = learner.policy.init(rng, config.log_std, config.dtype)
    meta = MetaParameters(theta, np.zeros_like(theta), learner.laf.init(rng, config.dtype),
                          np.full_like(theta, config.inner_rate))
    moments = {name: adam.Moments.zeros_like(getattr(meta, name)) for name in config.learned}
    return State(meta, moments, iteration=0, env_steps=0, seconds=0.0)


def stack(adapted):
    """The θ_i of M pairs (θ_i, pullback) as one array, (M, P)."""
    return np.stack([theta_i for theta_i, _ in adapted])


def explore_and_adapt(learner, meta, steps, rngs):
    """Roll out, adapt, and again: `steps` times, each on fresh transitions of the tasks that are set.

    Returns a list with each step's trajectories (M of them), the M lists of batches, and the M (θ_i, pullback).
    """
    config, policy, laf, method = learner.config, learner.policy, learner.laf, learner.method
    explored, batches = [], [[] for _ in rngs]
    adapted = [adapt(policy, laf, method, meta, [])] * len(rngs)
    for _ in range(steps):
        trajectories = learner.rollout(stack(adapted), rngs)
        explored.append(trajectories)
        for one, mine in zip(trajectories, batches):
            advantages = None
            if method.uses_rewards:
                advantages, = normalise([estimate_advantages(one, config.discount)])
                advantages = advantages.astype(config.dtype)
            mine.append(one.batch(advantages))
        adapted = [adapt(policy, laf, method, meta, mine) for mine in batches]
    return explored, batches, adapted


def iterate(learner, state):
    """One outer iteration → (next state, its row of metrics).

    Raises FloatingPointError, with the state untouched, where a loss, gradient or parameter is not finite.
    """
    start = time.perf_counter()
    config, policy, meta = learner.config, learner.policy, state.meta
    tasks = sample_tasks(config.distribution, stream(config.seed, DRAW_TASKS, state.iteration), config.num_tasks)
    set_tasks(learner.envs, tasks, config.num_trajectories)
    rngs = [stream(config.seed, TRAIN, state.iteration, i) for i in range(config.num_tasks)]

    steps = config.adapt_steps if learner.method.adapts else 0
    explored, pre, adapted = explore_and_adapt(learner, meta, steps, rngs)
    performed = learner.rollout(stack(adapted), rngs)
    advantages = normalise([estimate_advantages(one, config.discount) for one in performed])
    post = [one.batch(a.astype(config.dtype)) for one, a in zip(performed, advantages)]

    moments = state.moments
    for k in range(config.outer_steps):
        if k > 0:
            adapted = [adapt(policy, learner.laf, learner.method, meta, mine) for mine in pre]
        outer = [outer_loss(policy, theta_i, batch, config.clip) for (theta_i, _), batch in zip(adapted, post)]
        if not np.isfinite([o.loss for o in outer]).all():
            raise FloatingPointError(f"loss of the tasks: not finite: {[float(o.loss) for o in outer]}")
        gradients = [pullback(o.gradient) for o, (_, pullback) in zip(outer, adapted)]
        gradient = MetaParameters(*(sum(parts) / config.num_tasks for parts in zip(*gradients)))
        rate = adam.linear_decay(config.outer_rate, state.iteration, config.iterations)
        meta, moments = _update(config.learned, meta, moments, gradient, rate)

    lived = sum(int(one.alive.sum()) for trajectories in [*explored, performed] for one in trajectories)
    state = State(meta, moments, state.iteration + 1, state.env_steps + lived,
                  state.seconds + time.perf_counter() - start)
    before = [one.returns.mean() for one in (explored[0] if explored else performed)]
    after = [one.returns.mean() for one in performed]
    row = {
        "iteration": state.iteration,
        "env_steps": state.env_steps,
        "seconds": state.seconds,
        "pre_return": np.mean(before),
        "pre_return_std": np.std(before),
        "post_return": np.mean(after),
        "post_return_std": np.std(after),
        "episodes": config.num_tasks * config.num_trajectories * (len(explored) + 1),
        "loss": np.mean([o.loss for o in outer]),
        "gradient_norm": np.sqrt(sum(np.sum(getattr(gradient, name)**2) for name in config.learned)),
        "log_std": policy.split(meta.theta)[1].mean(),
        "alpha_norm": np.linalg.norm(meta.alpha),
        "clip_fraction": np.mean([o.clip_fraction for o in outer]),
    }
    return state, {name: value if isinstance(value, int) else float(value) for name, value in row.items()}


def _update(learned, meta, moments, gradient, rate):
    """One step of Adam on each learned field."""
    changed, new_moments = {}, {}
    for name in learned:
        g = getattr(gradient, name)
        if not np.isfinite(g).all():
            raise FloatingPointError(f"gradient in {name}: not finite")
        changed[name], new_moments[name] = adam.step(getattr(meta, name), g, moments[name], rate)
        if not np.isfinite(changed[name]).all():
            raise FloatingPointError(f"{name}: not finite after the update")
    return meta._replace(**changed), new_moments


class Trained(NamedTuple):
    """The outcome of training: what it was asked, what was learned, and how it went."""

    config: Config
    meta: MetaParameters
    metrics: list  # one dict per iteration


def train(config, out=None, *, resume=False, overwrite=False, progress=True, make_envs=None, **fields):
    """Meta-train.

    Parameters
    ----------
    config : Config, or the name of a preset such as "point/norml"
    out : the run's directory; None keeps nothing on disk
    resume, overwrite : continue the run that `out` holds, or replace it
    progress : show progress on stderr
    make_envs : n ↦ a VectorEnv of n copies, for environments of your own; see `minorml/learner.py`
    **fields : fields of Config to change, for example seed=3, iterations=300

    Returns
    -------
    Trained

    Raises
    ------
    ValueError : a wrong preset, field or value
    RunError : `out` cannot be used as asked
    FloatingPointError : a quantity became infinite or NaN; the state before it is in the last checkpoint
    """
    config = dataclasses.replace(preset(config) if isinstance(config, str) else config, **fields)
    learner = make_learner(config, make_envs=make_envs)  # first: what is wrong with it shows before a file is made
    with closing(learner.envs):
        state, run, metrics = initial_state(learner), None, []
        if out is not None and resume:
            run = Run.reopen(out, config)
            state = run.load(state)
            run.cut_metrics(state.iteration)
            metrics = run.metrics()
        elif out is not None:
            run = Run.create(out, config, overwrite)
            run.save(state)

        label = f"{config.method} seed {config.seed}"
        try:
            with threadpool_limits(1), Progress(config.iterations, state.iteration, label, progress) as shown:
                while state.iteration < config.iterations:
                    state, row = iterate(learner, state)
                    metrics.append(row)
                    shown.update(before=row["pre_return"], after=row["post_return"])
                    if run is not None:
                        run.append(row)
                        if state.iteration % config.checkpoint_every == 0:
                            run.save(state)
        except FloatingPointError as error:
            raise FloatingPointError(f"iteration {state.iteration + 1}: {error}") from error
        finally:  # however it ends, `state` is that of the last finished iteration
            if run is not None:
                run.save(state)
                run.close()
    return Trained(config, state.meta, metrics)


def load(path, make_envs=None):
    """The Trained of a run's directory, from its newest checkpoint. `make_envs` as for `train`."""
    run = Run(path)
    learner = make_learner(run.config, 1, make_envs)
    with closing(learner.envs):
        return Trained(run.config, run.load(initial_state(learner)).meta, run.metrics())
