"""What training gives: parameters that explore and adapt, and what a robot's owner does with them.

    trained = minorml.load("runs/a")
    explorer = trained.policy()              record with it
    adapted = trained.adapt(recording)       a policy, with .report: does the log fit?
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from os import PathLike
from typing import NamedTuple

import numpy as np

from ..deployment.adapting import adapt_to, batch_of, measure_reference
from ..deployment.controller import Policy
from ..deployment.fit import FitReport, fit_report
from ..deployment.recording import Recording
from ..deployment.reference import Reference
from ..meta import MetaParameters
from ..methods import METHODS
from ..rl import adam
from ..rl.config import Config
from ..rl.problem import make_problem, without_envs
from ..rl.streams import INIT, stream
from ..rl.tasks import grid_tasks, set_tasks
from ..rl.threads import one_blas_thread
from ..runs.directory import Run


class State(NamedTuple):
    """What changes from one iteration to the next, and all that a checkpoint holds."""

    meta: MetaParameters
    moments: dict  # field of MetaParameters → adam.Moments, for the learned ones
    iteration: int  # finished iterations
    env_steps: int  # environment steps so far
    seconds: float  # wall-clock time so far


def initial_state(problem):
    """θ and ψ drawn, θ_off = 0, α = the inner rate everywhere."""
    config, rng = problem.config, stream(problem.config.seed, INIT)
    theta = problem.policy.init(rng, config.log_std, config.dtype)
    meta = MetaParameters(theta, np.zeros_like(theta), problem.laf.init(rng, config.dtype),
                          np.full_like(theta, config.inner_rate))
    moments = {name: adam.Moments.zeros_like(getattr(meta, name)) for name in config.learned}
    return State(meta, moments, iteration=0, env_steps=0, seconds=0.0)


class Trained(NamedTuple):
    """The outcome of training: what it was asked, what was learned, and how it went."""

    config: Config
    meta: MetaParameters
    metrics: list[dict]  # one per iteration
    spaces: tuple[int, int] | None = None  # (S, U); None: the environment is asked
    reference: Reference | None = None  # what logs of held-out tasks gave; None: a log is compared with no other

    def policy(self) -> Policy:
        """π_θ, the policy that explores: the one to record with."""
        return _policy(self, self.meta.theta)

    def adapt(self, recording: Recording | Sequence[Recording], strict: bool = False) -> Policy:
        """Adapt to a robot's log: Algorithm 4, without an environment.

        Parameters
        ----------
        recording : K episodes or so, recorded by `policy()`. Or several recordings, one for each adaptation step, each
            recorded by the policy that the one before it gave
        strict : refuse a log that does not fit

        Returns
        -------
        Policy, whose `report` says whether the log fits

        Raises
        ------
        ValueError : the log is of another robot, lacks rewards that the method needs, or (strict) does not fit; the
            method does not adapt
        FloatingPointError : the adapted parameters are not finite
        """
        problem, meta = _networks(self), self.meta
        if not problem.method.adapts:
            raise ValueError(f"adapt: {self.config.method} does not adapt; its policy is the same for all tasks")
        recordings = [recording] if isinstance(recording, Recording) else list(recording)
        if not recordings or not all(isinstance(log, Recording) for log in recordings):
            raise ValueError(f"adapt: expected a Recording, or a list of them; given {recording!r:.80}; "
                             "minorml.load_recording reads a file")
        thetas, findings, batches = [meta.theta], [], []
        for k, log in enumerate(recordings):
            batches.append(batch_of(problem, log))
            with one_blas_thread:
                thetas.append(adapt_to(problem, meta, [batches])[0])
            if not np.isfinite(thetas[-1]).all():
                raise FloatingPointError(f"adapt: the policy's parameters are not finite after step {k + 1}")
            reference = self.reference if k == 0 else None  # which is of the first step
            findings += fit_report(problem, meta, thetas[k], thetas[k + 1], log, batches[k], reference).findings
        report = FitReport(findings)
        if strict and not report.fits:
            raise ValueError("the log does not fit:\n  " + "\n  ".join(report.warnings))
        return replace(_policy(self, thetas[-1]), report=report)


def _networks(trained):
    """The problem of a Trained, without environments."""
    if trained.spaces is None:
        return problem_with_closed_envs(trained.config, None)._replace(envs=None)
    return without_envs(trained.config, *trained.spaces)


def _policy(trained, theta):
    config = trained.config
    return Policy(_networks(trained).policy, theta, config.obs_scale, config.action_scale, config.action_offset)


def with_reference(trained, make_envs=None, progress=False):
    """The Trained with a reference, measured now (`measure_reference`). Where that is not possible, it is told.

    `make_envs` as for `train`.
    """
    config = trained.config
    if not METHODS[config.method].adapts:
        return trained
    try:
        problem = make_problem(config, None, make_envs)
        with closing(problem.envs):
            return trained._replace(reference=measure_reference(problem, trained.meta, len(trained.metrics), progress))
    except Exception as error:  # a simulator that fails, or is not here, takes nothing away from what was learned
        print(f"minorml: held-out logs, which a robot's log is compared with, could not be recorded: {error}",
              file=sys.stderr)
        return trained


def load(path: str | PathLike, make_envs: Callable | None = None, iteration: int | None = None) -> Trained:
    """The Trained of a run's directory, from its newest checkpoint. No environment is needed.

    make_envs : as for `train`, for a run that was begun before the run's directory kept the numbers of observations and
        actions
    iteration : after so many iterations instead. The last three are kept, and each tenth of the run
    """
    run = Run(path)
    spaces = run.spaces()
    problem = without_envs(run.config, *spaces) if spaces else problem_with_closed_envs(run.config, make_envs)
    state = run.load(initial_state(problem), iteration=iteration)
    return Trained(run.config, state.meta, run.metrics()[:state.iteration],
                   (problem.policy.obs_dim, problem.policy.act_dim), Reference.load(run.path, state.iteration))


def problem_with_closed_envs(config, make_envs):
    """A problem whose environments took some of the tasks and are closed again: its networks and spaces alone."""
    problem = make_problem(config, 1, make_envs)
    with closing(problem.envs):
        for task in grid_tasks(config.distribution, 16):
            set_tasks(problem.envs, [task], config.num_trajectories)
    return problem
