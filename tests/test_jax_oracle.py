"""A third opinion: everything written again for JAX, and differentiated by its reverse mode.

Nothing of ours is used but the parameter layout (`oracles.layers`) and the data. Optional extra: `oracle`.
"""

import numpy as np
import oracles
import pytest
from strategies import meta_case, policy_case

from minorml.gradcheck import assert_close
from minorml.meta import MetaParameters, meta_gradient
from minorml.methods import METHODS
from minorml.mlp import ACTIVATIONS

jax = pytest.importorskip("jax", reason="JAX comes with the extra `oracle`")
jnp = jax.numpy
jax.config.update("jax_enable_x64", True)

pytestmark = pytest.mark.gradients
each_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
ACTIVATE = {"tanh": jnp.tanh, "relu": jax.nn.relu, "identity": lambda z: z}


def network(params, sizes, activation, x):
    *hidden, (W, b) = oracles.layers(params, sizes)
    for W_l, b_l in hidden:
        x = ACTIVATE[activation](x @ W_l + b_l)
    return x @ W + b


def log_prob(theta, sizes, activation, s, a):
    mean_params, log_std = theta[:-sizes[-1]], theta[-sizes[-1]:]
    return jax.scipy.stats.norm.logpdf(a, network(mean_params, sizes, activation, s), jnp.exp(log_std)).sum(axis=1)


def inner_loss(theta, psi, method, sizes, laf_sizes, activation, batch):
    x = log_prob(theta, sizes, activation, batch.states, batch.actions)
    if method in ("maml", "norml-no-laf"):
        old = jax.lax.stop_gradient(x) if batch.log_probs is None else batch.log_probs
        return -jnp.mean(batch.advantages * jnp.exp(x - old))
    transitions = jnp.concatenate([batch.states, batch.actions, batch.next_states], axis=1)
    return jnp.mean(network(psi, laf_sizes, activation, transitions)[:, 0] * x)


def loss_after_adaptation(meta, method, sizes, laf_sizes, activation, pre, post, clip=0.2):
    theta, offset, psi, alpha = meta
    for batch in pre:
        g = 0 if method == "dr" else jax.grad(inner_loss)(theta, psi, method, sizes, laf_sizes, activation, batch)
        theta = theta + offset - alpha * g
    x = log_prob(theta, sizes, activation, post.states, post.actions)
    ratio = jnp.exp(x - (jax.lax.stop_gradient(x) if post.log_probs is None else post.log_probs))
    return -jnp.mean(jnp.minimum(ratio * post.advantages, jnp.clip(ratio, 1 - clip, 1 + clip) * post.advantages))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activation, num_steps", [("tanh", 2), ("relu", 1), ("identity", 1)])
@pytest.mark.parametrize("old", ["given", "none"])
def test_meta_gradient(method, activation, num_steps, old):
    """With log_probs given, and with none, where JAX stops the gradient of the present policy's own."""
    case = meta_case(method, 0, activation, depth=2, num_steps=num_steps)
    if old == "none":
        case = case._replace(pre=[batch._replace(log_probs=None) for batch in case.pre],
                             post=case.post._replace(log_probs=None))
    expected_loss, expected = jax.value_and_grad(loss_after_adaptation)(
        tuple(case.meta), method, case.policy.mlp.sizes, case.laf.mlp.sizes, activation, case.pre, case.post)
    loss, gradient = meta_gradient(*case)
    assert loss == pytest.approx(float(expected_loss), rel=1e-12)
    for name, ours, field in zip(MetaParameters._fields, gradient, expected):
        assert_close(ours, np.asarray(field), 1e-12, name)


@each_activation
def test_policy_derivatives(activation):
    policy, _, theta, _, s, a, _, w, _, v = policy_case(activation=activation)

    def x(t):
        return log_prob(t, policy.mlp.sizes, activation, s, a)

    vjp = jax.grad(lambda t: w @ x(t))
    Hv = jax.jvp(vjp, (theta,), (v,))[1]
    assert_close(policy.log_prob(theta, s, a), np.asarray(x(theta)), 1e-13)
    assert_close(policy.scores(theta, s, a), np.asarray(jax.jacobian(x)(theta)))
    assert_close(policy.vjp(theta, s, a, w), np.asarray(vjp(theta)))
    assert_close(policy.jvp(theta, s, a, v), np.asarray(jax.jvp(x, (theta,), (v,))[1]))
    assert_close(policy.hvp(theta, s, a, w, v), np.asarray(Hv))
