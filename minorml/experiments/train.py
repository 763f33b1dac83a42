"""Meta-training: Algorithms 1 (MAML) and 3 (NoRML) of Yang et al. 2019, and domain randomization, in one loop.

    repeat
        draw M tasks
        explore, adapt, perform                              (`minorml/parallel/share.py`, in shares)
        learn:    mean over tasks of (meta.2)–(meta.5)       → Adam

A run continues from a checkpoint as if it had never stopped, and its numbers are the same whoever did the work:
gradients are added in the order of the tasks, and random numbers come from keyed streams.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import closing, nullcontext
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..parallel.signals import first_signal_waits
from ..parallel.workers import WorkerError, WorkerPool
from ..rl import adam
from ..rl.baseline import pooled
from ..rl.checks import check_step_copy, check_tasks, tell_actions_outside, tell_integers, tell_lost_noise
from ..rl.config import Config
from ..rl.presets import preset
from ..rl.problem import make_problem
from ..runs.directory import Run
from ..runs.failures import Failure, NotFinite
from ..runs.machine import releases, versions
from ..runs.progress import Progress, say
from .trained import State, Trained, initial_state, problem_with_closed_envs, with_reference


def iterate(problem, pool, state):
    """One outer iteration of `pool` → (next state, its row of metrics).

    Raises NotFinite, with the state untouched, where a loss, gradient or parameter is not finite.
    """
    begun = time.perf_counter()
    config, meta, moments = problem.config, state.meta, state.moments
    rate = adam.linear_decay(config.outer_rate, state.iteration, config.iterations)

    def failed(error, tasks=(), *moments_of_advantages):
        batches = pool.batches(tasks, state.meta, state.iteration, *moments_of_advantages) if tasks else []
        return NotFinite(str(error), Failure(state.iteration, meta, moments, rate, list(tasks), batches))

    try:
        sampled = pool.sample(meta, state.iteration)
    except FloatingPointError as error:
        raise failed(error) from error
    mean, std = pooled([one.advantages for one in sampled])
    norm = 0.0
    for _ in range(config.outer_steps):
        parts = pool.gradients(meta, state.meta, state.iteration, mean, std)
        clip_fraction = np.mean([one.clip_fraction for one in parts])  # of the first update: 0
        if clip_fraction > config.max_clip_fraction:
            break
        wrong = {i: what for i, one in enumerate(parts) if (what := _not_finite(problem.policy, one))}
        if wrong:
            first = min(wrong)
            raise failed(f"{wrong[first]} of task {first}: not finite", list(wrong), mean, std)
        if math.isinf(std):  # nothing to tell good from bad: the gradient is 0, and Adam would go on as it went before
            break
        gradients = {name: sum(getattr(one.gradient, name) for one in parts) / config.num_tasks
                     for name in config.learned}
        try:
            meta, moments, norm = _update(config, meta, moments, gradients, rate)
        except FloatingPointError as error:
            raise failed(error, range(config.num_tasks), mean, std) from error

    state = State(meta, moments, state.iteration + 1, state.env_steps + sum(one.env_steps for one in sampled),
                  state.seconds + time.perf_counter() - begun)
    pre, post = [one.pre_return for one in sampled], [one.post_return for one in sampled]
    row = {
        "iteration": state.iteration,
        "env_steps": state.env_steps,
        "seconds": state.seconds,
        "pre_return": np.mean(pre),
        "pre_return_std": np.std(pre),
        "post_return": np.mean(post),
        "post_return_std": np.std(post),
        "episodes": config.num_tasks * config.num_trajectories * (1 + problem.adapt_steps),
        "loss": np.mean([one.loss for one in parts]),
        "gradient_norm": norm,
        "log_std": problem.policy.split(meta.theta)[1].mean(),
        "alpha_norm": np.linalg.norm(meta.alpha),
        "clip_fraction": clip_fraction,
    }
    return state, {name: value if isinstance(value, int) else float(value) for name, value in row.items()}


def _not_finite(policy, part):
    """The name of what is not finite in a task's contribution, or None."""
    if not np.isfinite(part.loss):
        return "loss"
    weights, log_std = policy.split(part.gradient.theta)
    if np.isfinite(weights).all() and not np.isfinite(log_std).all():
        return "gradient in log σ"
    return next((f"gradient in {name}" for name, g in part.gradient._asdict().items() if not np.isfinite(g).all()),
                None)


def _update(config, meta, moments, gradients, rate):
    """One step of Adam on each learned field → (meta, moments, norm of the gradient before it was shortened)."""
    changed, moments, norm = adam.update(meta._asdict(), moments, gradients, config.rates(rate),
                                         config.max_gradient_norm)
    for name, x in changed.items():
        for what, array in ((name, x), (f"Adam's moments of {name}", moments[name][:2])):
            if not np.isfinite(array).all():
                raise FloatingPointError(f"{what}: not finite after the update")
    return meta._replace(**changed), moments, norm


def train(config: Config | str, out: str | PathLike | None = None, *, resume: bool = False, overwrite: bool = False,
          progress: bool = True, make_envs: Callable | None = None, workers: int | None = None,
          executor: Executor | None = None, scheduler: str | None = None, other_versions: bool = False,
          **fields: Any) -> Trained:
    """Meta-train.

    Parameters
    ----------
    config : Config, or the name of a preset such as "point/norml"
    out : the run's directory; None keeps nothing on disk
    resume, overwrite : continue the run that `out` holds, or replace it
    progress : show progress on stderr
    make_envs : n ↦ a VectorEnv of n copies, for environments of your own; see `minorml/rl/problem.py`
    workers, executor, scheduler : who does the work, see `minorml/parallel/workers.py`; the numbers do not depend on it
    other_versions : resume with other versions of Python or of packages; the last bits will differ
    **fields : fields of Config to change, for example seed=3, iterations=300

    Returns
    -------
    Trained

    Raises
    ------
    ValueError : a wrong preset, field or value
    RunError : `out` cannot be used as asked
    FloatingPointError : a quantity became infinite or NaN; the state before it is in the last checkpoint
    WorkerError : a worker failed or died; the last finished iteration is in the last checkpoint
    Stopped : SIGINT or SIGTERM came, and the iteration in hand was finished and saved
    """
    config = replace(preset(config) if isinstance(config, str) else config, **fields)
    problem, state = _checked(config, make_envs, progress)  # first: what is wrong shows before a file is made
    metrics, spaces = [], (problem.policy.obs_dim, problem.policy.act_dim)
    with (WorkerPool(config, make_envs, workers, executor, scheduler) as pool,
          first_signal_waits(progress) as stop_if_asked):
        run, others = None, other_workers(pool)
        if out is not None:
            run = Run.reopen(out, config, other_versions) if resume else Run.create(out, config, overwrite)
            run.keep_spaces(*spaces)
            if others:
                run.keep_workers(others)
        with nullcontext() if run is None else closing(run):
            if resume and run is not None:
                state = run.restore(state)
                metrics = run.metrics()
            elif run is not None:
                run.save(state)
            label = f"{config.method} seed {config.seed}"
            with Progress(config.iterations, state.iteration, label, progress) as shown:
                while state.iteration < config.iterations:
                    stop_if_asked()
                    state, row = _next(problem, pool, state, run)
                    metrics.append(row)
                    if run is not None:
                        run.append(row)
                        run.save(state)
                    shown.update(before=row["pre_return"], after=row["post_return"])
    trained = with_reference(Trained(config, state.meta, metrics, spaces), make_envs, progress)
    if out is not None and trained.reference is not None:
        trained.reference.save(Path(out))
    return trained


def other_workers(pool):
    """What workers have, that have other versions or another processor than this process; said on stderr too."""
    def facts(there):
        return {**releases(there), "processor": there["processor"]}

    here = versions()
    others = [there for there in pool.on_each_worker(versions) if facts(there) != facts(here)]
    others = [there for i, there in enumerate(others) if there not in others[:i]]
    for there in others:
        differences = ", ".join(f"{name} {facts(there)[name]} (here {value})" for name, value in facts(here).items()
                                if facts(there)[name] != value)
        say(f"a worker is not as this process is, so that numbers depend on who does the work: {differences}")
    return others


def _next(problem, pool, state, run):
    """`iterate`; where a number is not finite, what led to it is kept in the run's directory."""
    try:
        return iterate(problem, pool, state)
    except WorkerError:
        if run is not None and state.iteration == 0:
            run.discard()  # or else it would be in the way when what failed is mended
        raise
    except NotFinite as error:
        kept = "" if run is None else f"; look through it with: minorml replay {run.keep_failure(error)}"
        message = f"iteration {state.iteration + 1}: {error} (env {problem.config.env})"
        raise FloatingPointError(message + kept) from error


def _checked(config, make_envs, say):
    """The problem and its first state, once the environments were looked at (`minorml/rl/checks.py`)."""
    problem = problem_with_closed_envs(config, make_envs)
    pair = make_problem(replace(config, num_trajectories=1), 2, make_envs)
    with closing(pair.envs):
        if say:
            tell_lost_noise(config)
            tell_integers(pair)
        check_tasks(pair)
        check_step_copy(pair)
        state = initial_state(problem)
        if say:
            tell_actions_outside(pair, state.meta.theta)
    return problem, state
