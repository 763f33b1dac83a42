"""The heart: the adaptation step and the gradient of what comes after it."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from strategies import cast, flat, meta_case, meta_cases, packed, policy_case, proved_twice

from minorml.gradcheck import (
    assert_close,
    assert_gradient,
    central_difference,
    complex_step,
    full_gradient,
    taylor_slopes,
)
from minorml.meta import Batch, MetaParameters, adapt, meta_gradient, outer_loss
from minorml.methods import METHODS
from minorml.mlp import ACTIVATIONS

LEARN_ADVANTAGES = ("norml", "norml-no-offset")
FROM_REWARDS = ("maml", "norml-no-laf")
each_method = pytest.mark.parametrize("method", METHODS)
each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def loss_of(case):
    """L_out(θ_i(θ, θ_off, ψ, α)) as a function of one vector, and that vector: values only, no derivative used."""
    policy, laf, method, _, pre, post = case

    def loss(*fields):
        theta_i, _ = adapt(policy, laf, method, MetaParameters(*fields), pre)
        return outer_loss(policy, theta_i, post).loss

    return packed(loss, *case.meta)


def assert_meta_gradient(case, rtol, derivative):
    """Each field of the meta-gradient against the whole vector of derivatives of the loss."""
    _, gradient = meta_gradient(*case)
    expected = full_gradient(*loss_of(case), derivative)
    ends = np.cumsum([field.size for field in case.meta])[:-1]
    for name, ours, field in zip(MetaParameters._fields, gradient, np.split(expected, ends)):
        assert_close(ours, field, rtol, name)


@pytest.mark.gradients
@each_method
@pytest.mark.parametrize("num_steps", [1, 2])
def test_tasks_together_are_each_task_to_the_last_bit(method, num_steps):
    cases = [meta_case(method, seed, depth=2, num_steps=num_steps, num_rows=9) for seed in range(3)]
    cases = [case._replace(meta=cases[0].meta) for case in cases]

    def stacked(batches):
        return Batch(*map(np.stack, zip(*batches)))

    together = cases[0]._replace(pre=[stacked(step) for step in zip(*(case.pre for case in cases))],
                                 post=stacked([case.post for case in cases]))
    losses, gradient = meta_gradient(*together)
    for i, case in enumerate(cases):
        loss, alone = meta_gradient(*case)
        assert losses[i] == loss
        for name, ours, expected in zip(gradient._fields, gradient, alone):
            np.testing.assert_array_equal(np.broadcast_to(ours, (3, ours.shape[-1]))[i], expected, name)


# The quick ones first: the parameters of the topmost line move fastest.
@pytest.mark.gradients
@each_method
@each_activation
@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("depth", [1, 2])
def test_meta_gradient_by_complex_step(method, activation, depth, num_steps):
    """(meta.2), (meta.3), (meta.4) and (meta.5)"""
    assert_meta_gradient(meta_case(method, 0, activation, depth, num_steps, scale=0.7), 1e-12, complex_step)


@pytest.mark.gradients
@given(meta_cases)
@settings(max_examples=10)  # some hundred coordinates each
def test_meta_gradient_by_central_differences(case):
    """Longer chains than those of `strategies.proved_twice`, with larger third derivatives: 1e-5 instead of 1e-6."""
    assert_meta_gradient(case, 1e-5, central_difference)


@proved_twice
@given(meta_cases)
def test_outer_loss_gradient(derivative, rtol, case):
    policy, _, _, _, _, post = case
    theta_i, _ = adapt(*case[:5])
    gradient = outer_loss(policy, theta_i, post).gradient
    assert_gradient(lambda t: outer_loss(policy, t, post).loss, gradient, theta_i, rtol, derivative)


def test_the_clip_acts_on_some_rows_of_these_cases():
    """What is proved here is proved on both sides of the clip. Of several tasks, each has its own share."""
    case = meta_case(num_rows=6)
    theta_i, _ = adapt(*case[:5])
    assert outer_loss(case.policy, theta_i, case.post).clip_fraction == pytest.approx(2 / 6)
    unclipped = case.post._replace(log_probs=case.policy.log_prob(theta_i, case.post.states, case.post.actions))
    both = Batch(*map(np.stack, zip(case.post, unclipped)))
    assert outer_loss(case.policy, np.stack([theta_i] * 2), both).clip_fraction == pytest.approx([2 / 6, 0])


@each_method
@pytest.mark.parametrize("num_steps", [0, 1, 2])
def test_the_meta_gradient_of_several_tasks_has_a_row_for_each(method, num_steps):
    case = meta_case(method, num_steps=num_steps)
    together = case._replace(pre=[Batch(*(np.stack([x] * 3) for x in batch)) for batch in case.pre])
    theta_i, pullback = adapt(*together[:5])
    for field, ours in zip(case.meta, pullback(np.ones((3, case.policy.num_params)))):
        assert ours.shape == (3, field.size)


@pytest.mark.gradients
@each_method
def test_taylor_slopes(method):
    """Slope 2 with the meta-gradient; 3 with its own derivative, for which the complex step stands."""
    case = meta_case(method, depth=2, num_steps=2)
    loss, x = loss_of(case)
    v = np.random.default_rng(2).normal(size=x.size)
    v /= np.linalg.norm(v)
    gradient, _ = packed(lambda *fields: flat(*meta_gradient(*case[:3], MetaParameters(*fields), *case[4:])[1]),
                         *case.meta)
    slopes = taylor_slopes(loss, x, v, gradient(x) @ v, complex_step(gradient, x, v) @ v)
    assert slopes == pytest.approx([2, 3], abs=0.1)


@pytest.mark.gradients
@each_method
def test_without_log_probs_they_are_those_of_the_present_policy(method):
    """Held constant at the parameters that sampled: the ratio is 1, and yet it has a slope and a curvature."""
    policy, laf, method, meta, pre, post = meta_case(method, num_steps=2)
    theta, explicit = meta.theta, []
    for batch in pre:
        explicit.append(batch._replace(log_probs=policy.log_prob(theta, batch.states, batch.actions)))
        theta, _ = adapt(policy, laf, method, meta._replace(theta=theta), explicit[-1])
    explicit_post = post._replace(log_probs=policy.log_prob(theta, post.states, post.actions))

    case = (policy, laf, method, meta, [b._replace(log_probs=None) for b in pre], post._replace(log_probs=None))
    loss, gradient = meta_gradient(*case)
    expected_loss, expected = meta_gradient(*case[:4], explicit, explicit_post)
    assert loss == pytest.approx(expected_loss, rel=1e-14)
    for name, ours, field in zip(MetaParameters._fields, gradient, expected):
        assert_close(ours, field, 1e-12, name)


def inner_gradient_and_hessian(policy, laf, method, theta, psi, batch):
    """g and H of L_in, read off one adaptation step with α = 1: ∂α = −g ∘ g' and ∂θ = g' − H g'."""
    ones = np.ones_like(theta)
    _, pullback = adapt(policy, laf, METHODS[method], MetaParameters(theta, 0 * theta, psi, ones), batch)
    H = np.array([e - pullback(e).theta for e in np.eye(len(theta))])
    return -pullback(ones).alpha, H


@pytest.mark.gradients
@each_activation
def test_ratio_and_log_form_differ_by_the_outer_products(activation):
    """At θ = θ̄, with −Â for A: equal gradients; the ratio form's Hessian has −mean Â ∇log π ∇log πᵀ besides."""
    policy, laf, theta, psi, s, a, next_s, advantages, *_ = policy_case(activation=activation)
    ratio = inner_gradient_and_hessian(policy, laf, "maml", theta, psi, Batch(s, a, next_s, advantages))
    constant = Constant(-advantages)  # in place of a network: A = −Â, whatever ψ
    log = inner_gradient_and_hessian(policy, constant, "norml", theta, psi, Batch(s, a, next_s))
    scores = policy.scores(theta, s, a)
    assert_close(ratio[0], log[0])
    assert_close(ratio[1] - log[1], -scores.T @ (advantages[:, None] * scores) / len(s))


class Constant:
    """A stand-in for AdvantageNetwork with a fixed output."""

    def __init__(self, advantages):
        self.advantages = advantages

    def at(self, psi, s, a, next_s):
        return self.advantages, lambda w: 0 * psi


@pytest.mark.gradients
@each_method
@each_activation
def test_hessian_of_the_inner_loss_is_symmetric(method, activation):
    case = meta_case(method, 0, activation, depth=2)
    _, H = inner_gradient_and_hessian(*case[:2], method, case.meta.theta, case.meta.psi, case.pre[0])
    assert_close(H, H.T, 1e-12)
    assert H.any() == (method != "dr")


@each_method
def test_the_pullback_is_linear(method):
    case = meta_case(method, num_steps=2)
    _, pullback = adapt(*case[:5])
    x, y = np.random.default_rng(0).normal(size=(2, case.policy.num_params))
    assert_close(flat(*pullback(2 * x - 3 * y)), 2 * flat(*pullback(x)) - 3 * flat(*pullback(y)), 1e-12)


@pytest.mark.gradients
@each_method
@each_activation
def test_adaptation_and_loss_equal_the_oracle(method, activation):
    """(meta.1)"""
    policy, laf, row, meta, pre, post = meta_case(method, 0, activation, depth=2, num_steps=2)
    expected = meta.theta
    for batch in pre:
        here = meta._replace(theta=expected)
        expected = oracles.adapt(method, here, policy.mlp.sizes, laf.mlp.sizes, activation, batch)
    theta_i, _ = adapt(policy, laf, row, meta, pre)
    assert_close(theta_i, expected, 1e-13)
    log_prob = oracles.log_prob(expected, policy.mlp.sizes, activation, post.states, post.actions)
    for clip in (0.2, 0.45):
        outer = outer_loss(policy, theta_i, post, clip)
        assert outer.loss == pytest.approx(oracles.outer_loss(log_prob, post, clip), rel=1e-12)
        assert outer.loss == meta_gradient(policy, laf, row, meta, pre, post, clip)[0]


def test_one_batch_is_a_sequence_of_one():
    case = meta_case()
    (loss, gradient), (other_loss, other) = meta_gradient(*case), meta_gradient(*case[:4], case.pre[0], case.post)
    assert loss == other_loss and np.array_equal(flat(*gradient), flat(*other))


def test_domain_randomization_adapts_to_theta_plus_offset_whatever_alpha():
    policy, laf, method, meta, pre, _ = meta_case("dr")
    for alpha in (0 * meta.alpha, meta.alpha, 1e6 * meta.alpha):
        theta_i, _ = adapt(policy, laf, method, meta._replace(alpha=alpha), pre)
        assert np.array_equal(theta_i, meta.theta + meta.offset)


@pytest.mark.parametrize("method", LEARN_ADVANTAGES)
def test_learned_advantages_see_no_others(method):
    """A batch has no field for rewards; and what is estimated from them may be anything."""
    assert Batch._fields == ("states", "actions", "next_states", "advantages", "log_probs")
    case = meta_case(method, num_steps=2)
    spoilt = [batch._replace(advantages=np.full_like(batch.advantages, np.nan)) for batch in case.pre]
    without = [batch._replace(advantages=None) for batch in case.pre]
    expected = flat(*meta_gradient(*case)[1])
    for pre in spoilt, without:
        assert np.array_equal(flat(*meta_gradient(*case._replace(pre=pre))[1]), expected)


@pytest.mark.parametrize("method", ("dr", *FROM_REWARDS))
def test_methods_without_learned_advantages_need_no_network(method):
    case = meta_case(method)
    assert np.array_equal(flat(*meta_gradient(*case._replace(laf=None))[1]), flat(*meta_gradient(*case)[1]))


@each_method
@each_activation
def test_float32_stays_float32(method, activation):
    """Longest chain: some hundred float32 operations, each rounded by 6e-8, and exponentials of numbers of size 1."""
    case = cast(meta_case(method, 0, activation, depth=2, num_steps=2), np.float32)
    loss, gradient = meta_gradient(*case)
    expected_loss, expected = meta_gradient(*cast(case, np.float64))
    assert loss.dtype == np.float32
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert adapt(*case[:5])[0].dtype == np.float32
    for name, ours, field in zip(MetaParameters._fields, gradient, expected):
        assert ours.dtype == np.float32, name
        assert_close(ours, field, 1e-5, name)


@pytest.mark.parametrize("method", FROM_REWARDS)
def test_missing_advantages_are_named(method):
    case = meta_case(method)
    with pytest.raises(ValueError, match="batch.advantages: .*given None"):
        adapt(*case[:4], case.pre[0]._replace(advantages=None))
    with pytest.raises(ValueError, match="post.advantages: .*given None"):
        outer_loss(case.policy, case.meta.theta, case.post._replace(advantages=None))


@pytest.mark.parametrize("field", ["advantages", "log_probs"])
def test_rows_of_another_shape_are_named(field):
    case = meta_case("maml")
    for wrong in (np.zeros(1), np.zeros((6, 1))):
        with pytest.raises(ValueError, match=rf"pre.{field}: expected shape \(6,\); given"):
            adapt(*case[:4], case.pre[0]._replace(**{field: wrong}))
        with pytest.raises(ValueError, match=rf"post.{field}: expected shape \(6,\); given"):
            outer_loss(case.policy, case.meta.theta, case.post._replace(**{field: wrong}))


@pytest.mark.parametrize("field", ["offset", "alpha"])
def test_meta_parameters_of_another_shape_are_named(field):
    case = meta_case()
    with pytest.raises(ValueError, match=rf"{field}: expected shape .*; given \(1,\)"):
        adapt(case.policy, case.laf, case.method, case.meta._replace(**{field: np.zeros(1)}), case.pre)


def test_a_nan_is_never_clipped_away():
    case = meta_case()
    post = case.post._replace(log_probs=np.where(np.arange(6) == 2, np.nan, case.post.log_probs))
    outer = outer_loss(case.policy, case.meta.theta, post)
    assert np.isnan(outer.loss) and np.isnan(outer.gradient).all()
