"""The Gaussian policy: log-probabilities, their gradients and their curvature."""

import numpy as np
import oracles
import pytest
from hypothesis import example, given
from strategies import activation_name, along_all, cast, flat, packed, policy_case, policy_cases, proved_twice

from minorml.advantage import AdvantageNetwork
from minorml.gradcheck import assert_close, assert_gradient, full_gradient, taylor_slopes
from minorml.mlp import ACTIVATIONS
from minorml.policy import GaussianPolicy, check_shape


@proved_twice
@given(policy_cases)
def test_vjp(derivative, rtol, case):
    policy, theta, s, a, w = case.policy, case.theta, case.s, case.a, case.w
    assert_gradient(lambda t: w @ policy.log_prob(t, s, a), policy.vjp(theta, s, a, w), theta, rtol, derivative)


@proved_twice
@given(policy_cases)
@example(policy_case(seed=3, depth=3, width=3, num_rows=2))  # scores of 1e-10 beside others of 1
def test_scores(derivative, rtol, case):
    policy, theta, s, a = case.policy, case.theta, case.s, case.a
    assert_gradient(lambda t: policy.log_prob(t, s, a), policy.scores(theta, s, a).T, theta, rtol, derivative)


@proved_twice
@given(policy_cases)
def test_jvp(derivative, rtol, case):
    policy, theta, s, a, v = case.policy, case.theta, case.s, case.a, case.v
    expected = along_all(lambda d: derivative(lambda t: policy.log_prob(t, s, a), theta, d), v)
    assert_close(along_all(lambda d: policy.jvp(theta, s, a, d), v), expected, rtol)


@proved_twice
@given(policy_cases)
def test_hvp(derivative, rtol, case):
    policy, theta, s, a, w, v = case.policy, case.theta, case.s, case.a, case.w, case.v
    assert_close(policy.hvp(theta, s, a, w, v), derivative(lambda t: policy.vjp(t, s, a, w), theta, v), rtol)


@proved_twice
@given(policy_cases)
def test_tangent_of_the_vjp_where_the_weights_move_too(derivative, rtol, case):
    policy, s, a = case.policy, case.s, case.a
    vjp, x = packed(lambda t, w: policy.vjp(t, s, a, w), case.theta, case.w)
    ours = policy.at(case.theta, s, a).along(case.v).vjp(case.w, case.Rw)
    assert_close(ours, derivative(vjp, x, flat(case.v, case.Rw)), rtol)


@pytest.mark.gradients
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_whole_hessian(activation, depth):
    """Every column, against the complex step of the gradient; and it is symmetric."""
    policy, _, theta, _, s, a, _, w, _, _ = policy_case(activation=activation, depth=depth)
    hessian = np.array([policy.hvp(theta, s, a, w, e) for e in np.eye(len(theta))])
    assert_close(hessian, full_gradient(lambda t: policy.vjp(t, s, a, w), theta))
    assert_close(hessian, hessian.T, 1e-13)


@pytest.mark.gradients
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_taylor_slopes(activation):
    policy, _, theta, _, s, a, _, w, _, v = policy_case(activation=activation)
    v = v / np.linalg.norm(v)
    slopes = taylor_slopes(lambda t: w @ policy.log_prob(t, s, a), theta, v,
                           policy.vjp(theta, s, a, w) @ v, policy.hvp(theta, s, a, w, v) @ v)
    assert slopes == pytest.approx([2, 3], abs=0.1)


@given(policy_cases)
def test_scores_sum_to_the_vjp_and_the_hvp_is_linear(case):
    policy, _, theta, _, s, a, _, w, _, v = case
    assert_close(policy.vjp(theta, s, a, w), w @ policy.scores(theta, s, a), 1e-12)
    u = np.roll(v, 1)
    hvp = policy.hvp(theta, s, a, w, 2 * v - 3 * u)
    assert_close(hvp, 2 * policy.hvp(theta, s, a, w, v) - 3 * policy.hvp(theta, s, a, w, u), 1e-11)


@pytest.mark.gradients
@given(policy_cases)
def test_log_prob_equals_the_oracle(case):
    policy, theta, s, a = case.policy, case.theta, case.s, case.a
    expected = oracles.log_prob(theta, policy.mlp.sizes, activation_name(policy.mlp), s, a)
    assert_close(policy.log_prob(theta, s, a), expected, 1e-12)


def test_sample_returns_the_log_prob_of_its_actions():
    policy = GaussianPolicy(3, 2, (4,))
    rng = np.random.default_rng(0)
    theta, s = rng.normal(size=(5, policy.num_params)), rng.normal(size=(5, 7, 3))
    a, log_prob = policy.sample(theta, s, rng.normal(size=(5, 7, 2)))
    assert a.shape == (5, 7, 2) and log_prob.shape == (5, 7)
    assert_close(log_prob, np.array([policy.log_prob(*each) for each in zip(theta, s, a)]), 1e-12)


def test_sample_is_the_mean_and_sigma_times_the_noise():
    case = policy_case()
    mean, log_std = case.policy.mean(case.theta, case.s), case.policy.split(case.theta)[1]
    for noise in 0 * case.a, case.a:
        a, _ = case.policy.sample(case.theta[None], case.s[None], noise[None])
        assert_close(a[0], mean + np.exp(log_std) * noise, 1e-15)


def test_init():
    """Weights cut at two deviations of 0.1 (so their deviation is 0.0880), biases 0, log σ as given."""
    policy = GaussianPolicy(3, 2, (50, 50))
    theta = policy.init(np.random.default_rng(0), -1.5)
    assert theta.dtype == np.float32 and theta.shape == (policy.num_params,)
    mean_params, log_std = policy.split(theta)
    assert log_std.tolist() == [-1.5, -1.5]
    assert all(not b.any() for _, b in policy.mlp.layers(mean_params))
    weights = flat(*(W for W, _ in policy.mlp.layers(mean_params)))
    assert np.abs(weights).max() <= 0.2
    assert weights.std() == pytest.approx(0.0880, abs=3 * 0.088 / np.sqrt(2 * len(weights)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_stays_float32(activation):
    """Some hundred float32 operations, each rounded by 6e-8: 1e-5 is more than their worst sum."""
    def everything(case):
        policy, _, theta, _, s, a, _, w, _, v = case
        return (*policy.sample(theta[None], s[None], a[None]), policy.log_prob(theta, s, a), policy.scores(theta, s, a),
                policy.vjp(theta, s, a, w), policy.jvp(theta, s, a, v), policy.hvp(theta, s, a, w, v))

    case = cast(policy_case(activation=activation), np.float32)
    for ours, expected in zip(everything(case), everything(cast(case, np.float64))):
        assert ours.dtype == np.float32
        assert_close(ours, expected, 1e-5)


@pytest.mark.parametrize("call, wrong, message", [
    ("log_prob", dict(theta=np.zeros(5)), r"theta: expected shape \(28,\); given \(5,\)"),
    ("log_prob", dict(s=np.zeros((6, 2))), r"s: expected shape \(N, 3\); given \(6, 2\)"),
    ("log_prob", dict(s=np.zeros(3)), r"s: expected shape \(N, 3\); given \(3,\)"),
    ("scores", dict(a=np.zeros((5, 2))), r"a: expected shape \(6, 2\); given \(5, 2\)"),
    ("vjp", dict(w=np.zeros((6, 1))), r"w: expected shape \(6,\); given \(6, 1\)"),
    ("jvp", dict(v=np.zeros(27)), r"v: expected shape \(28,\); given \(27,\)"),
    ("hvp", dict(w=np.zeros(5)), r"w: expected shape \(6,\); given \(5,\)"),
    ("hvp", dict(v=np.zeros((28, 1))), r"v: expected shape \(28,\); given \(28, 1\)"),
])
def test_bad_shapes_are_named(call, wrong, message):
    case = policy_case(depth=1)
    others = {"vjp": ("w",), "jvp": ("v",), "hvp": ("w", "v")}.get(call, ())
    arguments = {name: getattr(case, name) for name in ("theta", "s", "a", *others)} | wrong
    with pytest.raises(ValueError, match=message):
        getattr(case.policy, call)(**arguments)


def test_weights_of_several_tasks_have_a_row_for_each():
    case = policy_case(depth=1)
    s, a = np.stack([case.s] * 2), np.stack([case.a] * 2)
    with pytest.raises(ValueError, match=r"w: expected shape \(2, 6\); given \(2,\)"):
        case.policy.vjp(case.theta, s, a, np.zeros(2))


@pytest.mark.parametrize("network", [GaussianPolicy(2, 1), AdvantageNetwork(2, 1)])
def test_hidden_layers_are_50_wide_unless_told(network):
    assert network.mlp.sizes[1:-1] == (50, 50)


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="activation: expected one of tanh, relu, identity; given 'elu'"):
        GaussianPolicy(3, 2, activation="elu")


def test_check_shape_takes_letters_for_any_length():
    check_shape("x", np.zeros((4, 2)), ("N", 2))
    check_shape("x", np.zeros((4, 1000)), ("N", int("1000")))  # an equal number that is another object
    with pytest.raises(ValueError, match=r"x: expected shape \(N, 2\); given \(4, 3\)"):
        check_shape("x", np.zeros((4, 3)), ("N", 2))
