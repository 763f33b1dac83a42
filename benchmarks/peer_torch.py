"""The peer: NoRML's meta-gradient in PyTorch, its derivatives by automatic differentiation.

Written as well as we can, in three shapes: `torch.func` under `vmap`, all tasks in one graph, or a graph for each task.
Nothing of minorml is used but the layout of parameters and batches, so that both sides can be given the same numbers.
"""

import math
import os

import torch

torch.set_num_threads(os.cpu_count() or 1)


def network(params, sizes, x):
    """Parameters (P,) or (M, P) of rows (N, n) or (M, N, n)."""
    start = 0
    activation, *widths = sizes
    for i, (n, m) in enumerate(zip(widths, widths[1:])):
        W = params[..., start:start + n * m].unflatten(-1, (n, m))
        b = params[..., None, start + n * m:start + n * m + m]
        start += n * m + m
        x = x @ W + b
        if i < len(widths) - 2:
            x = {"tanh": torch.tanh, "relu": torch.relu}[activation](x)
    return x


def log_prob(theta, sizes, s, a):
    U = sizes[-1]
    log_std = theta[..., None, -U:]
    e = (a - network(theta[..., :-U], sizes, s)) * torch.exp(-log_std)
    return -0.5 * (e * e).sum(-1) - log_std.sum(-1) - 0.5 * U * math.log(2 * math.pi)


def inner_loss(theta, psi, sizes, laf_sizes, pre):
    A = network(psi, laf_sizes, torch.cat([pre.states, pre.actions, pre.next_states], -1))[..., 0]
    return (A * log_prob(theta, sizes, pre.states, pre.actions)).mean(-1)


def clipped_loss(theta_i, sizes, clip, post):
    ratio = torch.exp(log_prob(theta_i, sizes, post.states, post.actions) - post.log_probs)
    return -torch.minimum(ratio * post.advantages, ratio.clamp(1 - clip, 1 + clip) * post.advantages).mean(-1)


def by_vmap(meta, pre, post, sizes, laf_sizes, clip):
    """The derivative of the mean over tasks, with the derivative of each task's inner loss in it."""
    def one(meta, pre, post):
        g = torch.func.grad(inner_loss)(meta.theta, meta.psi, sizes, laf_sizes, pre)
        return clipped_loss(meta.theta + meta.offset - meta.alpha * g, sizes, clip, post)

    return torch.func.grad(lambda meta: torch.func.vmap(one, in_dims=(None, 0, 0))(meta, pre, post).mean())(meta)


def by_graph(meta, pre, post, sizes, laf_sizes, clip):
    """The sum over the tasks that are given, in one graph."""
    meta = type(meta)(*(field.detach().requires_grad_() for field in meta))
    theta = meta.theta.expand(len(pre.states), -1)  # (M, P): for each task its own, to have its own derivative
    inner = inner_loss(theta, meta.psi, sizes, laf_sizes, pre).sum()
    g, = torch.autograd.grad(inner, theta, create_graph=True)
    loss = clipped_loss(theta + meta.offset - meta.alpha * g, sizes, clip, post).sum()
    return torch.autograd.grad(loss, meta)


def meta_gradient(meta, pre, post, sizes, laf_sizes, clip, shape):
    """Mean over M tasks of the gradient in θ, θ_off, ψ, α; `shape` is "vmap", "stack" or "loop" over the tasks.

    meta : MetaParameters of tensors
    pre, post : Batch of tensors with an axis of tasks
    """
    if shape == "vmap":
        return by_vmap(meta, pre, post, sizes, laf_sizes, clip)
    M = len(pre.states)
    step = M if shape == "stack" else 1
    parts = []
    for i in range(0, M, step):
        mine = (type(side)(*(field[i:i + step] for field in side)) for side in (pre, post))
        parts.append(by_graph(meta, *mine, sizes, laf_sizes, clip))
    return [sum(fields) / M for fields in zip(*parts)]
