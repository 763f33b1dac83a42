"""What the second order costs beside the first, and how the meta-gradient grows with rows, tasks and width."""

import dataclasses

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import floors
from benchmarks.systems import start
from benchmarks.timing import in_turn, spread
from minorml.meta import Batch
from minorml.parallel.adaptation import adapt_group, groups, outer_all
from minorml.policy import GaussianPolicy
from minorml.rl.presets import preset
from minorml.surrogate import differentiate, ratio_form


def check_second_order(policy, theta, batch, A, v, h=1e-5):
    """H v against central differences of the gradient, in float64."""
    theta, A, v, *batch = (x if x is None else x.astype(np.float64) for x in (theta, A, v, *batch))
    up, down = (differentiate(ratio_form, policy, theta + sign * h * v, Batch(*batch), A, False)[1] for sign in (1, -1))
    expected = (up - down) / (2 * h)
    _, Hv = differentiate(ratio_form, policy, theta, Batch(*batch), A, True)[-1](v)
    np.testing.assert_allclose(Hv, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def print_second_order(name, policy, rows, dtype, repetitions=30):
    """Gradient and H v of a surrogate loss; ratios of times, and of the FLOPs of products."""
    rng = np.random.default_rng(0)
    s, a, A, v = (rng.normal(size=shape).astype(dtype) for shape in (
        (rows, policy.obs_dim), (rows, policy.act_dim), rows, policy.num_params))
    theta = policy.init(rng, -1.0, dtype)
    batch = Batch(s, a, s, None, policy.log_prob(theta, s, a))
    check_second_order(policy, theta, batch, A, v)
    *_, along = differentiate(ratio_form, policy, theta, batch, A, True)
    times = in_turn(lambda: differentiate(ratio_form, policy, theta, batch, A, False), lambda: along(v),
                    lambda: differentiate(ratio_form, policy, theta, batch, A, True)[-1](v), repetitions=repetitions)
    n = floors.shapes(policy.mlp)
    first, second = floors.forward(n) + floors.vjp(n), floors.jvp(n) + floors.vjp_tangent(n)
    counts = [floors.flops(products, rows) for products in (first, second, first + second)]
    ratios = [f"{np.median(times[i] / times[0]):.2f} ({counts[i] / counts[0]:.2f})" for i in (1, 2)]
    print(f"| {name}, {rows:,} rows, {dtype} | " + " | ".join([*map(spread, times), *ratios]) + " |")


def meta_gradient(rows=1000, tasks=1, width=50):
    """What computes a meta-gradient of cart-pole's NoRML, of every task, from random transitions."""
    problem, state = start(dataclasses.replace(
        preset("cartpole/norml"), hidden=(width,) * 2, laf_hidden=(width,) * 2, log_std=0.0))
    rng, S, U = np.random.default_rng(0), problem.policy.obs_dim, problem.policy.act_dim

    def batch():
        s, a, next_s, A = (rng.normal(size=shape).astype(np.float32) for shape in (
            (rows, S), (rows, U), (rows, S), rows))
        return Batch(s, a, next_s, A, problem.policy.log_prob(state.meta.theta, s, a))

    pre, post = [[batch()] for _ in range(tasks)], [batch() for _ in range(tasks)]

    def gradient():
        for group in groups(pre):
            _, theta, pullback = adapt_group(problem, state.meta, pre, group)
            _, g_post, _ = outer_all(problem, theta, post[group])
            pullback(g_post)

    return gradient


def slope(sizes, times):
    """k of the power law size^k that fits best."""
    return np.polyfit(np.log(sizes), np.log(times), 1)[0]


def print_growth(what, sizes, **others):
    """One row: the time of the meta-gradient as one of its sizes grows and the others stay."""
    calls = [meta_gradient(**{what: size}, **others) for size in sizes]
    times = np.median(in_turn(*calls, repetitions=5, warm_up=1), axis=1)
    fixed = ", ".join(f"{name} {value:,}" for name, value in others.items())
    half = len(sizes) // 2
    print(f"| {what} ({fixed}) | " + ", ".join(f"{size:,}: {1e3 * t:.3g}" for size, t in zip(sizes, times))
          + f" | {slope(sizes, times):.2f} | {slope(sizes[half:], times[half:]):.2f} |")


@threadpool_limits.wrap(limits=1, user_api="blas")
def main():
    print("### Second order over first\n")
    print("The gradient g of a surrogate loss; its Hessian-vector product H v where g has left its layers, as in the "
          "meta-gradient; and both from nothing. One thread, milliseconds, in turn; in brackets, the ratio of the "
          "FLOPs of their matrix products.\n")
    print("| | g | H v after g | both | H v / g | both / g |\n|---|---|---|---|---|---|")
    for dtype in "float32", "float64":
        print_second_order("point", GaussianPolicy(2, 2), 250, dtype)
        print_second_order("cart-pole", GaussianPolicy(4, 1), 12_500, dtype)
    print("\n### Growth of the meta-gradient\n")
    print("NoRML on random transitions of cart-pole's shape, one thread, float32; medians of milliseconds, all sizes "
          "in turn. The exponent k of time ~ size^k is fitted to all sizes, and to the larger half.\n")
    print("| what grows | size: time | exponent | of the larger half |\n|---|---|---|---|")
    print_growth("rows", [100, 316, 1000, 3162, 10_000, 31_623, 100_000], tasks=1, width=50)
    print_growth("tasks", [1, 3, 10, 32, 100, 316, 1000], rows=100, width=50)
    print_growth("width", [8, 16, 32, 64, 128, 256, 512], rows=1000, tasks=1)
    print()
