"""The learned advantage function, and the two sources of advantages."""

import numpy as np
import oracles
import pytest
from hypothesis import given
from strategies import cast, policy_case, policy_cases, proved_twice

from minorml import advantage
from minorml.advantage import AdvantageNetwork
from minorml.gradcheck import assert_close, assert_gradient
from minorml.meta import Batch
from minorml.methods import METHODS


@proved_twice
@given(policy_cases)
def test_vjp(derivative, rtol, case):
    _, laf, _, psi, s, a, next_s, w, *_ = case
    ours = laf.vjp(psi, s, a, next_s, w)
    assert_gradient(lambda p: w @ laf.value(p, s, a, next_s), ours, psi, rtol, derivative)


@proved_twice
@given(policy_cases)
def test_jvp_and_hvp(derivative, rtol, case):
    """Along a direction in ψ: the value, and then the vjp, which is proved above, differentiated."""
    _, laf, _, psi, s, a, next_s, w, *_ = case
    v = np.random.default_rng(1).normal(size=psi.shape)
    expected = derivative(lambda p: laf.value(p, s, a, next_s), psi, v)
    # A single number can cancel, so the error is measured against the gradient's size beside the product's.
    size = np.linalg.norm(laf.vjp(psi, s, a, next_s, w)) * np.linalg.norm(v)
    np.testing.assert_allclose(laf.jvp(psi, s, a, next_s, v), expected, rtol=rtol, atol=rtol * size)
    assert_close(np.append(laf.hvp(psi, s, a, next_s, w, v), size),
                 np.append(derivative(lambda p: laf.vjp(p, s, a, next_s, w), psi, v), size), rtol)


@pytest.mark.gradients
@pytest.mark.parametrize("source", [advantage.learned, advantage.estimated])
def test_vjp_of_either_source(source):
    """What a source hands to the meta-gradient is the derivative of the advantages that it gives."""
    _, laf, _, psi, s, a, next_s, w, Rw, _ = policy_case()
    batch = Batch(s, a, next_s, advantages=Rw)
    _, vjp = source(laf, psi, batch)
    assert_gradient(lambda p: w @ source(laf, p, batch)[0], vjp(w), psi)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_vjp_of_several_tasks_has_a_row_for_each(method):
    _, laf, _, psi, s, a, next_s, w, Rw, _ = policy_case()
    batch = Batch(*(np.stack([x] * 3) for x in (s, a, next_s, Rw)))
    A, vjp = method.advantage(laf, psi, batch)
    assert A.shape == (3, 6) and vjp(np.stack([w] * 3)).shape == (3, laf.num_params)


@pytest.mark.gradients
@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_value_equals_the_oracle(activation):
    """(advantage.1)"""
    _, laf, _, psi, s, a, next_s, *_ = policy_case(activation=activation)
    expected = oracles.learned_advantages(psi, laf.mlp.sizes, activation, Batch(s, a, next_s))
    assert_close(laf.value(psi, s, a, next_s), expected, 1e-13)


def test_learned_is_the_network_and_estimated_the_batch():
    _, laf, _, psi, s, a, next_s, w, *_ = policy_case()
    batch = Batch(s, a, next_s, advantages=w)
    assert np.array_equal(advantage.learned(laf, psi, batch)[0], laf.value(psi, s, a, next_s))
    assert advantage.estimated(None, psi, batch)[0] is w


def test_float32_stays_float32():
    """Some hundred float32 operations, each rounded by 6e-8: 1e-5 is more than their worst sum."""
    def everything(case):
        _, laf, _, psi, s, a, next_s, w, *_ = case
        return (laf.value(psi, s, a, next_s), laf.vjp(psi, s, a, next_s, w), laf.jvp(psi, s, a, next_s, psi),
                laf.hvp(psi, s, a, next_s, w, psi))

    case = cast(policy_case(), np.float32)
    for ours, expected in zip(everything(case), everything(cast(case, np.float64))):
        assert ours.dtype == np.float32
        assert_close(ours, expected, 1e-5)


def test_init_draws_weights_and_no_biases():
    laf = AdvantageNetwork(3, 2, (50,))
    psi = laf.init(np.random.default_rng(0))
    assert psi.dtype == np.float32 and psi.shape == (laf.num_params,) == (8 * 50 + 50 + 50 + 1,)
    assert all(W.all() and not b.any() for W, b in laf.mlp.layers(psi))


@pytest.mark.parametrize("wrong, message", [
    (dict(psi=np.zeros(5)), r"psi: expected shape \(41,\); given \(5,\)"),
    (dict(s=np.zeros((6, 2))), r"s: expected shape \(N, 3\); given \(6, 2\)"),
    (dict(a=np.zeros((6, 3))), r"a: expected shape \(6, 2\); given \(6, 3\)"),
    (dict(next_s=np.zeros((5, 3))), r"next_s: expected shape \(6, 3\); given \(5, 3\)"),
    (dict(w=np.zeros(5)), r"w: expected shape \(6,\); given \(5,\)"),
    (dict(v=np.zeros(5)), r"v: expected shape \(41,\); given \(5,\)"),
])
def test_bad_shapes_are_named(wrong, message):
    case = policy_case(depth=1)
    arguments = dict(psi=case.psi, s=case.s, a=case.a, next_s=case.next_s, w=case.w, v=case.psi) | wrong
    with pytest.raises(ValueError, match=message):
        case.laf.hvp(**arguments)


def test_missing_advantages_are_named():
    case = policy_case()
    with pytest.raises(ValueError, match=r"batch.advantages: .* needs \(N,\) advantages; given None"):
        advantage.estimated(case.laf, case.psi, Batch(case.s, case.a, case.next_s))
