"""The multi-layer perceptron: its values, its three derivatives, its parameter layout."""

import numpy as np
import oracles
import pytest
from hypothesis import given
from strategies import activation_name, along_all, cast, flat, network_case, network_cases, packed, proved_twice

from minorml.gradcheck import assert_close, assert_gradient
from minorml.mlp import ACTIVATIONS, MLP


@proved_twice
@given(network_cases)
def test_vjp(derivative, rtol, case):
    """(mlp.2) and (mlp.3)"""
    mlp, params, x, dy, *_ = case
    ours = mlp.vjp(params, mlp.forward(params, x), dy)
    assert_gradient(lambda p: np.sum(dy * mlp.forward(p, x)[-1]), ours, params, rtol, derivative)


@proved_twice
@given(network_cases)
def test_vjp_rows(derivative, rtol, case):
    """(mlp.3), row by row"""
    mlp, params, x, dy, *_ = case
    ours = mlp.vjp_rows(params, mlp.forward(params, x), dy)
    assert_gradient(lambda p: np.sum(dy * mlp.forward(p, x)[-1], axis=1), ours.T, params, rtol, derivative)


@proved_twice
@given(network_cases)
def test_jvp_of_every_layer(derivative, rtol, case):
    """(mlp.4)"""
    mlp, params, x, _, v, _ = case
    hs = mlp.forward(params, x)
    assert mlp.jvp(params, hs, v)[0] is None  # the input does not move
    expected = along_all(lambda d: derivative(lambda p: flat(*mlp.forward(p, x)[1:]), params, d), v)
    assert_close(along_all(lambda d: flat(*mlp.jvp(params, hs, d)[1:]), v), expected, rtol)


@proved_twice
@given(network_cases)
def test_vjp_tangent(derivative, rtol, case):
    """(mlp.5). R{vjp}: the vjp, proved above, differentiated while parameters and dy move together."""
    mlp, params, x, dy, v, Rdy = case
    hs = mlp.forward(params, x)
    ours = mlp.vjp_tangent(params, hs, dy, v, mlp.jvp(params, hs, v), Rdy)
    vjp, point = packed(lambda p, dy: mlp.vjp(p, mlp.forward(p, x), dy), params, dy)
    assert_close(ours, derivative(vjp, point, flat(v, Rdy)), rtol)


@pytest.mark.gradients
@given(network_cases)
def test_forward_equals_the_oracle(case):
    """(mlp.1)"""
    mlp, params, x, *_ = case
    assert_close(mlp.forward(params, x)[-1], oracles.mlp(params, mlp.sizes, activation_name(mlp), x), 1e-13)


def everything(case):
    """Output, derivative of the output, vjp, and its derivative."""
    mlp, params, x, dy, v, Rdy = case
    hs = mlp.forward(params, x)
    Rhs = mlp.jvp(params, hs, v)
    return [hs[-1], Rhs[-1], mlp.vjp(params, hs, dy),
            mlp.vjp_tangent(params, hs, dy, v, Rhs, Rdy)]


@pytest.mark.gradients
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_out", [1, 2])
@pytest.mark.parametrize("shared", [False, True], ids=["parameters of their own", "one for all"])
def test_tasks_together_are_each_task_to_the_last_bit(activation, n_out, shared):
    cases = [network_case(seed, activation, n_out=n_out, width=5, num_rows=9) for seed in range(3)]
    if shared:
        cases = [case._replace(params=cases[0].params) for case in cases]
    together = cases[0]._replace(**{name: np.stack([getattr(case, name) for case in cases])
                                    for name in ("x", "dy", "v", "Rdy")},
                                 params=cases[0].params if shared else np.stack([case.params for case in cases]))
    for ours, *alone in zip(everything(together), *map(everything, cases)):
        np.testing.assert_array_equal(ours, np.stack(alone))


def test_layers_are_views_of_the_flat_vector():
    mlp = MLP((2, 3, 1))
    params = np.arange(mlp.num_params)
    (W_1, b_1), (W_2, b_2) = mlp.layers(params)
    assert W_1.tolist() == [[0, 1, 2], [3, 4, 5]] and b_1.tolist() == [[6, 7, 8]]
    assert W_2.tolist() == [[9], [10], [11]] and b_2.tolist() == [[12]]
    assert all(np.shares_memory(params, view) for view in (W_1, b_1, W_2, b_2))


def test_relu_has_slope_zero_at_its_kink():
    relu = ACTIVATIONS["relu"]
    z = np.array([-1.0, 0.0, 2.0])
    assert relu.times_slope(np.full(3, 5.0), relu.value(z)).tolist() == [0, 0, 5]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_stays_float32(activation):
    """Some hundred float32 operations, each rounded by 6e-8: 1e-5 is more than their worst sum."""
    def all_of_it(case):
        return [*everything(case), case.mlp.vjp_rows(case.params, case.mlp.forward(case.params, case.x), case.dy)]

    case = cast(network_case(activation=activation), np.float32)
    for ours, expected in zip(all_of_it(case), all_of_it(cast(case, np.float64))):
        assert ours.dtype == np.float32
        assert_close(ours, expected, 1e-5)


@pytest.mark.parametrize("sizes, activation, message", [
    ((3, 2), "sigmoid", "activation: expected one of tanh, relu, identity; given 'sigmoid'"),
    ((3,), "tanh", r"sizes: expected two or more positive layer widths; given \(3,\)"),
    ((3, 0, 2), "tanh", r"sizes: expected two or more positive layer widths; given \(3, 0, 2\)"),
])
def test_bad_arguments_are_named(sizes, activation, message):
    with pytest.raises(ValueError, match=message):
        MLP(sizes, activation)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays_nan(activation):
    mlp = MLP((1, 3, 1), activation)
    params = np.random.default_rng(0).normal(size=mlp.num_params)
    hs = mlp.forward(params, np.array([[np.nan], [1.0]]))
    assert np.isnan(hs[-1][0]) and np.isfinite(hs[-1][1])
    assert np.isnan(mlp.vjp(params, hs, np.ones((2, 1)))).any()
