"""The compiled passes of a network against the formulas of `minorml/mlp.py`, and the parts that they are made of."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minorml.kernels import network
from minorml.kernels.registry import KERNELS
from minorml.kernels.tile import TILE_ROWS
from minorml.mlp import ACTIVATIONS, MLP

if numba.config.DISABLE_JIT:  # the loops run as Python then: as many parts, of fewer numbers
    network.CACHED_BYTES = 500

PASSES = ["forward", "vjp", "jvp", "vjp_tangent"]

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])
# A layer within one vector, in several, and in more than the vectors of a tile; fewer rows than a tile, several tiles
# and some rows more, and more than go through the layers at once.
widths, num_rows = st.integers(1, 20), st.integers(0, 3 * TILE_ROWS)
if not numba.config.DISABLE_JIT:
    widths, num_rows = widths | st.sampled_from([31, 50, 64, 65, 130]), num_rows | st.sampled_from([61, 240, 573])


@st.composite
def cases(draw):
    """A network, and arguments for each of its passes: {name: arguments}, by the formulas where one needs another."""
    rng, dtype = np.random.default_rng(draw(seeds)), draw(dtypes)
    mlp = MLP(draw(st.lists(widths, min_size=2, max_size=4)), draw(st.sampled_from([*ACTIVATIONS])))
    tasks, rows = draw(st.sampled_from([(), (1,), (3,)])), draw(num_rows)
    mine, yours = (draw(st.sampled_from([(), tasks])) for _ in range(2))  # parameters for all tasks, or for each

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(dtype)

    params, v = (normal(*shape, mlp.num_params, scale=0.3) for shape in (mine, yours))
    x, dy, Rdy = (normal(*tasks, rows, n) for n in (mlp.sizes[0], mlp.sizes[-1], mlp.sizes[-1]))
    hs = KERNELS["forward"][0](mlp, params, x)
    Rhs = KERNELS["jvp"][0](mlp, params, hs, v)
    return {"forward": (mlp, params, x), "vjp": (mlp, params, hs, dy), "jvp": (mlp, params, hs, v),
            "vjp_tangent": (mlp, params, hs, dy, v, Rhs, Rdy)}


def results(function, args):
    """What a pass gives, as a list; the input's own derivative is None."""
    result = function(*args)
    return [x for x in result if x is not None] if isinstance(result, list) else [result]


def assert_alike(ours, expected):
    """As large sums of products rounded in another order: to some hundred units in the last place of the largest."""
    assert ours.dtype == expected.dtype and ours.shape == expected.shape
    bound = 500 * np.finfo(ours.dtype).eps * (1 + np.max(np.abs(expected), initial=0))
    assert np.max(np.abs(ours - expected), initial=0) <= bound


@pytest.mark.gradients
@pytest.mark.parametrize("name", PASSES)
@given(cases())
def test_passes_equal_their_formulas(name, case):
    formula, kernel = KERNELS[name]
    for ours, expected in zip(results(kernel, case[name]), results(formula, case[name]), strict=True):
        assert_alike(ours, expected)


@pytest.mark.parametrize("name", PASSES)
@given(cases())
def test_passes_write_to_no_argument(name, case):
    flat = [x for arg in case[name][1:] for x in (arg if isinstance(arg, list) else [arg]) if x is not None]
    before = [x.copy() for x in flat]
    KERNELS[name][1](*case[name])
    assert all(np.array_equal(x, y) for x, y in zip(flat, before))


@given(cases())
def test_passes_take_arrays_of_any_layout(case):
    (_, forward), (mlp, params, x) = KERNELS["forward"], case["forward"]
    strided, fortran = np.repeat(params, 2, axis=-1)[..., ::2], np.asfortranarray(x)
    fortran.flags.writeable = False
    for ours, expected in zip(forward(mlp, strided, fortran), forward(mlp, params, x)):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays_in_its_row(activation):
    mlp = MLP((2, 70, 3), activation)
    params, x = np.full(mlp.num_params, 0.1), np.ones((2 * TILE_ROWS + 1, 2))
    x[3, 0] = np.nan
    hs = KERNELS["forward"][1](mlp, params, x)
    assert np.isnan(hs[-1][3]).all() and np.isfinite(np.delete(hs[-1], 3, axis=0)).all()
    gradient = KERNELS["vjp"][1](mlp, params, hs, np.ones_like(hs[-1]))
    assert np.isnan(gradient[:70]).all()  # of the weights that the lost input goes through
