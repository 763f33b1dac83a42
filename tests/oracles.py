"""References to compare values with: slow, plain, a loop over rows, formulas as a textbook prints them.

Nothing of ours is imported. What is shared is the parameter layout: layer by layer W (in × out, row by
row), then b; after the last layer of a policy, its log standard deviations. Everything takes complex
numbers too, because `adapt` differentiates the inner losses by the complex step.
"""

import numpy as np


def layers(params, sizes):
    """[(W (n_in, n_out), b (n_out,)), …]"""
    pairs, start = [], 0
    for n_in, n_out in zip(sizes, sizes[1:]):
        middle, end = start + n_in * n_out, start + n_in * n_out + n_out
        pairs.append((params[start:middle].reshape(n_in, n_out), params[middle:end]))
        start = end
    assert start == len(params)
    return pairs


def activate(name, z):
    """One unit."""
    return {"tanh": np.tanh(z), "relu": z if z.real > 0 else 0 * z, "identity": z}[name]


def mlp(params, sizes, activation, x):
    """Outputs for each row of x, (N, n_L): every unit by itself."""
    *hidden, (W_last, b_last) = layers(params, sizes)
    rows = []
    for h in x:
        for W, b in hidden:
            h = np.array([activate(activation, np.dot(h, W[:, j]) + b[j]) for j in range(len(b))])
        rows.append([np.dot(h, W_last[:, j]) + b_last[j] for j in range(len(b_last))])
    return np.array(rows)


def log_prob(theta, sizes, activation, s, a):
    """log N(a_n; f(s_n), diag σ²), (N,): the density written out, dimension by dimension."""
    act_dim = sizes[-1]
    mean, sigma = mlp(theta[:-act_dim], sizes, activation, s), np.exp(theta[-act_dim:])
    return np.array([sum(np.log(np.exp(-((a[n, u] - mean[n, u]) / sigma[u]) ** 2 / 2) / (np.sqrt(2 * np.pi) * sigma[u]))
                         for u in range(act_dim)) for n in range(len(s))])


def learned_advantages(psi, sizes, activation, batch):
    """A_ψ(s, a, s'), (N,)."""
    rows = [np.concatenate(row) for row in zip(batch.states, batch.actions, batch.next_states)]
    return mlp(psi, sizes, activation, rows)[:, 0]


def inner_loss(method, log_probs, advantages, batch):
    """L_in of the method named, a number."""
    if method in ("maml", "norml-no-laf"):
        ratio = np.exp(log_probs - batch.log_probs)
        return -sum(a * r for a, r in zip(batch.advantages, ratio)) / len(ratio)
    if method in ("norml", "norml-no-offset"):
        return sum(a * x for a, x in zip(advantages, log_probs)) / len(log_probs)
    return 0 * log_probs[0]


def outer_loss(log_probs, batch, clip):
    """−mean_n min(r Â, clip(r, 1−ε, 1+ε) Â), a number."""
    ratio = [np.exp(x - old) for x, old in zip(log_probs, batch.log_probs)]
    return -np.mean([min(r * a, min(max(r, 1 - clip), 1 + clip) * a) for r, a in zip(ratio, batch.advantages)])


def adapt(method, meta, policy_sizes, laf_sizes, activation, batch):
    """θ_i = θ + θ_off − α ∘ ∇L_in(θ); the gradient by the complex step."""
    advantages = learned_advantages(meta.psi, laf_sizes, activation, batch)

    def loss(theta):
        x = log_prob(theta, policy_sizes, activation, batch.states, batch.actions)
        return inner_loss(method, x, advantages, batch)

    gradient = np.array([loss(meta.theta + 1e-30j * e).imag / 1e-30 for e in np.eye(len(meta.theta))])
    return meta.theta + meta.offset - meta.alpha * gradient


def returns(rewards, discount):
    """R_t = Σ_k γᵏ r_{t+k}, by this definition. (T,)"""
    return np.array([sum(discount ** k * r for k, r in enumerate(rewards[t:])) for t in range(len(rewards))])
