"""Surrogate losses: the functions of θ whose gradients are policy gradients.

A surrogate is not a loss in the usual sense. Its value means little. Its gradient matters: at the parameters that
sampled the batch it is an estimate of the policy gradient. Our surrogates depend on θ only through the
log-probabilities x_n = log π_θ(a_n|s_n) of the N rows. They also depend on the advantages A_n:

    L(θ) = Σ_n ℓ(x_n(θ), A_n)                                                               (surrogate.1)

Each is thus a scalar function ℓ of two numbers, and four numbers per row determine all derivatives:

    loss       ℓ
    slope      ∂ℓ/∂x       ∇L  = Σ_n slope_n ∇x_n                                            (surrogate.2)
    curvature  ∂²ℓ/∂x²     ∇²L v = Σ_n slope_n ∇²x_n v + curvature_n (∇x_n · v) ∇x_n         (surrogate.3)
    dslope_dA  ∂²ℓ/∂x∂A    how the slope changes with the advantage, for the gradient in ψ

x̄ are the log-probabilities under the parameters θ̄ that sampled the batch. They are constants.
"""

from typing import NamedTuple

import numpy as np

from .kernels import surrogate as compiled
from .kernels.registry import served_by


class Rows(NamedTuple):
    """ℓ and its derivatives for each of N rows, each (N,), already divided by N."""

    loss: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray
    dslope_dA: np.ndarray


@served_by(compiled.differentiate, where=lambda form, *_: form in compiled.FORMS)
def differentiate(form, policy, theta, batch, advantages, twice, *clip):
    """L(θ; batch) of a surrogate `form`, and its derivatives.

    Returns
    -------
    loss : L, a number
    gradient : ∇L, (P,)
    dslope_dA : ∂²ℓ/∂x∂A of each row, (N,)
    along : v (P,) ↦ (∇x_n · v of each row, (N,); ∇²L v, (P,)), or None unless `twice`

    As in `minorml/policy.py`, everything may have an axis of tasks before the others.
    """
    at = policy.at(theta, batch.states, batch.actions)
    rows = form(at.log_prob, advantages, batch.log_probs, *clip)

    def along(v):
        tangent = at.along(v)
        return tangent.log_prob, tangent.vjp(rows.slope, rows.curvature * tangent.log_prob)  # (surrogate.3)

    return rows.loss.sum(axis=-1), at.vjp(rows.slope), rows.dslope_dA, along if twice else None  # (surrogate.2)


@compiled.compiled_as(compiled.LOG)
def log_form(x, advantages, old_log_probs):
    """ℓ = A x / N, the inner surrogate of NoRML (Yang et al. 2019, Algorithm 3).

    There is no minus sign, because the sign of a learned A is free. ℓ does not depend on x̄.

        ∂ℓ/∂x = A/N,    ∂²ℓ/∂x² = 0,    ∂²ℓ/∂x∂A = 1/N                                       (surrogate.4)
    """
    n = x.shape[-1]
    slope = advantages / n
    return Rows(loss=slope * x, slope=slope, curvature=np.zeros_like(slope), dslope_dA=np.full_like(x, 1 / n))


@compiled.compiled_as(compiled.RATIO)
def ratio_form(x, advantages, old_log_probs):
    """ℓ = −A ρ / N with ρ = exp(x − x̄), the inner surrogate of MAML.

        ∂ℓ/∂x = −A ρ/N,    ∂²ℓ/∂x² = −A ρ/N,    ∂²ℓ/∂x∂A = −ρ/N                              (surrogate.5)

    At θ = θ̄ the gradient is that of −A x/N. The Hessian has the outer products −A ∇x ∇xᵀ/N in addition.
    """
    dslope_dA = -ratio(x, old_log_probs) / x.shape[-1]
    slope = advantages * dslope_dA
    return Rows(loss=slope, slope=slope, curvature=slope, dslope_dA=dslope_dA)


@compiled.compiled_as(compiled.CLIPPED)
def clipped_form(x, advantages, old_log_probs, clip):
    """ℓ = −min(r A, clip(r, 1−ε, 1+ε) A) / N with r = exp(x − x̄), PPO's (Schulman et al. 2017, eq. 7).

    For A ≥ 0 only the upper bound can act, min(r, 1+ε) A; for A < 0 only the lower, max(r, 1−ε) A. Where the bound
    acts, the row is constant in x. Elsewhere it is the row of the ratio form:

        ∂ℓ/∂x = ∂²ℓ/∂x² = −A r/N,    ∂²ℓ/∂x∂A = −r/N    where r is inside, else 0            (surrogate.6)
    """
    r = ratio(x, old_log_probs)
    bound = np.where(advantages.real >= 0, 1 + clip, 1 - clip).astype(r.real.dtype)
    outside = np.where(advantages.real >= 0, r.real > bound, r.real < bound)  # a NaN is not outside: it must show
    dslope_dA = np.where(outside, 0, -r / x.shape[-1])
    slope = advantages * dslope_dA
    loss = np.where(outside, -advantages * bound / x.shape[-1], slope)
    return Rows(loss=loss, slope=slope, curvature=slope, dslope_dA=dslope_dA)


@compiled.compiled_as(compiled.NONE)
def no_form(x, advantages, old_log_probs):
    """ℓ = 0, for domain randomization, which does not adapt."""
    zeros = np.zeros_like(x)
    return Rows(zeros, zeros, zeros, zeros)


def ratio(x, old_log_probs):
    """exp(x − x̄), (N,); exactly 1 where the batch carries no x̄, because it was sampled at this very θ."""
    return np.exp(x - (x.real.copy() if old_log_probs is None else old_log_probs))
