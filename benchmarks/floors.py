"""How far from the floor: products alone under the meta-gradient, bare stepping under a rollout, packages' imports."""

import os
import time
from collections import Counter
from contextlib import closing

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.peers import fastest, our_gradient, system, teams
from benchmarks.timing import in_turn, printed_by, spread
from minorml.kernels.network import MOST_ROWS, empty_lanes
from minorml.kernels.registry import helper
from minorml.kernels.tile import dots, product
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
    return {"up": lambda times: products_repeated(W, 1, m, n, x, dz, times),
            "down": lambda times: products_repeated(W, m, 1, m, dz, x, times),
            "across": lambda times: dots_repeated(x, dz, empty_lanes(n * m, dtype), times)}[kind]


def blas_repeated(A, B, C, times):
    for _ in range(times):
        np.matmul(A, B, out=C)


def print_rates(n=50, m=50):
    """What BLAS and our tiles reach on the products of one layer."""
    print(f"GFLOP/s of a layer of {n} × {m} in one thread: BLAS on the 12,500 rows of a cart-pole task; BLAS and our "
          f"tiles on a block of {MOST_ROWS} rows.\n")
    print("| product | dtype | BLAS, all rows | BLAS, a block | our tiles, a block |\n|---|---|---|---|---|")
    times = 12_500 // MOST_ROWS
    for dtype in np.float32, np.float64:
        for kind in "up", "down", "across":
            many, few = factors(kind, 12_500, n, m, dtype), factors(kind, MOST_ROWS, n, m, dtype)
            mine = our_tiles(kind, n, m, dtype)
            taken = in_turn(lambda: blas_repeated(*many, 1), lambda: blas_repeated(*few, times),  # noqa: B023
                            lambda: mine(times))  # noqa: B023 (called at once)
            rates = [2e-9 * rows * n * m / np.median(t) for rows, t in zip((12_500, *[times * MOST_ROWS] * 2), taken)]
            print(f"| {kind} | {np.dtype(dtype)} | " + " | ".join(f"{rate:.0f}" for rate in rates) + " |")
    print()


def print_meta_gradient(name, dtype, repetitions):
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
    print(f"| {name}, {dtype} | {work:.2f} | {work / np.median(alone):.0f} | {spread(alone / cores)} | "
          f"{spread(whole)} ({how}) | {np.median(alone / cores / whole):.0%} |")


def print_stepping(name, repetitions):
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
        np.testing.assert_array_equal(lived, states[1:][alive])  # the same episodes, to the last bit
        whole, starts, both, policy = in_turn(sample, reset, replay, choose, repetitions=repetitions)
    steps = both - starts
    print(f"| {name} | {alive.sum():,} | {spread(whole)} | {spread(steps)} | {np.median(steps / whole):.0%} | "
          f"{spread(policy)} | {np.median(policy / whole):.0%} | {spread(starts)} |")


FIRST_UPDATE = {  # statements of a fresh process
    "Python itself": "import time",
    "NumPy, SciPy, Gymnasium": "import numpy, scipy.linalg, scipy.special, gymnasium",
    "Numba": "import numba",
    "minorml, its networks and environments": "from benchmarks.peers import WorkerPool, iterate, one_step, system; "
                                              "problem, state = one_step(*system('cartpole')); "
                                              "team = WorkerPool(problem.config)",
    "the first iteration": "iterate(problem, team, state)",
    "the same again": "iterate(problem, team, state)"}


def print_first_update(repetitions):
    """One row for each step from the start of a process to its first update, and for an update after it."""
    code = "".join(f"{statement}\nprint(time.perf_counter())\n" for statement in FIRST_UPDATE.values())

    def marks():
        start = time.perf_counter()  # one clock for all processes
        return np.diff([start, *map(float, printed_by(code).split())])

    marks()  # warms the caches
    for name, times in zip(FIRST_UPDATE, np.transpose([marks() for _ in range(repetitions)])):
        print(f"| {name} | {spread(times)} |")


@threadpool_limits.wrap(limits=1, user_api="blas")
def main():
    print("### Floors\n")
    print_rates()
    print("The mean meta-gradient of all tasks, and its matrix products alone: by `numpy.matmul` in one thread, task "
          f"by task, divided by {os.cpu_count()} cores. Milliseconds, in turn.\n")
    print("| system | GFLOP | BLAS, GFLOP/s of one core | products alone | meta-gradient | share |")
    print("|---|---|---|---|---|---|")
    for name, repetitions in ("point", 30), ("cartpole", 10):
        for dtype in "float32", "float64":
            print_meta_gradient(name, dtype, repetitions)
    print("\nA rollout, the environments alone doing the same steps, and the policy alone choosing the actions. "
          "Milliseconds, in turn.\n")
    print("| system | steps | rollout | steps alone | share | policy alone | share | making them start, alone |")
    print("|---|---|---|---|---|---|---|---|")
    for name, repetitions in ("point", 30), ("point-sparse", 20), ("cartpole", 10):
        print_stepping(name, repetitions)
    print("\nFrom the start of a process to the first update of cart-pole, milliseconds. What the first iteration "
          "takes beyond the second is Numba, loading compiled functions from its cache.\n")
    print("| step | |\n|---|---|")
    print_first_update(repetitions=5)
    print()
