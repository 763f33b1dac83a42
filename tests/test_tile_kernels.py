"""Products of small matrices, in tiles, against NumPy's."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minorml.kernels.tile import VECTOR_BYTES, add_lanes, dots, product

seeds, dtypes, sizes = st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]), st.integers(1, 20)


@numba.njit
def multiply(C, fresh, A, row_step, term_step, terms, B):
    product(C, fresh, A, row_step, term_step, terms, B)


@numba.njit
def dot(C, fresh, x, y, total):
    dots(C, fresh, x, y)
    add_lanes(C, total)


def guarded(shape, dtype):
    """An array of sevens, and what lies behind it, which must stay."""
    room = np.full(np.prod(shape) + 64, 7, dtype)
    return room[:np.prod(shape)].reshape(shape), room[np.prod(shape):]


@pytest.mark.gradients
@given(seeds, dtypes, sizes, sizes, st.integers(1, 9), st.booleans(), st.booleans())
def test_products(seed, dtype, rows, terms, vectors, transposed, fresh):
    rng, columns = np.random.default_rng(seed), vectors * VECTOR_BYTES // np.dtype(dtype).itemsize
    A, B = rng.normal(size=(rows, terms)).astype(dtype), rng.normal(size=(terms, columns)).astype(dtype)
    C, behind = guarded((rows, columns), dtype)
    flat, steps = (A.T.ravel(), (1, rows)) if transposed else (A.ravel(), (terms, 1))
    multiply(C, fresh, flat, *steps, terms, B)
    bound = 20 * np.finfo(dtype).eps * (np.abs(A) @ np.abs(B) + 8)
    assert np.all(np.abs(C - (A @ B + (0 if fresh else 7))) <= bound)
    assert np.all(behind == 7)


@pytest.mark.gradients
@given(seeds, dtypes, sizes, sizes, st.integers(1, 9), st.booleans())
def test_dots(seed, dtype, rows, columns, vectors, fresh):
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    x, y = (np.random.default_rng(seed + n).normal(size=(n, vectors * lanes)).astype(dtype) for n in (rows, columns))
    (C, behind), total = guarded((rows * columns, lanes), dtype), np.empty(rows * columns, dtype)
    dot(C, fresh, x, y, total)
    expected = x @ y.T + (0 if fresh else 7 * lanes)
    bound = 20 * np.finfo(dtype).eps * (np.abs(x) @ np.abs(y.T) + 8 * lanes)
    assert np.all(np.abs(total.reshape(rows, columns) - expected) <= bound)
    assert np.all(behind == 7)
