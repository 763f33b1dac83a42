"""Products of small matrices, in tiles, against NumPy's."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minorml.kernels.tile import product


@numba.njit
def multiply(C, S, A, across, B):
    product(C, S, A, across, B)


@pytest.mark.gradients
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]), st.integers(0, 20), st.integers(0, 9),
       st.integers(0, 40) | st.integers(60, 140), st.booleans(), st.booleans())
def test_products_of_small_matrices(seed, dtype, rows, terms, columns, across, one_row):
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(rows, terms)).astype(dtype), rng.normal(size=(terms, columns)).astype(dtype)
    S = rng.normal(size=(1 if one_row else rows, columns)).astype(dtype)
    room = np.full(rows * columns + 64, 7, dtype)  # what lies behind C must stay
    C = room[:rows * columns].reshape(rows, columns)
    multiply(C, S, np.ascontiguousarray(A.T) if across else A, int(across), B)
    bound = 20 * np.finfo(dtype).eps * (np.abs(S) + np.abs(A) @ np.abs(B) + 1)
    assert np.all(np.abs(C - (S + A @ B)) <= bound)
    assert np.all(room[rows * columns:] == 7)
