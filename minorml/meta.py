"""One adaptation step, and the gradient of the outer loss through it.

    θ_i = θ + θ_off − α ∘ ∇_θ L_in(θ; D_i^pre)                                                 (meta.1)

adapts the policy to task i (Yang et al. 2019, Algorithm 3). Without θ_off, and with rewards in L_in, it is MAML (Finn
et al. 2017) with the step sizes of Meta-SGD (Li et al. 2017). L_in is a surrogate (surrogate.1) whose advantages may be
learned, A_ψ. The outer loss L_out(θ_i; D_i^post) is PPO's (surrogate.6), on transitions that the adapted policy
collects. We want its gradient in everything that (meta.1) contains: θ, θ_off, ψ and α.

Let g = ∇L_in(θ), g' = ∇L_out(θ_i), H = ∇²L_in(θ), and v = α ∘ g'. Then

    ∂L_out/∂θ     = (I − diag(α) H)ᵀ g' = g' − H v           H is symmetric                      (meta.2)
    ∂L_out/∂θ_off = g'                                                                           (meta.3)
    ∂L_out/∂α     = −g ∘ g'                                                                      (meta.4)
    ∂L_out/∂ψ     = −Σ_n (∇x_n · v) ∂²ℓ/∂x∂A ∇_ψ A_ψ,n       x_n = log π_θ(a_n|s_n)              (meta.5)

Why (meta.5): by (surrogate.2), g'ᵀ(α ∘ g) = vᵀg = Σ_n (∇x_n · v) slope_n, and only the slope depends on ψ, through
A_n. One R-operator sweep along v gives ∇x_n · v for (meta.5) and, with its backward half, H v for (meta.2). Nothing
else is of second order.

D_i^pre is a constant here. That it was sampled by π_θ has no part in the gradient in θ (E-MAML and ProMP add a term for
it), so nothing rewards θ for collecting informative data. With several outer updates for each batch, D_i^pre comes from
the θ before the first of them, and (surrogate.4) does not correct for that; PPO's clip keeps the updates small.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .advantage import AdvantageNetwork
from .policy import GaussianPolicy, check_shape
from .surrogate import clipped_form, differentiate


class MetaParameters(NamedTuple):
    """What the outer loop may learn. Its gradient has the same form."""

    theta: np.ndarray  # (P,) the policy that explores
    offset: np.ndarray  # (P,) θ_off
    psi: np.ndarray  # (Q,) the learned advantage function
    alpha: np.ndarray  # (P,) the step size of each parameter


class Batch(NamedTuple):
    """N transitions of one task. There is no field for rewards, so adaptation without rewards cannot see any."""

    states: np.ndarray  # (N, S)
    actions: np.ndarray  # (N, U)
    next_states: np.ndarray  # (N, S)
    advantages: np.ndarray | None = None  # (N,) where they are not learned
    log_probs: np.ndarray | None = None  # (N,) under the policy that sampled; None: it has the present parameters


def adapt(policy: GaussianPolicy, laf: AdvantageNetwork | None, method: Any, meta: MetaParameters,
          pre: Batch | Sequence[Batch]) -> tuple[np.ndarray, Callable[[np.ndarray], MetaParameters]]:
    """Adapt to one task: (meta.1), once, or once for each batch of a sequence.

    Parameters
    ----------
    policy, laf : GaussianPolicy, AdvantageNetwork (laf may be None for methods without one)
    method : a row of `METHODS`
    meta : MetaParameters
    pre : Batch, or a sequence of them: batch k is sampled by the policy after k adaptation steps. An empty sequence
        returns θ unchanged

    Returns
    -------
    theta_i : (P,) adapted parameters
    pullback : g' (P,) ↦ MetaParameters: from the gradient of L_out in θ_i to its gradient in θ, θ_off, ψ and α

    Several tasks with equally many rows can be given at once, as batches with an axis of tasks before the others,
    (M, N, …). Then θ_i and g' are (M, P), and the gradient has a row for each task.

    θ_off is added in each step. A second step with parameters that were trained for one adds it once too often.
    """
    check_shape("offset", meta.offset, (policy.num_params,))
    check_shape("alpha", meta.alpha, (policy.num_params,))
    steps = [pre] if isinstance(pre, Batch) else list(pre)
    theta_i, pullbacks = meta.theta, []
    for batch in steps:
        theta_i, step_back = _adapt_once(policy, laf, method, meta._replace(theta=theta_i), batch)
        pullbacks.append(step_back)

    def pullback(g_post):
        total = MetaParameters(g_post, *(np.zeros(g_post.shape[:-1] + field.shape, field.dtype) for field in meta[1:]))
        for step_back in reversed(pullbacks):
            step = step_back(total.theta)
            # The gradient in θ passes through the steps. θ_off, ψ and α are used in each, so their gradients add up.
            total = MetaParameters(step.theta, *(a + b for a, b in zip(total[1:], step[1:])))
        return total

    return theta_i, pullback


def _adapt_once(policy, laf, method, meta, batch):
    """(meta.1) and its pullback (meta.2)–(meta.5)."""
    _check_rows("pre", batch)
    advantages, advantage_vjp = method.advantage(laf, meta.psi, batch)
    _, g, dslope_dA, along = differentiate(method.surrogate, policy, meta.theta, batch, advantages, True)  # of L_in
    theta_i = meta.theta + meta.offset - meta.alpha * g

    def pullback(g_post):
        Rx, Hv = along(meta.alpha * g_post)  # v = α ∘ g'
        return MetaParameters(
            theta=g_post - Hv,
            offset=g_post,
            psi=-advantage_vjp(dslope_dA * Rx),
            alpha=-g * g_post,
        )

    return theta_i, pullback


def _check_rows(name, batch):
    for field in ("advantages", "log_probs"):
        if getattr(batch, field) is not None:
            check_shape(f"{name}.{field}", getattr(batch, field), np.shape(batch.states)[:-1])


class Outer(NamedTuple):
    """The outer surrogate L_out of one task at θ_i."""

    loss: np.ndarray  # a number
    gradient: np.ndarray  # (P,) g'
    clip_fraction: float  # share of rows on which the clip acts


def outer_loss(policy: GaussianPolicy, theta_i: np.ndarray, post: Batch, clip: float = 0.2) -> Outer:
    """L_out(θ_i; D_i^post), PPO's clipped surrogate (surrogate.6), and its gradient. Needs `post.advantages`."""
    if post.advantages is None:
        raise ValueError("post.advantages: the outer loss needs (N,) advantages; given None")
    _check_rows("post", post)
    loss, gradient, dslope_dA, _ = differentiate(clipped_form, policy, theta_i, post, post.advantages, False, clip)
    return Outer(loss, gradient, np.mean(dslope_dA == 0, axis=-1))


def meta_gradient(policy: GaussianPolicy, laf: AdvantageNetwork | None, method: Any, meta: MetaParameters,
                  pre: Batch | Sequence[Batch], post: Batch, clip: float = 0.2) -> tuple[np.ndarray, MetaParameters]:
    """L_out(θ_i) of one task and its gradient in θ, θ_off, ψ and α, as (loss, MetaParameters)."""
    theta_i, pullback = adapt(policy, laf, method, meta, pre)
    outer = outer_loss(policy, theta_i, post, clip)
    return outer.loss, pullback(outer.gradient)
