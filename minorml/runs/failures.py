"""Failures: when a number becomes infinite or NaN, what led to it is kept in a file and can be computed again.

`keep` writes the parameters before the update, Adam's moments, and the batches of the tasks at fault. `replay` computes
the same formulas again, in the order of the mathematics, and finds the first quantity that is not finite.
"""

import dataclasses
from contextlib import closing
from typing import NamedTuple

import numpy as np

from ..meta import Batch, MetaParameters, adapt, outer_loss
from ..parallel.adaptation import sample_and_adapt
from ..parallel.share import Share
from ..rl import adam
from ..rl.baseline import estimate_advantages
from ..rl.config import from_json
from . import checkpoints


class NotFinite(FloatingPointError):
    """A quantity became infinite or NaN in an outer iteration."""

    def __init__(self, message, failure):
        super().__init__(message)
        self.failure = failure


class Failure(NamedTuple):
    """What `keep` writes."""

    iteration: int  # finished iterations before it
    meta: MetaParameters  # before the update that failed
    moments: dict  # … and Adam's
    rate: float  # … and its rate
    tasks: list  # which tasks did it; none: it happened while sampling, before there were batches
    batches: list  # for each of them: D_i^pre (one for each adaptation step), D_i^post


def pack(meta, moments):
    """Parameters and Adam's moments as (named arrays, counts of Adam's steps), for a file."""
    arrays = {f"meta/{name}": array for name, array in meta._asdict().items()}
    for name, (first, second, _) in moments.items():
        arrays |= {f"moments/{name}/first": first, f"moments/{name}/second": second}
    return arrays, {name: one.count for name, one in moments.items()}


def unpack(arrays, counts):
    """What `pack` was given: (MetaParameters, moments)."""
    return (MetaParameters(**{name: arrays[f"meta/{name}"] for name in MetaParameters._fields}),
            {name: adam.Moments(arrays[f"moments/{name}/first"], arrays[f"moments/{name}/second"], count)
             for name, count in counts.items()})


def keep(path, config, failure, message):
    """Write a failure to a file, for `replay`."""
    arrays, counts = pack(failure.meta, failure.moments)
    for i, (pre, post) in zip(failure.tasks, failure.batches):
        for label, batch in [*((f"pre-{j}", batch) for j, batch in enumerate(pre)), ("post", post)]:
            arrays |= {f"task-{i}/{label}/{name}": array for name, array in batch._asdict().items()
                       if array is not None}
    checkpoints.write(path, arrays, failure=message, config=dataclasses.asdict(config), iteration=failure.iteration,
                      tasks=failure.tasks, rate=failure.rate, counts=counts)


def read(path):
    """What `keep` wrote → (Config, Failure, message). ValueError if the file is something else, or damaged."""
    try:
        arrays, facts = checkpoints.read(path)
        config = from_json(facts["config"])
        meta, moments = unpack(arrays, facts["counts"])

        def batch(prefix):
            return Batch(**{name: arrays.get(f"{prefix}/{name}") for name in Batch._fields})

        batches = []
        for i in facts["tasks"]:
            steps = sum(name.startswith(f"task-{i}/pre-") and name.endswith("/states") for name in arrays)
            batches.append(([batch(f"task-{i}/pre-{j}") for j in range(steps)], batch(f"task-{i}/post")))
        failure = Failure(facts["iteration"], meta, moments, facts["rate"], facts["tasks"], batches)
        return config, failure, facts["failure"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a failure that was kept, or damaged ({error})") from error


def replay(path, make_envs=None):
    """Go through a kept failure again.

    Returns
    -------
    lines : what was computed, in order, each (where, quantity, largest magnitude or None for what is not finite,
        what to say of it)
    message : the error of that time
    """
    config, failure, message = read(path)
    try:
        with np.errstate(all="ignore"):
            return list(_until_not_finite(_walk(config, failure, make_envs))), message
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:  # what it holds does not fit
        raise ValueError(f"{path}: not a failure that was kept, or damaged ({error})") from error


def _until_not_finite(quantities):
    """Look at one quantity after the other, up to the first that is not finite."""
    for where, name, array in quantities:
        if isinstance(array, str):
            yield where, name, None, array
            return
        finite = np.isfinite(array)
        if not finite.all():
            first = tuple(int(k) for k in np.argwhere(~finite)[0])
            yield where, name, None, (f"{np.asarray(array)[first]} at {list(first)} of {np.shape(array)}; "
                                      f"{np.sum(~finite)} of {np.size(array)} are not finite")
            return
        yield where, name, float(np.max(np.abs(array), initial=0.0)), ""


def _walk(config, failure, make_envs):
    """(where, name, array) for each quantity of the failed update; a text in place of an array is an error's."""
    meta = failure.meta
    share = Share(config, range(config.num_tasks), make_envs)
    with closing(share):
        problem = share.problem
        yield from (("parameters", name, array) for name, array in meta._asdict().items())
        yield "parameters", "σ", np.exp(problem.policy.split(meta.theta)[1])
        names, _ = share.begin(failure.iteration)
        if not failure.tasks:
            yield from _sampling(share, meta, failure.iteration)
        gradients = []
        for i, (pre, post) in zip(failure.tasks, failure.batches):
            yield from ((f"task {names[i]}", *rest) for rest in _inner(problem, meta, pre))
            yield from ((f"task {names[i]}", *rest) for rest in _outer(problem, meta, pre, post, gradients))
    if len(gradients) == config.num_tasks:  # only then is the update known
        means = {name: sum(getattr(g, name) for g in gradients) / config.num_tasks for name in config.learned}
        yield from (("update", f"gradient in {name}", mean) for name, mean in means.items())
        changed, moments, _ = adam.update(meta._asdict(), failure.moments, means, config.rates(failure.rate),
                                          config.max_gradient_norm)
        for name, x in changed.items():
            yield from (("update", f"Adam's {which} moment of {name}", getattr(moments[name], which))
                        for which in ("first", "second"))
            yield "update", name, x


def _sampling(share, meta, iteration):
    """Sample the iteration again, as far as it goes, looking at each adaptation on the way."""
    problem = share.problem
    for steps in range(problem.adapt_steps + 1):
        names, rngs = share.begin(iteration)
        try:
            _, batches, theta, _ = sample_and_adapt(problem, meta, steps, rngs, names)
        except FloatingPointError as error:
            yield "sampling", "rollout", str(error)
            return
        for name, pre in zip(names, batches):
            yield from ((f"task {name}", *rest) for rest in _inner(problem, meta, pre))
    try:
        for one in problem.rollout(theta, rngs, names):
            estimate_advantages(one, problem.config.discount)
    except FloatingPointError as error:
        yield "sampling", "rollout", str(error)


def _inner(problem, meta, pre):
    """The quantities of one task's adaptation, in the order of the mathematics."""
    _, _, policy, laf, method = problem
    theta_i = meta.theta
    for j, batch in enumerate(pre):
        yield from _fields("D_pre", batch)
        at = policy.at(theta_i, batch.states, batch.actions)
        yield "log π_θ(a|s)", at.log_prob
        advantages, _ = method.advantage(laf, meta.psi, batch)
        yield "inner advantage", advantages
        rows = method.surrogate(at.log_prob, advantages, batch.log_probs)
        yield "L_in, by row", rows.loss
        yield "∇L_in", at.vjp(rows.slope)
        theta_i, _ = adapt(policy, laf, method, meta, pre[:j + 1])
        yield "θ_i", theta_i
        yield "σ of θ_i", np.exp(policy.split(theta_i)[1])
        yield "1/σ of θ_i", np.exp(-policy.split(theta_i)[1])


def _outer(problem, meta, pre, post, gradients):
    """… and of what comes after it; the task's gradient is appended to `gradients`."""
    config, _, policy, laf, method = problem
    theta_i, pullback = adapt(policy, laf, method, meta, pre)
    yield from _fields("D_post", post)
    yield "log π_θi(a|s)", policy.log_prob(theta_i, post.states, post.actions)
    outer = outer_loss(policy, theta_i, post, config.clip)
    yield "L_out", outer.loss
    yield "∇L_out", outer.gradient
    gradients.append(pullback(outer.gradient))
    yield from ((f"∂L_out/∂{name}", array) for name, array in gradients[-1]._asdict().items())


def _fields(label, batch):
    return ((f"{name} of {label}", array) for name, array in batch._asdict().items() if array is not None)
