"""What the second order costs beside the first, and how the meta-gradient grows with rows, tasks and width."""

import dataclasses

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import floors
from benchmarks.page import Times
from benchmarks.systems import start
from benchmarks.timing import in_turn
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


def second_order(table, name, policy, rows, dtype, repetitions):
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
    table.row(f"{name}, {rows:,} rows, {dtype}", *map(Times, times), *ratios)


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


def growth(table, what, sizes, **others):
    """One row: the time of the meta-gradient as one of its sizes grows and the others stay."""
    calls = [meta_gradient(**{what: size}, **others) for size in sizes]
    times = np.median(in_turn(*calls, repetitions=5, warm_up=1), axis=1)
    fixed = ", ".join(f"{name} {value:,}" for name, value in others.items())
    half = len(sizes) // 2
    table.row(f"{what} ({fixed})", ", ".join(f"{size:,}: {1e3 * t:.3g}" for size, t in zip(sizes, times)),
              f"{slope(sizes, times):.2f}", f"{slope(sizes[half:], times[half:]):.2f}")


@threadpool_limits.wrap(limits=1, user_api="blas")
def main(page):
    table = page.table("Second order over first", "The gradient g of a surrogate loss; its Hessian-vector product H v "
                       "where g has left its layers, as in the meta-gradient; and both from nothing. One thread, "
                       "milliseconds, in turn; in brackets, the ratio of the FLOPs of their matrix products.",
                       ["", "g", "H v after g", "both", "H v / g", "both / g"])
    for dtype in "float32", "float64":
        second_order(table, "point", GaussianPolicy(2, 2), 250, dtype, page.turns(30))
        second_order(table, "cart-pole", GaussianPolicy(4, 1), 12_500, dtype, page.turns(30))
    table = page.table("Growth of the meta-gradient", "NoRML on random transitions of cart-pole's shape, one thread, "
                       "float32; medians of milliseconds, all sizes in turn. The exponent k of time ~ size^k is fitted "
                       "to all sizes, and to the larger half.",
                       ["what grows", "size: time", "exponent", "of the larger half"])
    growth(table, "rows", [100, 316, 1000, 3162, 10_000, 31_623, 100_000], tasks=1, width=50)
    growth(table, "tasks", [1, 3, 10, 32, 100, 316, 1000], rows=100, width=50)
    growth(table, "width", [8, 16, 32, 64, 128, 256, 512], rows=1000, tasks=1)
