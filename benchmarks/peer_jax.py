"""The peer: NoRML in JAX, all of it under jit, its derivatives by automatic differentiation.

Written as well as we can: rollouts in `lax.scan`, tasks by `vmap` or `scan`, Adam and the advantages inside. Nothing
of minorml is used but the layout of parameters, so that both sides can be given the same numbers. For the systems
`point`, `point-sparse` and `cartpole` and the method `norml`.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)  # float64 on request; float32 stays float32


class Meta(NamedTuple):
    theta: jax.Array
    offset: jax.Array
    psi: jax.Array
    alpha: jax.Array


class Rows(NamedTuple):
    """Transitions of one task, all K·T of them, with weight 0 where the episode was over."""

    states: jax.Array  # (N, S)
    actions: jax.Array  # (N, U)
    next_states: jax.Array  # (N, S)
    log_probs: jax.Array  # (N,)
    alive: jax.Array  # (N,) 0 or 1
    advantages: jax.Array  # (N,)


def network(params, sizes, x):
    """sizes : the activation of the hidden layers, and the widths of all"""
    activation, *widths = sizes
    start = 0
    for i, (n, m) in enumerate(zip(widths, widths[1:])):
        W = params[start:start + n * m].reshape(n, m)
        b = params[start + n * m:start + n * m + m]
        start += n * m + m
        x = x @ W + b
        if i < len(widths) - 2:
            x = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation](x)
    return x


def log_prob(theta, sizes, s, a):
    U = sizes[-1]
    log_std = theta[-U:]
    e = (a - network(theta[:-U], sizes, s)) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(e * e, -1) - jnp.sum(log_std) - 0.5 * U * np.log(2 * np.pi).astype(e.dtype)


def mean(x, rows):
    return jnp.sum(x * rows.alive) / jnp.sum(rows.alive)


def inner_loss(theta, psi, sizes, laf_sizes, rows):
    A = network(psi, laf_sizes, jnp.concatenate([rows.states, rows.actions, rows.next_states], -1))[:, 0]
    return mean(A * log_prob(theta, sizes, rows.states, rows.actions), rows)


def adapt(meta, sizes, laf_sizes, pre):
    g = jax.grad(inner_loss)(meta.theta, meta.psi, sizes, laf_sizes, pre)
    return meta.theta + meta.offset - meta.alpha * g


def outer_loss(meta, sizes, laf_sizes, clip, pre, post):
    theta_i = adapt(meta, sizes, laf_sizes, pre)
    ratio = jnp.exp(log_prob(theta_i, sizes, post.states, post.actions) - post.log_probs)
    A = post.advantages
    return -mean(jnp.minimum(ratio * A, jnp.clip(ratio, 1 - clip, 1 + clip) * A), post)


@functools.partial(jax.jit, static_argnames=("sizes", "laf_sizes", "clip", "shape"))
def meta_gradient(meta, pre, post, sizes, laf_sizes, clip, shape):
    """Mean over tasks of the loss and its gradient; `shape` is "vmap" or "scan" over the tasks."""
    one = jax.value_and_grad(functools.partial(outer_loss, sizes=sizes, laf_sizes=laf_sizes, clip=clip))
    if shape == "vmap":
        return jax.tree.map(lambda x: jnp.mean(x, 0), jax.vmap(lambda a, b: one(meta, pre=a, post=b))(pre, post))
    M = pre.states.shape[0]

    def add(total, task):
        return jax.tree.map(jnp.add, total, one(meta, pre=task[0], post=task[1])), None

    zero = jax.tree.map(jnp.zeros_like, (pre.states[0, 0, 0], meta))
    return jax.tree.map(lambda x: x / M, jax.lax.scan(add, zero, (pre, post))[0])


# --- systems: state, action, task → next state, reward, ended; and what is observed of a state


def point(sparse):
    def step(p, a, rotation):
        a = jnp.clip(a, -1, 1)
        c, s = jnp.cos(rotation), jnp.sin(rotation)
        p = jnp.clip(p + jnp.stack([c * a[..., 0] - s * a[..., 1], s * a[..., 0] + c * a[..., 1]], -1), -2, 2)
        distance = jnp.hypot(p[..., 0] - 1, p[..., 1])
        return (p, -jnp.ones_like(distance), distance < 0.1) if sparse else (
            p, -distance, jnp.zeros(distance.shape, bool))

    return step, lambda p, rotation: p / 2


def cartpole():
    def step(state, a, bias):
        x, x_dot, th, th_dot = jnp.moveaxis(state, -1, 0)
        cos, sin = jnp.cos(th), jnp.sin(th)
        push = (10 * jnp.clip(a[..., 0], -1, 1) + 0.05 * th_dot**2 * sin) / 1.1
        th_acc = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
        x_acc = push - 0.05 * th_acc * cos / 1.1
        state = state + 0.02 * jnp.stack([x_dot, x_acc, th_dot, th_acc], -1)
        ended = (jnp.abs(state[..., 0]) > 2.4) | (jnp.abs(state[..., 2]) > 12 * 2 * np.pi / 360)
        return state, jnp.where(ended, 0.0, 1.0), ended

    def observe(state, bias):
        biased = state.at[..., 2].add(jnp.broadcast_to(bias, state.shape[:-1]))
        return biased / jnp.array([4.8, 3.0, 0.418, 3.0], state.dtype)

    return step, observe


SYSTEMS = {"point": point(False), "point-sparse": point(True), "cartpole": cartpole()}


def rollout(system, sizes, theta, start, noise, task):
    """One task: start (K, D), noise (T, K, U) → Rows with (K, T, …) fields but for advantages, and rewards (K, T)."""
    step, observe = SYSTEMS[system]
    U, dtype = sizes[-1], theta.dtype
    log_std = theta[-U:]

    def advance(carry, z):
        state, s, living = carry
        a = network(theta[:-U], sizes, s) + jnp.exp(log_std) * z
        x = -0.5 * jnp.sum(z * z, -1) - jnp.sum(log_std) - 0.5 * U * np.log(2 * np.pi).astype(dtype)
        state, reward, ended = step(state, a.astype(state.dtype), task)
        after = observe(state, task).astype(dtype)
        out = (s, a, after, x, living.astype(dtype), jnp.where(living, reward, 0))
        return (state, after, living & ~ended), out

    first = observe(start, task).astype(dtype)
    _, out = jax.lax.scan(advance, (start, first, jnp.ones(len(start), bool)), noise)
    *fields, rewards = (jnp.swapaxes(x, 0, 1) for x in out)
    return fields, rewards


@functools.partial(jax.jit, static_argnames=("system", "sizes"))
def rollouts(thetas, starts, noises, tasks, *, system, sizes):
    """All tasks: `rollout` of each."""
    return jax.vmap(lambda *given: rollout(system, sizes, *given))(thetas, starts, noises, tasks)


def estimate_advantages(fields, rewards, discount):
    """Returns minus their polynomial regression over the live rows, (K, T) in float64."""
    s, _, _, _, alive = fields
    K, T = rewards.shape
    rewards, s, alive = rewards.astype(jnp.float64), s.astype(jnp.float64), alive.astype(jnp.float64)
    _, returns = jax.lax.scan(lambda R, r: (r + discount * R,) * 2, jnp.zeros(K), rewards.T, reverse=True)
    u = jnp.broadcast_to(jnp.arange(T) / T, (K, T))[..., None]
    phi = jnp.concatenate([s, s**2, s**3, u, u**2, u**3, jnp.ones_like(u)], -1).reshape(K * T, -1)
    phi = phi * alive.reshape(-1, 1)
    y = returns.T.reshape(-1) * alive.reshape(-1)
    gram = phi.T @ phi + 1e-5 * jnp.eye(phi.shape[1])
    w = jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(gram), phi.T @ y)
    return (y - phi @ w).reshape(K, T) * alive


@functools.partial(jax.jit, static_argnames=(
    "system", "sizes", "laf_sizes", "discount", "clip", "outer_steps", "max_gradient_norm", "shape"))
def iteration(meta, moments, count, rate, starts, noises, tasks, *, system, sizes, laf_sizes, discount, clip,
              outer_steps, max_gradient_norm, shape):
    """One outer iteration of NoRML → (meta, moments, mean return after adaptation).

    starts, noises : for the rollouts before and after adaptation, (M, K, D) and (M, T, K, U) each
    """
    dtype = meta.theta.dtype

    def flat(fields, advantages):
        return Rows(*(x.reshape(-1, *x.shape[2:]) for x in fields), advantages.reshape(-1))

    explored = jax.vmap(lambda *x: rollout(system, sizes, meta.theta, *x))(starts[0], noises[0], tasks)
    pre = jax.vmap(flat)(explored[0], jnp.zeros_like(explored[0][-1]))
    theta_i = jax.vmap(lambda rows: adapt(meta, sizes, laf_sizes, rows))(pre)
    fields, rewards = jax.vmap(lambda theta, *x: rollout(system, sizes, theta, *x))(
        theta_i, starts[1], noises[1], tasks)
    A = jax.vmap(lambda f, r: estimate_advantages(f, r, discount))(fields, rewards)
    alive = fields[-1].astype(jnp.float64)
    centre = jnp.sum(A) / jnp.sum(alive)
    std = jnp.sqrt(jnp.sum(alive * (A - centre)**2) / jnp.sum(alive))
    post = jax.vmap(flat)(fields, (alive * (A - centre) / std).astype(dtype))

    def step(i, learned):
        meta, moments = learned
        _, g = meta_gradient(meta, pre, post, sizes, laf_sizes, clip, shape)
        return adam(meta, moments, count + i + 1, rate, clip_by_global_norm(g, max_gradient_norm))

    meta, moments = jax.lax.fori_loop(0, outer_steps, step, (meta, moments))
    return meta, moments, count + outer_steps, jnp.mean(jnp.sum(rewards, -1))


def clip_by_global_norm(g, longest):
    learned = g._replace(alpha=jnp.zeros_like(g.alpha))
    norm = jnp.sqrt(sum(jnp.sum(x * x) for x in learned))
    return jax.tree.map(lambda x: x * jnp.minimum(1, longest / norm), learned)


def adam(meta, moments, count, rate, g):
    first = jax.tree.map(lambda m, x: 0.9 * m + (1 - 0.9) * x, moments[0], g)
    second = jax.tree.map(lambda u, x: 0.999 * u + (1 - 0.999) * x * x, moments[1], g)

    def move(x, m, u):
        return (x - rate * (m / (1 - 0.9**count)) / (jnp.sqrt(u / (1 - 0.999**count)) + 1e-8)).astype(x.dtype)

    return jax.tree.map(move, meta, first, second)._replace(alpha=meta.alpha), (first, second)


@functools.partial(jax.jit, static_argnames=("shape", "start", "dtype"))
def draw(key, shape, start, dtype):
    """Noise and first states for both rollouts: shape (M, T, K, U); start "zeros" (2,) or "uniform" (4,)."""
    M, T, K, U = shape
    a, b, c, d = jax.random.split(key, 4)
    noises = [jax.random.normal(k, shape, dtype) for k in (a, b)]
    starts = [jnp.zeros((M, K, 2)) if start == "zeros" else jax.random.uniform(
        k, (M, K, 4), jnp.float64, -0.05, 0.05) for k in (c, d)]
    return starts, noises
