"""The compiled passes of a network, as policies and A_ψ use them, against the formulas that they serve."""

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minorml.advantage import AdvantageNetwork
from minorml.kernels import network
from minorml.kernels.network import aligned, block_rows
from minorml.kernels.registry import KERNELS
from minorml.kernels.tile import VECTOR_BYTES
from minorml.mlp import ACTIVATIONS
from minorml.policy import GaussianPolicy

if numba.config.DISABLE_JIT:  # the loops run as Python then: as many blocks, of fewer rows
    network.MOST_ROWS = 16

NAMES = ["mean", "vjp", "hvp", "_at"]

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([np.float32, np.float64])
# Layers of less than a tile, of one, of several and some rows more; no hidden layer; fewer rows than a vector, a block
# that is not full, and several.
widths, num_rows = st.integers(1, 20), st.integers(1, 40)
if not numba.config.DISABLE_JIT:
    widths, num_rows = widths | st.sampled_from([31, 50, 65]), num_rows | st.sampled_from([127, 128, 129, 573])


@st.composite
def cases(draw):
    """Arguments for each of the kernels: {name: arguments}."""
    rng, dtype = np.random.default_rng(draw(seeds)), draw(dtypes)
    hidden, activation = draw(st.lists(widths, max_size=2)), draw(st.sampled_from([*ACTIVATIONS]))
    tasks, rows = draw(st.sampled_from([(), (1,), (3,)])), draw(num_rows)
    mine, yours = (draw(st.sampled_from([(), tasks])) for _ in range(2))  # parameters for all tasks, or for each
    S, U = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    policy, laf = GaussianPolicy(S, U, hidden, activation), AdvantageNetwork(S, U, hidden, activation)

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(dtype)

    theta, v = (normal(*shape, policy.num_params, scale=0.3) for shape in (mine, yours))
    s, a, w = normal(*tasks, rows, S), normal(*tasks, rows, U), normal(*tasks, rows)
    return {"mean": (policy, theta, s), "vjp": (policy, theta, s, a, w),
            "hvp": (policy, theta, s, a, w, v),
            "_at": (laf, normal(laf.num_params, scale=0.3), np.concatenate([s, a, s], axis=-1))}


def results(function, args):
    """What a function gives, as a list; of a vjp, what it gives for the values as weights."""
    result = function(*args)
    return [result[0], result[1](result[0])] if isinstance(result, tuple) else [result]


def assert_alike(ours, expected):
    """As large sums of products rounded in another order: to some hundred units in the last place of the largest."""
    assert ours.dtype == expected.dtype and ours.shape == expected.shape
    bound = 500 * np.finfo(ours.dtype).eps * (1 + np.max(np.abs(expected), initial=0))
    assert np.max(np.abs(ours - expected), initial=0) <= bound


@pytest.mark.gradients
@pytest.mark.parametrize("name", NAMES)
@given(cases())
def test_kernels_equal_their_formulas(name, case):
    formula, kernel = KERNELS[name]
    for ours, expected in zip(results(kernel, case[name]), results(formula, case[name]), strict=True):
        assert_alike(ours, expected)


@pytest.mark.parametrize("name", NAMES)
@given(cases())
def test_each_task_is_the_same_bits_alone(name, case):
    owner, *arrays = case[name]
    together = results(KERNELS[name][1], case[name])
    for i in range(len(arrays[1]) if arrays[1].ndim == 3 else 0):
        mine = [x if x.ndim == 1 else x[i] for x in arrays]
        for ours, all_of_them in zip(results(KERNELS[name][1], (owner, *mine)), together):
            assert np.array_equal(ours, all_of_them[i])


@pytest.mark.parametrize("name", NAMES)
@given(cases())
def test_kernels_write_to_no_argument_and_take_any_layout(name, case):
    owner, *arrays = case[name]
    others = [np.asfortranarray(x) if x.ndim > 1 else np.repeat(x, 2)[::2] for x in arrays]
    for x in others:
        x.flags.writeable = False
    for ours, expected in zip(results(KERNELS[name][1], (owner, *others)), results(KERNELS[name][1], case[name])):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays_in_its_row(activation):
    laf = AdvantageNetwork(1, 1, (70,), activation)
    psi, x = np.full(laf.num_params, 0.1), np.ones((200, 3))
    x[3, 0] = np.nan
    A, vjp = KERNELS["_at"][1](laf, psi, x)
    assert np.isnan(A[3]) and np.isfinite(np.delete(A, 3)).all()
    assert np.isnan(vjp(np.ones(200))[:70]).all()  # of the weights that the lost input goes through


@given(st.integers(1, 10**5), dtypes)
@example(16, np.float64)  # one block, though two would do
def test_blocks_hold_all_rows_and_little_more(N, dtype):
    R, fewest = block_rows(N, dtype), -(-N // network.MOST_ROWS)
    lanes = 64 // np.dtype(dtype).itemsize
    blocks = -(-N // R)
    assert R <= max(128, network.MOST_ROWS) and blocks <= fewest and blocks * R < N + lanes * fewest


@given(st.lists(st.integers(1, 40), max_size=3), dtypes)
def test_room_begins_at_a_whole_vector(shape, dtype):
    room = aligned(shape, dtype)
    assert room.shape == tuple(shape) and room.dtype == dtype and room.ctypes.data % VECTOR_BYTES == 0


def test_states_may_be_the_same_for_a_stack_of_parameters():
    policy, rng = GaussianPolicy(3, 2, (5,)), np.random.default_rng(0)
    theta, s = rng.normal(size=(2, policy.num_params)), rng.normal(size=(7, 3))
    formula, kernel = KERNELS["mean"]
    assert_alike(kernel(policy, theta, s), formula(policy, theta, s))


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_are_no_error(name):
    policy, laf, none = GaussianPolicy(3, 2, (5,)), AdvantageNetwork(3, 2, (5,)), np.empty((0, 3))
    theta, v = np.ones((2, policy.num_params))
    rest = {"mean": (), "vjp": (np.empty((0, 2)), np.empty(0)), "hvp": (np.empty((0, 2)), np.empty(0), v)}
    case = (laf, np.ones(laf.num_params), np.empty((0, 8))) if name == "_at" else (policy, theta, none, *rest[name])
    for ours, expected in zip(*(results(function, case) for function in KERNELS[name][::-1]), strict=True):
        assert_alike(ours, expected)
