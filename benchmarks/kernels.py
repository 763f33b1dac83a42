"""Each compiled kernel against the NumPy formula that it replaces, at the sizes of training."""

import numpy as np

from benchmarks.timing import in_turn, spread
from minorml.kernels import KERNELS

ROWS = {"point": 250, "cartpole": 12_500}  # rows of one task's batch


def arguments(name, rows, rng):
    def array(*shape, dtype=np.float32):
        return rng.normal(size=shape).astype(dtype)

    return {
        "tanh_times_slope": lambda: [array(rows, 50) for _ in range(2)],
        "tanh_times_slope_tangent": lambda: [array(rows, 50) for _ in range(4)],
        "add_bias_formula": lambda: [array(rows, 50), array(1, 50)],
        "one_column_formula": lambda: [array(rows, 1), array(50, 1)],
        "outer_rows_formula": lambda: [array(rows, 50), array(rows, 50), array(rows, 50, 50)],
        "discounted_sums_formula": lambda: [array(25, rows // 25, dtype=np.float64), 0.9],
    }[name]()


def main():
    print("### Kernels against their NumPy formulas\n")
    print("| kernel | rows | formula, ms | kernel, ms | ratio |\n|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for name, (formula, compiled) in KERNELS.items():
        for rows in ROWS.values():
            args = arguments(name, rows, rng)
            ours, expected = (f(*map(np.copy, args)) for f in (compiled, formula))  # copies: some write into the first
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
            slow, fast = in_turn(lambda: formula(*args), lambda: compiled(*args))  # noqa: B023 (called at once)
            print(f"| `{name.removesuffix('_formula')}` | {rows} | {spread(slow)} | {spread(fast)} | "
                  f"{np.median(slow / fast):.1f} |")
    print()
