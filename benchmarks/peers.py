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
from minorml.baseline import pooled
from minorml.presets import preset
from minorml.team import Team
from minorml.train import iterate
from minorml.work import TRAIN, Share, draw_tasks, stack, stream


def system(name, dtype="float32"):
    """(learner, state); cart-pole with a policy under which every episode is full."""
    return balancing(dtype=dtype) if name == "cartpole" else start(
        dataclasses.replace(preset(f"{name}/norml"), dtype=dtype))


def one_step(learner, state):
    """The same with one outer step."""
    return learner._replace(config=dataclasses.replace(learner.config, outer_steps=1)), state


@contextmanager
def teams(config):
    """This process, and two of our own."""
    with Team(config) as here, Team(config, workers=2) as two:
        yield {"1 process": here, "2 processes": two}


def fastest(calls, repetitions):
    """The name of the call with the smallest median time."""
    times = in_turn(*calls.values(), repetitions=repetitions)
    return list(calls)[np.argmin(np.median(times, axis=1))]


def our_gradient(learner, state, team):
    """What computes the mean meta-gradient over the tasks of the first iteration's batches, adaptation included."""
    sampled = team.sample(state.meta, 0)
    config = learner.config
    assert all(one.env_steps == 2 * config.num_trajectories * config.horizon for one in sampled)  # full episodes
    mean, std = pooled([one.spread for one in sampled])
    again = state.meta._replace(theta=state.meta.theta.copy())  # not the very one, so that tasks are adapted anew

    def gradient():
        parts = team.gradients(again, state.meta, 0, mean, std)
        return [sum(fields) / len(sampled) for fields in zip(*(part.gradient for part in parts))]

    return gradient


def batches(learner, state):
    """The batches of the first iteration, stacked over the tasks: (before adaptation, after it)."""
    config = learner.config
    with closing(Share(config, range(config.num_tasks))) as share:
        sampled = share.sample(state.meta, 0)
        pairs = share.evidence(range(config.num_tasks), state.meta, 0, *pooled([one.spread for one in sampled]))
    pre, post = stack([pre for (pre,), _ in pairs]), stack([post for _, post in pairs])
    return pre._replace(advantages=np.zeros_like(pre.log_probs)), post


def jax_gradient(learner, state, shape):
    """What computes the same by JAX."""
    import jax

    from benchmarks import peer_jax
    meta = peer_jax.Meta(*map(jax.numpy.asarray, state.meta))
    pre, post = (peer_jax.Rows(*map(jax.numpy.asarray, (*side[:3], side.log_probs, np.ones_like(side.log_probs),
                                                        side.advantages))) for side in batches(learner, state))
    return lambda: jax.block_until_ready(peer_jax.meta_gradient(
        meta, pre, post, sizes=learner.policy.mlp.sizes, laf_sizes=learner.laf.mlp.sizes, clip=learner.config.clip,
        shape=shape))[1]


def torch_gradient(learner, state, shape):
    """What computes the same by PyTorch."""
    import torch

    from benchmarks import peer_torch
    meta, pre, post = (type(x)(*map(torch.tensor, x)) for x in (state.meta, *batches(learner, state)))
    return lambda: peer_torch.meta_gradient(
        meta, pre, post, learner.policy.mlp.sizes, learner.laf.mlp.sizes, learner.config.clip, shape)


class Peer(NamedTuple):
    package: str
    gradient: Callable  # learner, state, shape ↦ what computes the mean meta-gradient
    shapes: tuple  # how it goes through the tasks; the fastest counts


PEERS = {"JAX": Peer("jax", jax_gradient, ("scan", "vmap")),
         "PyTorch": Peer("torch", torch_gradient, ("vmap", "stack", "loop"))}


def compare_gradients(peer, name, dtype, repetitions):
    learner, state = system(name, dtype)
    with teams(learner.config) as ours_by:
        ours = {how: our_gradient(learner, state, team) for how, team in ours_by.items()}
        theirs = {shape: PEERS[peer].gradient(learner, state, shape) for shape in PEERS[peer].shapes}
        tolerance = 1e-4 if dtype == "float32" else 1e-10  # of sums over 2,500 to 125,000 rows
        for expected in theirs.values():
            for x, y in zip(ours["2 processes"](), map(np.asarray, expected())):
                np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * np.abs(y).max())
        how, shape = fastest(ours, repetitions // 2), fastest(theirs, repetitions // 2)
        a, b = in_turn(theirs[shape], ours[how], repetitions=repetitions)
    print(f"| meta-gradient, {name}, {dtype} | {spread(b)} ({how}) | {spread(a)} ({shape}) | {np.median(a / b):.1f} |")


def their_iteration(learner, state, shape):
    """What does one whole iteration by JAX, from given starts and noises or its own."""
    import jax

    from benchmarks import peer_jax
    config = learner.config
    M, T, K, U = config.num_tasks, config.horizon, config.num_trajectories, learner.policy.act_dim
    name = "cartpole" if "CartPole" in config.env else "point-sparse" if "Sparse" in config.env else "point"
    meta = peer_jax.Meta(*map(jax.numpy.asarray, state.meta))
    zeros = jax.tree.map(jax.numpy.zeros_like, meta)
    tasks = np.array([value for task in draw_tasks(config, 0) for value in task.values()])

    def iteration(given=None):
        starts, noises = given or peer_jax.draw(
            jax.random.key(0), (M, T, K, U), "uniform" if name == "cartpole" else "zeros", config.dtype)
        return jax.block_until_ready(peer_jax.iteration(
            meta, (zeros, zeros), 0, config.outer_rate, starts, noises, tasks, system=name, shape=shape,
            sizes=learner.policy.mlp.sizes, laf_sizes=learner.laf.mlp.sizes, discount=config.discount,
            clip=config.clip, outer_steps=config.outer_steps, max_gradient_norm=config.max_gradient_norm))

    return iteration


def our_numbers(learner):
    """The starts and noises of our first iteration, for their program."""
    config = learner.config
    M, K = config.num_tasks, config.num_trajectories
    starts, noises = [], []
    with closing(Share(config, range(M))) as share:
        envs = share.learner.envs
        rngs = [stream(config.seed, TRAIN, 0, i) for i in range(M)]
        for _ in range(2):
            noises.append(np.stack([rng.standard_normal((config.horizon, K, learner.policy.act_dim))
                                    for rng in rngs]).astype(config.dtype))
            envs.reset(seed=[int(n) for rng in rngs for n in rng.integers(2**31, size=K)])
            starts.append(envs.unwrapped._states.reshape(M, K, -1))
    return starts, noises


def compare_iterations(name, repetitions):
    learner, state = system(name)
    with teams(learner.config) as ours_by:
        ours = {how: lambda team=team: iterate(learner, team, state) for how, team in ours_by.items()}
        theirs = {shape: their_iteration(learner, state, shape) for shape in PEERS["JAX"].shapes}
        first = one_step(learner, state)  # later ones go with what rounding made of the small gradients
        after, row = iterate(first[0], ours_by["1 process"], state)
        expected, *_, after_adaptation = their_iteration(*first, "scan")(our_numbers(learner))
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
    learner, state = one_step(*system("cartpole"))
    with Team(learner.config) as team:
        iterate(learner, team, state)


def their_first_update():
    learner, state = one_step(*system("cartpole"))
    their_iteration(learner, state, "scan")()


def our_peak():
    learner, state = system("cartpole")
    with Team(learner.config) as team:
        our_gradient(learner, state, team)()


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
