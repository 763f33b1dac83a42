"""Each compiled kernel against the NumPy formula that it replaces, at the sizes of training."""

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.page import Ratio, Times
from benchmarks.timing import in_turn
from minorml.advantage import AdvantageNetwork
from minorml.kernels.registry import KERNELS
from minorml.meta import Batch
from minorml.policy import GaussianPolicy
from minorml.surrogate import log_form

SIZES = {  # the policy's layers, and the shape of the rows that go through it together
    "point": ((2, 50, 50, 2), (10, 250)),  # ten tasks, stacked
    "cart-pole": ((4, 50, 50, 1), (12_500,)),  # one task
}

LABELS = {"mean": "policy.mean", "vjp": "policy.vjp", "hvp": "policy.hvp", "_at": "A_ψ and its vjp"}


def arguments(name, sizes, shape, rng):
    def array(*shape, dtype=np.float32):
        return rng.normal(size=shape).astype(dtype)

    rows = np.prod(shape)
    if name == "outer_rows_formula":
        return [array(rows, 50), array(rows, 50), array(rows, 50, 50)]
    if name == "discounted_sums_formula":
        return [array(25, rows // 25, dtype=np.float64), 0.9]
    policy, laf = GaussianPolicy(sizes[0], sizes[-1]), AdvantageNetwork(sizes[0], sizes[-1])
    theta, v, psi = 0.1 * array(policy.num_params), array(policy.num_params), 0.1 * array(laf.num_params)
    s, a, w = array(*shape, sizes[0]), array(*shape, sizes[-1]), array(*shape)
    return {"differentiate": [log_form, policy, theta, Batch(s, a, s), w, True], "mean": [policy, theta, s],
            "vjp": [policy, theta, s, a, w], "hvp": [policy, theta, s, a, w, v],
            "_at": [laf, psi, np.concatenate([s, a, s], axis=-1)]}[name]


def with_all_derivatives(name, function):
    """The function and what the functions give that it returns: second derivatives along θ, and the vjp of A_ψ."""
    def differentiate(form, policy, theta, *rest):
        *first, along = function(form, policy, theta, *rest)
        return [*first, *along(np.broadcast_to(theta, first[1].shape))]

    def at(laf, psi, x):
        A, vjp = function(laf, psi, x)
        return [A, vjp(A)]

    return {"differentiate": differentiate, "_at": at}.get(name, function)


def assert_same(ours, expected):
    """The same numbers to 1e-4 of the largest: float32, summed over up to 12,500 rows. Lists: one by one."""
    for x, y in zip(ours, expected) if isinstance(ours, list) else [(ours, expected)]:
        if y is not None:
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-4 * np.abs(y).max())


@threadpool_limits.wrap(limits=1, user_api="blas")  # as in training
def main(page):
    table = page.table("Kernels against their NumPy formulas", "Milliseconds, in turn, in one thread; float32, and "
                       "sums of rewards in float64.", ["kernel", "rows", "formula", "compiled", "formula / compiled"])
    rng = np.random.default_rng(0)
    for name in KERNELS:
        for system, (sizes, shape) in SIZES.items():
            args = arguments(name, sizes, shape, rng)
            formula, compiled = (with_all_derivatives(name, function) for function in KERNELS[name])
            assert_same(compiled(*args), formula(*args))
            slow, fast = in_turn(lambda: formula(*args), lambda: compiled(*args),  # noqa: B023 (called at once)
                                 repetitions=page.turns(30))
            label, rows = LABELS.get(name, name.removesuffix("_formula")), " × ".join(f"{n:,}" for n in shape)
            table.row(f"`{label}`", f"{system}, {rows}", Times(slow), Times(fast), Ratio(slow, fast))
