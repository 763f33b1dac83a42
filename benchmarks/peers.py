"""Against automatic differentiation (JAX, PyTorch; extra `peers`): the same numbers first, then the time, in turn."""

import dataclasses
import os
import time
from collections.abc import Callable
from contextlib import closing, contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from benchmarks.page import Ratio, Times
from benchmarks.systems import balancing, start
from benchmarks.timing import in_turn, printed_by
from minorml.experiments.train import iterate
from minorml.parallel.adaptation import stack
from minorml.parallel.share import Share
from minorml.parallel.workers import WorkerPool
from minorml.rl.baseline import pooled
from minorml.rl.presets import preset
from minorml.rl.streams import TRAIN, draw_tasks, stream


def system(name, dtype="float32"):
    """(problem, state); cart-pole with a policy under which every episode is full. All outer updates are made."""
    return balancing(dtype=dtype) if name == "cartpole" else start(
        dataclasses.replace(preset(f"{name}/norml"), dtype=dtype, max_clip_fraction=1.0))


def one_step(problem, state):
    """The same with one outer step."""
    return problem._replace(config=dataclasses.replace(problem.config, outer_steps=1)), state


@contextmanager
def teams(config):
    """This process, and two of our own."""
    with WorkerPool(config) as here, WorkerPool(config, workers=2) as two:
        yield {"1 process": here, "2 processes": two}


def shape_of(family):
    """What a peer needs to know of a network: the activation of its hidden layers, and the widths of all."""
    return (family.mlp.activation.name, *family.mlp.sizes)


def fastest(calls, repetitions):
    """The name of the call with the smallest median time."""
    times = in_turn(*calls.values(), repetitions=repetitions)
    return list(calls)[np.argmin(np.median(times, axis=1))]


def our_gradient(problem, state, team):
    """What computes the mean meta-gradient over the tasks of the first iteration's batches, adaptation included."""
    sampled = team.sample(state.meta, 0)
    config = problem.config
    assert all(one.env_steps == 2 * config.num_trajectories * config.horizon for one in sampled)  # full episodes
    mean, std = pooled([one.advantages for one in sampled])
    again = state.meta._replace(theta=state.meta.theta.copy())  # not the very one, so that tasks are adapted anew

    def gradient():
        parts = team.gradients(again, state.meta, 0, mean, std)
        return [sum(fields) / len(sampled) for fields in zip(*(part.gradient for part in parts))]

    return gradient


def batches(problem, state):
    """The batches of the first iteration, stacked over the tasks: (before adaptation, after it)."""
    config = problem.config
    with closing(Share(config, range(config.num_tasks))) as share:
        sampled = share.sample(state.meta, 0)
        pairs = share.batches(range(config.num_tasks), state.meta, 0, *pooled([one.advantages for one in sampled]))
    pre, post = stack([pre for (pre,), _ in pairs]), stack([post for _, post in pairs])
    return pre._replace(advantages=np.zeros_like(pre.log_probs)), post


def jax_gradient(problem, state, shape):
    """What computes the same by JAX."""
    import jax

    from benchmarks import peer_jax
    meta = peer_jax.Meta(*map(jax.numpy.asarray, state.meta))
    pre, post = (peer_jax.Rows(*map(jax.numpy.asarray, (*side[:3], side.log_probs, np.ones_like(side.log_probs),
                                                        side.advantages))) for side in batches(problem, state))
    return lambda: jax.block_until_ready(peer_jax.meta_gradient(
        meta, pre, post, sizes=shape_of(problem.policy), laf_sizes=shape_of(problem.laf), clip=problem.config.clip,
        shape=shape))[1]


def torch_gradient(problem, state, shape):
    """What computes the same by PyTorch."""
    import torch

    from benchmarks import peer_torch
    meta, pre, post = (type(x)(*map(torch.tensor, x)) for x in (state.meta, *batches(problem, state)))
    return lambda: peer_torch.meta_gradient(
        meta, pre, post, shape_of(problem.policy), shape_of(problem.laf), problem.config.clip, shape)


class Peer(NamedTuple):
    package: str
    gradient: Callable  # problem, state, shape ↦ what computes the mean meta-gradient
    shapes: tuple  # how it goes through the tasks; the fastest counts


PEERS = {"JAX": Peer("jax", jax_gradient, ("scan", "vmap")),
         "PyTorch": Peer("torch", torch_gradient, ("vmap", "stack", "loop"))}


def add(table, what, ours, how, theirs, shape):
    table.row(what, Times(ours), how, Times(theirs), shape, Ratio(theirs, ours))


def compare_gradients(table, peer, name, dtype, repetitions):
    """One row: the meta-gradient of a system."""
    problem, state = system(name, dtype)
    with teams(problem.config) as ours_by:
        ours = {how: our_gradient(problem, state, team) for how, team in ours_by.items()}
        theirs = {shape: PEERS[peer].gradient(problem, state, shape) for shape in PEERS[peer].shapes}
        tolerance = 1e-4 if dtype == "float32" else 1e-10  # of sums over 2,500 to 125,000 rows
        for expected in theirs.values():
            for x, y in zip(ours["2 processes"](), map(np.asarray, expected())):
                np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * np.abs(y).max())
        how, shape = fastest(ours, repetitions // 2), fastest(theirs, repetitions // 2)
        a, b = in_turn(theirs[shape], ours[how], repetitions=repetitions)
    add(table, f"meta-gradient, {name}, {dtype}", b, how, a, shape)


START = {"cartpole": "uniform"}  # how `peer_jax.draw` makes first states; the others start at 0


def first_tasks(config):
    """The value of each task of the first iteration, (M,)."""
    return np.array([value for task in draw_tasks(config, 0) for value in task.values()])


def their_iteration(problem, state, shape):
    """What does one whole iteration by JAX, from given starts and noises or its own."""
    import jax

    from benchmarks import peer_jax
    config = problem.config
    M, T, K, U = config.num_tasks, config.horizon, config.num_trajectories, problem.policy.act_dim
    name = "cartpole" if "CartPole" in config.env else "point-sparse" if "Sparse" in config.env else "point"
    meta = peer_jax.Meta(*map(jax.numpy.asarray, state.meta))
    zeros = jax.tree.map(jax.numpy.zeros_like, meta)
    tasks = first_tasks(config)

    def iteration(given=None):
        starts, noises = given or peer_jax.draw(
            jax.random.key(0), (M, T, K, U), START.get(name, "zeros"), config.dtype)
        return jax.block_until_ready(peer_jax.iteration(
            meta, (zeros, zeros), 0, config.outer_rate, starts, noises, tasks, system=name, shape=shape,
            sizes=shape_of(problem.policy), laf_sizes=shape_of(problem.laf), discount=config.discount,
            clip=config.clip, outer_steps=config.outer_steps, max_gradient_norm=config.max_gradient_norm))

    return iteration


def our_numbers(problem):
    """The starts and noises of our first iteration, for their program."""
    config = problem.config
    M, K = config.num_tasks, config.num_trajectories
    starts, noises = [], []
    with closing(Share(config, range(M))) as share:
        envs = share.problem.envs
        rngs = [stream(config.seed, TRAIN, 0, i) for i in range(M)]
        for _ in range(2):
            noises.append(np.stack([rng.standard_normal((config.horizon, K, problem.policy.act_dim))
                                    for rng in rngs]).astype(config.dtype))
            envs.reset(seed=[int(n) for rng in rngs for n in rng.integers(2**31, size=K)])
            starts.append(envs.unwrapped._states.reshape(M, K, -1))
    return starts, noises


def compare_iterations(table, name, repetitions):
    """One row: a whole outer iteration."""
    problem, state = system(name)
    with teams(problem.config) as ours_by:
        ours = {how: lambda team=team: iterate(problem, team, state) for how, team in ours_by.items()}
        theirs = {shape: their_iteration(problem, state, shape) for shape in PEERS["JAX"].shapes}
        first = one_step(problem, state)  # later ones go with what rounding made of the small gradients
        after, row = iterate(first[0], ours_by["1 process"], state)
        expected, *_, after_adaptation = their_iteration(*first, "scan")(our_numbers(problem))
        np.testing.assert_allclose(row["post_return"], after_adaptation, rtol=1e-3)
        moved, as_expected = after.meta.offset - state.meta.offset, expected.offset - state.meta.offset
        assert np.corrcoef(moved, as_expected)[0, 1] > 0.99  # Adam's first steps are signs: small gradients may differ
        how, shape = fastest(ours, repetitions // 2), fastest(theirs, repetitions // 2)
        a, b = in_turn(theirs[shape], ours[how], repetitions=repetitions)
    add(table, f"iteration, {name}, float32", b, how, a, shape)


def compare_rollouts(table, name, repetitions):
    """One row: K trajectories on each task, the policy in the loop, with the drawing of noise and starts."""
    import jax

    from benchmarks import peer_jax
    problem, state = system(name)
    config = problem.config
    M, T, K, U = config.num_tasks, config.horizon, config.num_trajectories, problem.policy.act_dim
    tasks, start = first_tasks(config), START.get(name, "zeros")
    thetas = np.stack([state.meta.theta] * M)
    with closing(Share(config, range(M))) as share:
        share.begin(0)
        rngs = [stream(config.seed, TRAIN, 0, i) for i in range(M)]
        first = our_numbers(problem)

        def theirs(given=None):
            (starts, *_), (noises, *_) = given or peer_jax.draw(jax.random.key(0), (M, T, K, U), start, config.dtype)
            return jax.block_until_ready(peer_jax.rollouts(
                peer_jax.jnp.asarray(thetas), starts, noises, tasks, system=name, sizes=shape_of(problem.policy)))

        def ours():
            return share.problem.rollout(thetas, rngs)

        fields, _ = theirs(first)  # the same episodes first, from the same numbers
        lived = np.array([one.alive.sum() for one in share.problem.rollout(
            thetas, [stream(config.seed, TRAIN, 0, i) for i in range(M)])])
        np.testing.assert_allclose(np.asarray(fields[-1]).sum(axis=(1, 2)), lived, rtol=0.02)
        a, b = in_turn(theirs, ours, repetitions=repetitions)
    speeds = [f"{lived.sum() / np.median(times) / 1e6:.1f} million steps a second" for times in (b, a)]
    add(table, f"rollout, {name}, float32", b, speeds[0], a, speeds[1])


def in_processes(*work, repetitions):
    """Run functions of this module in processes of their own, in turn → (seconds of each in all, peak MiB of each)."""
    def run(function):
        code = f"from benchmarks import memory, peers\npeers.{function}\nprint('PEAK', memory.resident('VmHWM'))"
        start = time.perf_counter()
        peak = float(printed_by(code).split("PEAK")[1])
        return time.perf_counter() - start, peak

    list(map(run, work))  # warms the caches
    seconds, peaks = np.moveaxis([list(map(run, work)) for _ in range(repetitions)], 2, 0)
    return seconds.T, peaks[-1]


def our_first_update():
    problem, state = one_step(*system("cartpole"))
    with WorkerPool(problem.config) as team:
        iterate(problem, team, state)


def their_first_update():
    problem, state = one_step(*system("cartpole"))
    their_iteration(problem, state, "scan")()


def our_peak():
    problem, state = system("cartpole")
    with WorkerPool(problem.config) as team:
        our_gradient(problem, state, team)()


def their_peak(peer, shape):
    PEERS[peer].gradient(*system("cartpole"), shape)()


def compare(page, peer):
    package, _, shapes = PEERS[peer]
    if find_spec(package) is None:
        page.table(f"Against {peer}", "It is missing: pip install 'minorml[peers]'", [""])
        return
    table = page.table(f"Against {peer}", f"{peer} {version(package)}. Milliseconds, in turn in one process on "
                       f"{os.cpu_count()} cores; both compute the same numbers first, and the faster of each side's "
                       "ways counts.", ["", "minorml", "by", peer, "by", "theirs / ours"])
    work = [(compare_gradients, peer, name, dtype, n) for name, n in (("point", 30), ("cartpole", 10))
            for dtype in ("float32", "float64")]
    if peer == "JAX":  # the rest is written for JAX alone
        work += [(compare_iterations, name, n) for name, n in (("point", 30), ("point-sparse", 20), ("cartpole", 8))]
        work += [(compare_rollouts, name, n) for name, n in (("point", 30), ("point-sparse", 30), ("cartpole", 30))]
    for i, (function, *which, n) in enumerate(work):
        page.say(f"against {peer}, row {i + 1} of {len(work)}")
        function(table, *which, page.turns(n))
    if page.quick:
        return
    if peer == "JAX":
        (ours, theirs), _ = in_processes("our_first_update()", "their_first_update()", repetitions=5)
        add(table, "process start to first update, cartpole", ours, "", theirs, "")
    _, (mine, *peaks) = in_processes("our_peak()", *(f"their_peak({peer!r}, {shape!r})" for shape in shapes),
                                     repetitions=1)
    table = page.table(f"Memory against {peer}", "Peak resident memory in MiB of a process that makes the batches and "
                       "computes the cart-pole meta-gradient once, packages included.", ["", "MiB", "over ours"])
    for who, peak in [("minorml", mine), *((f"{peer}, {shape}", peak) for shape, peak in zip(shapes, peaks))]:
        table.row(who, f"{peak:.0f}", f"{peak / mine:.1f}")


def main(page):
    for peer in ["JAX"] if page.quick else PEERS:
        compare(page, peer)
