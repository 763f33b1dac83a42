"""Each compiled kernel against the NumPy formula that it replaces, at the sizes of training."""

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.timing import in_turn, spread
from minorml.kernels.registry import KERNELS
from minorml.meta import Batch
from minorml.mlp import MLP
from minorml.policy import GaussianPolicy
from minorml.surrogate import log_form

SIZES = {  # the policy's layers, and the shape of the rows that go through it together
    "point": ((2, 50, 50, 2), (10, 250)),  # ten tasks, stacked
    "cart-pole": ((4, 50, 50, 1), (12_500,)),  # one task
}


def arguments(name, sizes, shape, rng):
    def array(*shape, dtype=np.float32):
        return rng.normal(size=shape).astype(dtype)

    rows = np.prod(shape)
    if name == "outer_rows_formula":
        return [array(rows, 50), array(rows, 50), array(rows, 50, 50)]
    if name == "discounted_sums_formula":
        return [array(25, rows // 25, dtype=np.float64), 0.9]
    mlp = MLP(sizes)
    params, v = 0.1 * array(mlp.num_params), array(mlp.num_params)
    x, dy, Rdy = array(*shape, sizes[0]), array(*shape, sizes[-1]), array(*shape, sizes[-1])
    if name == "differentiate":
        policy = GaussianPolicy(sizes[0], sizes[-1])
        theta = 0.1 * array(policy.num_params)
        return [log_form, policy, theta, Batch(x, dy, x), x[..., 0], True]
    hs = mlp.forward(params, x)
    return {"forward": [mlp, params, x], "vjp": [mlp, params, hs, dy], "jvp": [mlp, params, hs, v],
            "vjp_tangent": [mlp, params, hs, dy, v, mlp.jvp(params, hs, v), Rdy]}[name]


def with_second_derivatives(differentiate):
    """What `differentiate` gives, and what its `along` gives along θ."""
    def both(form, policy, theta, *rest):
        *first, along = differentiate(form, policy, theta, *rest)
        return [*first, *along(np.broadcast_to(theta, first[1].shape))]

    return both


def assert_same(ours, expected):
    """The same numbers to 1e-4 of the largest: float32, summed over up to 12,500 rows. Lists: one by one."""
    for x, y in zip(ours, expected) if isinstance(ours, list) else [(ours, expected)]:
        if y is not None:
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-4 * np.abs(y).max())


@threadpool_limits.wrap(limits=1, user_api="blas")  # as in training
def main():
    print("### Kernels against their NumPy formulas\n")
    print("Milliseconds, in turn, in one thread; float32, and sums of rewards in float64.\n")
    print("| kernel | rows | formula | kernel | ratio |\n|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for name, (formula, compiled) in KERNELS.items():
        for system, (sizes, shape) in SIZES.items():
            args = arguments(name, sizes, shape, rng)
            if name == "differentiate":
                formula, compiled = with_second_derivatives(KERNELS[name][0]), with_second_derivatives(KERNELS[name][1])
            assert_same(compiled(*args), formula(*args))
            slow, fast = in_turn(lambda: formula(*args), lambda: compiled(*args))  # noqa: B023 (called at once)
            print(f"| `{name.removesuffix('_formula')}` | {system}, {' × '.join(f'{n:,}' for n in shape)} | "
                  f"{spread(slow)} | {spread(fast)} | {np.median(slow / fast):.1f} |")
    print()
