"""Against jitted automatic differentiation: the same numbers first, then the time, in turn."""

import dataclasses
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np

from benchmarks.systems import balancing, start
from benchmarks.timing import in_turn, seconds, spread
from minorml.presets import preset
from minorml.team import Team
from minorml.train import iterate
from minorml.work import TRAIN, Share, draw_tasks, stream


def systems(dtype):
    """name → (learner, state); cart-pole with a policy under which every episode is full."""
    return {"point": start(dataclasses.replace(preset("point/norml"), dtype=dtype)),
            "point-sparse": start(dataclasses.replace(preset("point-sparse/norml"), dtype=dtype)),
            "cartpole": balancing(dtype=dtype)}


@contextmanager
def two_threads(config):
    """A team of two threads here."""
    with ThreadPoolExecutor(2) as threads, Team(config, executor=threads) as team:
        yield team


def gradient_cases(learner, state):
    """(ours, theirs): the mean meta-gradient over the tasks of one iteration's batches; theirs by shape."""
    import jax
    from benchmarks import peer_jax
    config, meta = learner.config, state.meta
    with closing(Share(config, range(config.num_tasks))) as share:
        sampled = share.sample(meta, 0)
        A = np.concatenate(share.kept.advantages)
        mean, std = A.mean(), A.std()
        evidence = share.evidence(range(config.num_tasks), meta, 0, mean, std)
    assert all(len(batch.states) == config.num_trajectories * config.horizon for (batch,), _ in evidence)

    def rows(batch):
        A = np.zeros_like(batch.log_probs) if batch.advantages is None else batch.advantages
        return peer_jax.Rows(*batch[:3], batch.log_probs, np.ones_like(A), A)

    pre, post = (jax.tree.map(lambda *x: jax.numpy.stack(x), *map(rows, batches))
                 for batches in ([p for (p,), _ in evidence], [q for _, q in evidence]))
    theirs_meta = peer_jax.Meta(*map(jax.numpy.asarray, meta))
    sizes = dict(sizes=learner.policy.mlp.sizes, laf_sizes=learner.laf.mlp.sizes, clip=config.clip)

    def theirs(shape):
        return jax.block_until_ready(peer_jax.meta_gradient(theirs_meta, pre, post, shape=shape, **sizes))

    return (mean, std), theirs, sampled


def meta_gradients(name, dtype, repetitions):
    learner, state = systems(dtype)[name]
    (mean, std), theirs, _ = gradient_cases(learner, state)
    again = state.meta._replace(theta=state.meta.theta.copy())  # not the very one: so that adaptation is timed too
    with two_threads(learner.config) as team:
        team.sample(state.meta, 0)

        def ours():
            parts = team.gradients(again, state.meta, 0, mean, std)
            return [sum(fields) / len(parts) for fields in zip(*(part.gradient for part in parts))]

        _, expected = theirs("scan")
        for x, y in zip(ours(), expected):
            scale = np.abs(np.asarray(y)).max()
            np.testing.assert_allclose(x, y, atol=(1e-4 if dtype == "float32" else 1e-10) * scale, rtol=0)
        best = min(("scan", "vmap"), key=lambda shape: np.median([seconds(lambda: theirs(shape)) for _ in range(6)]))
        a, b = in_turn(lambda: theirs(best), ours, repetitions)
    print(f"| meta-gradient, {name}, {dtype} | {spread(b)} | {spread(a)} ({best}) | {np.median(a / b):.2f} |")


def iterations(name, repetitions):
    import jax
    from benchmarks import peer_jax
    learner, state = systems("float32")[name]
    config = learner.config
    M, T, K, U = config.num_tasks, config.horizon, config.num_trajectories, learner.policy.act_dim
    options = dict(system=name, sizes=learner.policy.mlp.sizes, laf_sizes=learner.laf.mlp.sizes,
                   discount=config.discount, clip=config.clip, outer_steps=config.outer_steps)
    meta = peer_jax.Meta(*map(jax.numpy.asarray, state.meta))
    zeros = jax.tree.map(jax.numpy.zeros_like, meta)
    first_states = "uniform" if name == "cartpole" else "zeros"
    tasks = np.array([list(task.values())[0] for task in draw_tasks(config, 0)])

    def theirs(shape, given=None):
        starts, noises = given or peer_jax.draw(jax.random.key(0), (M, T, K, U), first_states, "float32")
        return jax.block_until_ready(peer_jax.iteration(
            meta, (zeros, zeros), 0, config.outer_rate, starts, noises, tasks, shape=shape, **options))

    with two_threads(config) as threads, Team(config) as alone:
        (after, row), expected = iterate(learner, alone, state), theirs("scan", same_numbers(learner, state))
        np.testing.assert_allclose(row["post_return"], expected[-1], rtol=1e-4)
        np.testing.assert_allclose(after.meta.offset, expected[0].offset, atol=0.05 * config.outer_rate)
        best = min(("scan", "vmap"), key=lambda shape: np.median([seconds(lambda: theirs(shape)) for _ in range(4)]))
        one, two = in_turn(lambda: iterate(learner, alone, state), lambda: iterate(learner, threads, state), 10)
        team, how = (alone, "1 thread") if np.median(one) < np.median(two) else (threads, "2 threads")
        a, b = in_turn(lambda: theirs(best), lambda: iterate(learner, team, state), repetitions)
    print(f"| iteration, {name} | {spread(b)} ({how}) | {spread(a)} ({best}) | {np.median(a / b):.2f} |")


def same_numbers(learner, state):
    """The starts and noises of our first iteration, for their program."""
    config = learner.config
    shape = config.horizon, config.num_trajectories, learner.policy.act_dim
    starts, noises = [], []
    with closing(Share(config, range(config.num_tasks))) as share:
        rngs = [stream(config.seed, TRAIN, 0, i) for i in range(config.num_tasks)]
        for _ in range(2):
            noises.append(np.stack([rng.standard_normal(shape) for rng in rngs]).astype(np.float32))
            envs = share.learner.envs
            envs.reset(seed=[int(n) for rng in rngs for n in rng.integers(2**31, size=config.num_trajectories)])
            starts.append(envs.unwrapped._states.reshape(config.num_tasks, config.num_trajectories, -1))
    return starts, noises


OURS = """
import minorml
from benchmarks.systems import balancing
learner, state = balancing(dtype={dtype!r})
with minorml.team.Team(learner.config) as team:
    team.sample(state.meta, 0)
    {work}
"""


def in_a_process(code, **environment):
    """Run Python code by itself → (seconds from its start to its end, peak resident memory in MiB)."""
    done = []
    code += "\nimport resource; print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"

    def run():
        done.append(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                                   env={**os.environ, **environment}).stdout)

    took = seconds(run)
    return took, float(done[0].split("PEAK")[1])


FIRST_UPDATE = {
    "minorml": "import minorml\nminorml.train('cartpole/norml', iterations=1, progress=False)",
    "JAX": "from benchmarks.peers import their_first_update\ntheir_first_update()",
}
MEMORY = {
    "minorml": "from benchmarks.peers import our_gradient\nour_gradient({gradient})",
    "JAX": "from benchmarks.peers import their_gradient\ntheir_gradient({gradient})",
}


def their_first_update():
    """One jitted iteration of cart-pole, from nothing."""
    import jax
    from benchmarks import peer_jax
    config = preset("cartpole/norml")
    sizes, laf_sizes = (4, 50, 50, 1), (9, 50, 50, 1)
    P, Q = (sum(n * m + m for n, m in zip(s, s[1:])) for s in (sizes, laf_sizes))
    rng = np.random.default_rng(0)
    meta = peer_jax.Meta(*(jax.numpy.asarray(0.1 * rng.standard_normal(n), "float32")
                           for n in (P + 1, P + 1, Q, P + 1)))
    zeros = jax.tree.map(jax.numpy.zeros_like, meta)
    starts, noises = peer_jax.draw(jax.random.key(0), (10, 500, 25, 1), "uniform", "float32")
    jax.block_until_ready(peer_jax.iteration(
        meta, (zeros, zeros), 0, config.outer_rate, starts, noises, np.zeros(10), system="cartpole", sizes=sizes,
        laf_sizes=laf_sizes, discount=config.discount, clip=0.2, outer_steps=1, shape="scan"))
