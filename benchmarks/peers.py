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

from benchmarks.systems import balancing, start
from benchmarks.timing import in_turn, printed_by, spread
from minorml.experiments.train import iterate
from minorml.parallel.adaptation import stack
from minorml.parallel.share import Share
from minorml.parallel.workers import WorkerPool
from minorml.rl.baseline import pooled
from minorml.rl.presets import preset
from minorml.rl.streams import TRAIN, draw_tasks, stream


def system(name, dtype="float32"):
    """(problem, state); cart-pole with a policy under which every episode is full."""
    return balancing(dtype=dtype) if name == "cartpole" else start(
        dataclasses.replace(preset(f"{name}/norml"), dtype=dtype))


def one_step(problem, state):
    """The same with one outer step."""
    return problem._replace(config=dataclasses.replace(problem.config, outer_steps=1)), state


@contextmanager
def teams(config):
    """This process, and two of our own."""
    with WorkerPool(config) as here, WorkerPool(config, workers=2) as two:
        yield {"1 process": here, "2 processes": two}


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
        meta, pre, post, sizes=problem.policy.mlp.sizes, laf_sizes=problem.laf.mlp.sizes, clip=problem.config.clip,
        shape=shape))[1]


def torch_gradient(problem, state, shape):
    """What computes the same by PyTorch."""
    import torch

    from benchmarks import peer_torch
    meta, pre, post = (type(x)(*map(torch.tensor, x)) for x in (state.meta, *batches(problem, state)))
    return lambda: peer_torch.meta_gradient(
        meta, pre, post, problem.policy.mlp.sizes, problem.laf.mlp.sizes, problem.config.clip, shape)


class Peer(NamedTuple):
    package: str
    gradient: Callable  # problem, state, shape ↦ what computes the mean meta-gradient
    shapes: tuple  # how it goes through the tasks; the fastest counts


PEERS = {"JAX": Peer("jax", jax_gradient, ("scan", "vmap")),
         "PyTorch": Peer("torch", torch_gradient, ("vmap", "stack", "loop"))}


def compare_gradients(peer, name, dtype, repetitions):
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
    print(f"| meta-gradient, {name}, {dtype} | {spread(b)} ({how}) | {spread(a)} ({shape}) | {np.median(a / b):.1f} |")


def their_iteration(problem, state, shape):
    """What does one whole iteration by JAX, from given starts and noises or its own."""
    import jax

    from benchmarks import peer_jax
    config = problem.config
    M, T, K, U = config.num_tasks, config.horizon, config.num_trajectories, problem.policy.act_dim
    name = "cartpole" if "CartPole" in config.env else "point-sparse" if "Sparse" in config.env else "point"
    meta = peer_jax.Meta(*map(jax.numpy.asarray, state.meta))
    zeros = jax.tree.map(jax.numpy.zeros_like, meta)
    tasks = np.array([value for task in draw_tasks(config, 0) for value in task.values()])

    def iteration(given=None):
        starts, noises = given or peer_jax.draw(
            jax.random.key(0), (M, T, K, U), "uniform" if name == "cartpole" else "zeros", config.dtype)
        return jax.block_until_ready(peer_jax.iteration(
            meta, (zeros, zeros), 0, config.outer_rate, starts, noises, tasks, system=name, shape=shape,
            sizes=problem.policy.mlp.sizes, laf_sizes=problem.laf.mlp.sizes, discount=config.discount,
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


def compare_iterations(name, repetitions):
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
    print(f"| iteration, {name}, float32 | {spread(b)} ({how}) | {spread(a)} ({shape}) | {np.median(a / b):.1f} |")


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


def compare(peer):
    print(f"### Against {peer}\n")
    package, _, shapes = PEERS[peer]
    if find_spec(package) is None:
        print("It is missing: pip install 'minorml[peers]'\n")
        return
    print(f"{peer} {version(package)}. Milliseconds, in turn in one process on {os.cpu_count()} cores; the ratio is "
          "theirs over ours.\n")
    print(f"| | minorml | {peer} | ratio |\n|---|---|---|---|")
    for name, repetitions in ("cartpole", 10), ("point", 30):
        for dtype in "float32", "float64":
            compare_gradients(peer, name, dtype, repetitions)
    if peer == "JAX":  # the rest is written for JAX alone
        for name, repetitions in ("point", 30), ("point-sparse", 20), ("cartpole", 8):
            compare_iterations(name, repetitions)
        (ours, theirs), _ = in_processes("our_first_update()", "their_first_update()", repetitions=5)
        print(f"| process start to first update, cartpole | {spread(ours)} | {spread(theirs)} | "
              f"{np.median(theirs) / np.median(ours):.1f} |")
    _, (mine, *peaks) = in_processes("our_peak()", *(f"their_peak({peer!r}, {shape!r})" for shape in shapes),
                                     repetitions=1)
    print("\nPeak resident memory of a process that makes the batches and computes the cart-pole meta-gradient once, "
          f"packages included: minorml {mine:.0f} MiB; {peer} "
          + ", ".join(f"{peak:.0f} ({shape})" for peak, shape in zip(peaks, shapes)) + ".\n")


def main():
    for peer in PEERS:
        compare(peer)
