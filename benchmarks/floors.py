"""How far from the floor: the processor's peak over the passes, products alone under the meta-gradient, bare stepping
under a rollout, packages' imports.
"""

import os
import time
from collections import Counter
from contextlib import closing

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from threadpoolctl import threadpool_limits

from benchmarks.page import Ratio, Times
from benchmarks.peers import fastest, our_gradient, system, teams
from benchmarks.timing import in_turn, printed_by
from minorml.kernels.activation import TANH
from minorml.kernels.network import (
    MOST_ROWS,
    aligned,
    empty_lanes,
    forward_block,
    jvp_block,
    lines_of,
    vjp_block,
    vjp_tangent_block,
)
from minorml.kernels.registry import helper
from minorml.kernels.tile import VECTOR_BYTES, _Vectors, dots, product
from minorml.parallel.share import Share

# The products of each pass, for layers [(n, m)] of N rows: x W is "up", dz Wᵀ "down", and xᵀ dz "across".


def forward(layers):
    return [("up", *layer) for layer in layers]


def deltas(layers):
    return [("down", *layer) for layer in layers[1:]]


def vjp(layers):
    return deltas(layers) + [("across", *layer) for layer in layers]


def jvp(layers):
    return [("up", *layer) for layer in layers + layers[1:]]


def vjp_tangent(layers):
    return deltas(layers) * 3 + [("across", *layer) for layer in layers + layers[1:]]


def meta_gradient(policy, laf):
    """The products of one task: the policy before and after adaptation, the second order of the one before, and A_ψ."""
    first, second = forward(policy) + vjp(policy), jvp(policy) + vjp_tangent(policy)
    return first * 2 + second + forward(laf) + vjp(laf)


def shapes(mlp):
    """Of the weights, layer by layer."""
    return list(zip(mlp.sizes, mlp.sizes[1:]))


def flops(products, rows):
    """A product and a sum are two."""
    return sum(2 * rows * n * m for _, n, m in products)


def factors(kind, rows, n, m, dtype):
    """A, B and room for A B."""
    rng = np.random.default_rng(0)
    x, dz, W = (rng.normal(size=shape).astype(dtype) for shape in ((rows, n), (rows, m), (n, m)))
    A, B = {"up": (x, W), "down": (dz, W.T), "across": (x.T, dz)}[kind]
    return A, B, np.empty((len(A), B.shape[1]), dtype)


@helper
def products_repeated(W, row_step, term_step, terms, x, z, times):
    for _ in range(times):
        product(z, 1, W, row_step, term_step, terms, x)


@helper
def dots_repeated(x, dz, sums, times):
    for _ in range(times):
        dots(sums, 0, x, dz)


def our_tiles(kind, n, m, dtype):
    """The same product on one block, its rows side by side: times ↦ None, and how many rows that are."""
    x, dz, W = (np.ones(shape, dtype) for shape in ((n, MOST_ROWS), (m, MOST_ROWS), n * m))
    sums = empty_lanes(n * m, dtype)
    sums[:] = 0
    return {"up": lambda times: products_repeated(W, 1, m, n, x, dz, times),
            "down": lambda times: products_repeated(W, m, 1, m, dz, x, times),
            "across": lambda times: dots_repeated(x, dz, sums, times)}[kind]


def blas_repeated(A, B, C, times):
    for _ in range(times):
        np.matmul(A, B, out=C)


@intrinsic
def fuse_repeatedly(typing_context, numbers, times):
    """`times` times 24 fused products and sums of vectors, none of which waits for another: nothing is loaded."""
    def emit(context, builder, signature, args):
        code = _Vectors(context, builder, signature, args)
        data, times = code.args
        factor = code.load(data, 0)
        places = [code.vector(data, n * code.lanes) for n in range(24)]  # all different, or they are merged
        code.add_products(places, ir.Constant(ir.IntType(64), 0), times, 1, lambda k: [factor] * 24, lambda k: [factor])
        return context.get_dummy_value()

    return types.void(numbers, types.intp), emit


@helper
def fuse(numbers, times):
    fuse_repeatedly(numbers, times)


def peak(dtype, times=2_000_000):
    """GFLOP/s of one core when it does nothing but fused products and sums in registers."""
    numbers = aligned((24 * VECTOR_BYTES // np.dtype(dtype).itemsize,), dtype)
    numbers[:] = np.random.default_rng(0).uniform(0.1, 0.9, len(numbers))
    taken, = in_turn(lambda: fuse(numbers, times), repetitions=5)
    return 2e-9 * len(numbers) * times / np.min(taken)


def products_of_a_layer(table, repetitions, n=50, m=50):
    """What BLAS and our tiles reach on the products of one layer, and their share of the processor's peak."""
    times = 12_500 // MOST_ROWS
    for dtype in np.float32, np.float64:
        highest = peak(dtype)
        for kind in "up", "down", "across":
            many, few = factors(kind, 12_500, n, m, dtype), factors(kind, MOST_ROWS, n, m, dtype)
            mine = our_tiles(kind, n, m, dtype)
            taken = in_turn(lambda: blas_repeated(*many, 1), lambda: blas_repeated(*few, times),  # noqa: B023
                            lambda: mine(times), repetitions=repetitions)  # noqa: B023 (called at once)
            rates = [2e-9 * rows * n * m / np.median(t) for rows, t in zip((12_500, *[times * MOST_ROWS] * 2), taken)]
            table.row(kind, np.dtype(dtype), *(f"{rate:.0f}" for rate in rates), f"{rates[-1] / highest:.0%}")
        table.row("the processor's peak", np.dtype(dtype), "", "", f"{highest:.0f}", "")


@helper
def passes(which, widths, params, v, block, Rblock, dblock, Rdblock, sums, times):
    for _ in range(times):
        if which == 0:
            forward_block(TANH, widths, params, block)
        elif which == 1:
            vjp_block(TANH, widths, params, block, dblock, False, sums)
        elif which == 2:
            jvp_block(TANH, widths, params, v, block, Rblock)
        else:
            vjp_tangent_block(TANH, widths, params, v, block, Rblock, dblock, Rdblock, False, sums)


def each_pass(table, sizes, repetitions):
    """Rows: nanoseconds of each compiled pass per row of a batch, on one block that stays in the nearest caches."""
    layers, widths, rng = list(zip(sizes, sizes[1:])), np.array(sizes), np.random.default_rng(0)
    for dtype in np.float32, np.float64:
        highest = peak(dtype)
        P = sum((n + 1) * m for n, m in layers)
        params, v = (0.1 * rng.normal(size=P).astype(dtype) for _ in range(2))
        room = [aligned((int(lines_of(widths)), MOST_ROWS), dtype) for _ in range(4)]
        for block in room:
            block[:] = 0.1 * rng.normal(size=block.shape)
        sums = empty_lanes(P, dtype)
        sums[:] = 0
        for which, (name, products) in enumerate({"forward": forward, "vjp": vjp, "jvp": jvp,
                                                  "vjp_tangent": vjp_tangent}.items()):
            taken, = in_turn(lambda: passes(which, widths, params, v, *room, sums, 100),  # noqa: B023
                             repetitions=repetitions)
            seconds, work = np.median(taken) / 100 / MOST_ROWS, flops(products(layers), 1)
            table.row(f"{'-'.join(map(str, sizes))}, {name}", np.dtype(dtype), f"{1e9 * seconds:.0f}", f"{work:,}",
                      f"{1e-9 * work / seconds:.0f}", f"{1e-9 * work / seconds / highest:.0%}")


def compare_meta_gradient(table, name, dtype, repetitions):
    """One row: the meta-gradient, and its products alone. That the cores share memory is not taken into account."""
    problem, state = system(name, dtype)
    config = problem.config
    rows = config.num_trajectories * config.horizon
    products = meta_gradient(shapes(problem.policy.mlp), shapes(problem.laf.mlp))
    room = [(factors(kind, rows, n, m, dtype), times) for (kind, n, m), times in Counter(products).items()]

    def bare():
        for arrays, times in room:
            blas_repeated(*arrays, times * config.num_tasks)

    with teams(config) as ours_by:
        ours = {how: our_gradient(problem, state, team) for how, team in ours_by.items()}
        how = fastest(ours, repetitions // 2)
        alone, whole = in_turn(bare, ours[how], repetitions=repetitions)
    cores, work = os.cpu_count() or 1, 1e-9 * flops(products, rows) * config.num_tasks
    table.row(f"{name}, {dtype}", f"{work:.2f}", f"{work / np.median(alone):.0f}", Times(alone / cores), Times(whole),
              how, Ratio(alone / cores, whole))


def compare_stepping(table, name, repetitions):
    """One row: a rollout, the same steps with its actions but without the policy, and the policy without the steps."""
    problem, state = system(name)
    config = problem.config
    thetas = np.stack([state.meta.theta] * config.num_tasks)
    with closing(Share(config, range(config.num_tasks))) as share:
        share.begin(0)
        envs = share.problem.envs

        def sample():
            return share.problem.rollout(thetas, [np.random.default_rng(i) for i in range(config.num_tasks)])

        trajectories = sample()
        seeds = envs.unwrapped._seeds  # of that rollout
        states, actions, alive = (np.concatenate([getattr(one, field) for one in trajectories]).swapaxes(0, 1)
                                  for field in ("states", "actions", "alive"))
        actions, dead = np.ascontiguousarray(actions), np.ascontiguousarray(~alive)

        def reset():
            return envs.reset(seed=seeds)

        def replay():
            seen = [reset()[0]]
            for a, resting in zip(actions, dead):
                envs.rest(resting)
                seen.append(envs.step(a)[0])
            return seen

        met = states[:-1].reshape(len(actions), config.num_tasks, config.num_trajectories, -1)
        noise = np.zeros((*met.shape[1:3], problem.policy.act_dim), met.dtype)

        def choose():
            for s in met:
                problem.policy.sample(thetas, s, noise)

        lived = np.stack(replay())[1:][alive].astype(states.dtype)
        np.testing.assert_array_equal(lived, states[1:][alive])  # the same episodes
        whole, starts, both, policy = in_turn(sample, reset, replay, choose, repetitions=repetitions)
    steps = both - starts
    table.row(name, f"{alive.sum():,}", Times(whole), Times(steps), Times(policy), Times(starts))


FIRST_UPDATE = {  # statements of a fresh process
    "Python itself": "import time",
    "NumPy, SciPy, Gymnasium": "import numpy, scipy.linalg, scipy.special, gymnasium",
    "Numba": "import numba",
    "minorml, its networks and environments": "from benchmarks.peers import WorkerPool, iterate, one_step, system; "
                                              "problem, state = one_step(*system('cartpole')); "
                                              "team = WorkerPool(problem.config)",
    "the first iteration": "iterate(problem, team, state)",
    "the same again": "iterate(problem, team, state)"}


def first_update(table, repetitions):
    """One row for each step from the start of a process to its first update, and for an update after it."""
    code = "".join(f"{statement}\nprint(time.perf_counter())\n" for statement in FIRST_UPDATE.values())

    def marks():
        start = time.perf_counter()  # one clock for all processes
        return np.diff([start, *map(float, printed_by(code).split())])

    marks()  # warms the caches
    for name, times in zip(FIRST_UPDATE, np.transpose([marks() for _ in range(repetitions)])):
        table.row(name, Times(times))


@threadpool_limits.wrap(limits=1, user_api="blas")
def main(page):
    turns = page.turns(30)
    table = page.table("Products of a layer of 50 × 50", "GFLOP/s in one thread: BLAS on the 12,500 rows of a "
                       f"cart-pole task; BLAS and our tiles on a block of {MOST_ROWS} rows. The peak is that of fused "
                       "products and sums in registers.",
                       ["product", "dtype", "BLAS, all rows", "BLAS, a block", "our tiles, a block",
                        "share of the peak"])
    products_of_a_layer(table, turns)
    table = page.table("The compiled passes alone", f"One thread, one block of {MOST_ROWS} rows. The products alone "
                       "are counted; tanh and slopes take the rest.",
                       ["network, pass", "dtype", "ns per row", "FLOP per row", "GFLOP/s", "share of the peak"])
    each_pass(table, (4, 50, 50, 1), turns)
    table = page.table("Under the meta-gradient", "The mean meta-gradient of all tasks, and its matrix products alone: "
                       f"by `numpy.matmul` in one thread, task by task, divided by {os.cpu_count()} cores. "
                       "Milliseconds, in turn.",
                       ["system", "GFLOP", "BLAS, GFLOP/s of one core", "products alone", "meta-gradient", "by",
                        "products / meta-gradient"])
    for name, repetitions in ("point", 30), ("cartpole", 10):
        for dtype in "float32", "float64":
            compare_meta_gradient(table, name, dtype, page.turns(repetitions))
    table = page.table("Under a rollout", "A rollout; the same steps through Gymnasium, without the policy; the policy "
                       "alone, call by call; making the copies start. Milliseconds, in turn.",
                       ["system", "steps", "rollout", "steps through Gymnasium", "policy alone", "start"])
    for name, repetitions in ("point", 30), ("point-sparse", 20), ("cartpole", 10):
        compare_stepping(table, name, page.turns(repetitions))
    table = page.table("From the start of a process to the first update of cart-pole", "Milliseconds. What the first "
                       "iteration takes beyond the second is Numba, loading compiled functions from its cache.",
                       ["step", "time"])
    first_update(table, 3 if page.quick else 5)
